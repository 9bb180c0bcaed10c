"""Copies of a journal: taken while it runs, put back while it does not.

A restored journal goes on far above the snapshot's revisions, because the original gave out more of them after the
snapshot was taken and clients may have seen those.
"""

import os
from pathlib import Path

import apsw

from reconciler.store import disk, lock
from reconciler.store.types import JournalError

SKIPPED_REVISIONS = 1_000_000_000  # what etcd recommends: a week of 1,500 writes a second


def take(folder: Path, target: Path) -> None:
    """A consistent copy of the durable writes in `folder`, complete or absent at `target`. Blocking, for a thread."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = disk.connect(folder)
    try:
        connection.execute("VACUUM INTO ?", (str(part),))
    finally:
        connection.close()
    _publish(part, target)


def restore(source: Path, folder: Path, skipped_revisions: int = SKIPPED_REVISIONS) -> int:
    """Make the journal in `folder`, which has none, from a snapshot; returns its revision. Raises Corrupt, JournalError."""
    held = lock.Lock(folder)
    try:
        target = folder / disk.FILE
        if target.exists():
            raise JournalError(f"{folder} has a journal already: restore into an empty folder, then swap the folders")
        if not source.is_file():
            raise JournalError(f"{source} is not a file")
        part = folder / (disk.FILE + ".part")
        part.unlink(missing_ok=True)
        revision = _copy(source, part, skipped_revisions)
        _publish(part, target)
        return revision
    finally:
        held.release()


def _copy(source: Path, part: Path, skipped_revisions: int) -> int:
    try:
        connection = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
        revision = disk.load(connection).revision + skipped_revisions
        connection.execute("VACUUM INTO ?", (str(part),))
        connection.close()
        copy = apsw.Connection(str(part))
        disk.mark(copy, "reserved", revision)
        copy.close()
    except apsw.Error as error:
        raise JournalError(f"cannot restore {source} to {part.parent}: {error}") from error
    return revision


def _publish(part: Path, target: Path) -> None:
    """Rename `part` to `target`, both content and name on disk before this returns."""
    disk.sync(part)
    os.replace(part, target)
    disk.sync(target.parent)
