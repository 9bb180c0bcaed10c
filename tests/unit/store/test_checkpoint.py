"""Copying the log on a file system that fails when told."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from reconciler.store import checkpoint, disk
from reconciler.store.types import Provenance


def row(revision: int, size: int) -> disk.Row:
    return disk.row(revision, disk.Form.PUT, f"k{revision}", revision, 1, revision, 0, 0.0, Provenance(""), bytes(size))


class Desk:
    """A checkpointer and what it reports."""

    def __init__(self, folder: Path) -> None:
        self.connection = disk.open_file(folder)
        self.asked_for_space = 0
        self.has_space = False
        self.failures: list[apsw.Error] = []
        self.checkpointer = checkpoint.Checkpointer(folder, self._filled, self.failures.append)

    def _filled(self) -> bool:
        self.asked_for_space += 1
        return self.has_space


@pytest.fixture
def desk(tmp_path: Path, faults: Any) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.checkpointer.close()
    opened.connection.close()


def test_the_log_stays_bounded_under_steady_writes(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "NUDGE_BYTES", 50_000)
    monkeypatch.setattr(checkpoint, "LIMIT_FRAMES", 100)
    for start in range(0, 2000, 20):
        disk.append(desk.connection, [row(made, 3000) for made in range(start, start + 20)])
        desk.checkpointer.logged(60_000, desk.connection)
    assert (tmp_path / disk.FILE).stat().st_size > 1_000_000
    assert (tmp_path / f"{disk.FILE}-wal").stat().st_size < 4_000_000, "of more than 6 MB that went through it"


def test_all_or_not_all_is_told(desk: Desk, tmp_path: Path) -> None:
    disk.append(desk.connection, [row(1, 1)])
    assert desk.checkpointer.run(desk.connection)
    reader = disk.connect(tmp_path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM revision").fetchall()
    disk.append(desk.connection, [row(2, 1)])
    assert not desk.checkpointer.run(desk.connection), "a reader still needs the older state"
    reader.close()
    assert desk.checkpointer.run(desk.connection)


def test_a_log_whose_head_is_just_changing_is_copied_a_moment_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    again = threading.Event()
    run = desk.checkpointer.run
    monkeypatch.setattr(desk.checkpointer, "run", lambda connection: again.set())

    def checkpoint_of(mode: int) -> None:
        raise apsw.BusyError("database is locked")

    changing: Any = SimpleNamespace(wal_checkpoint=checkpoint_of)
    assert not run(changing)
    assert again.wait(60)
    assert desk.failures == []


def test_a_failed_fsync_of_the_database_is_final(desk: Desk, faults: Any) -> None:
    disk.append(desk.connection, [row(1, 1)])
    faults.only, faults.on_sync = disk.FILE, apsw.SQLITE_IOERR_FSYNC
    assert not desk.checkpointer.run(desk.connection)
    faults.on_sync = None
    assert len(desk.failures) == 1


def test_without_space_it_is_put_off(desk: Desk, faults: Any) -> None:
    disk.append(desk.connection, [row(1, 1)])
    faults.on_write = apsw.SQLITE_FULL
    assert not desk.checkpointer.run(desk.connection)
    assert desk.asked_for_space == 1
    faults.on_write = None
    assert desk.checkpointer.run(desk.connection)
    assert desk.failures == []


def test_space_that_was_made_is_used(desk: Desk, faults: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.append(desk.connection, [row(1, 1)])
    faults.on_write = apsw.SQLITE_FULL
    desk.has_space = True
    asked = desk._filled

    def make_room() -> bool:
        faults.on_write = None
        return asked()

    monkeypatch.setattr(desk.checkpointer, "_filled", make_room)
    assert desk.checkpointer.run(desk.connection)
