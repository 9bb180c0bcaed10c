"""The journal on disk: one append-only table of revisions in a SQLite file, in WAL mode with synchronous=FULL.

Invariants: a commit is one statement and so one fsync; a row is written once and later only pruned, or stripped to a
husk that keeps its provenance; every row carries a CRC; no transaction outlives a call.
Blocking, for threads. Not here: which rows to write (local.py), when (writer.py), which to prune (compaction.py).
"""

import itertools
import os
import zlib
from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from reconciler.store.mvcc import LAST, Live
from reconciler.store.types import Corrupt, Entry, JournalError, Provenance

FILE = "journal.db"
FORMAT = 1  # PRAGMA user_version; grows with every change that an older program cannot read
APPLICATION_ID = 0x7265636A
MAX_ROWS = 256  # in a group; only a single transaction may bring more
COLUMNS = 14
PAGE_BYTES = 4096
LOG_BYTES = 8 << 20  # how long the log gets, roughly
SAFE_SQLITE = (3, 51, 3)  # before it, a WAL reset could corrupt the file

LOADED = ("revision", "form", "key", "created", "version", "value", "lease", "ttl_seconds", "spec")
MOMENTS = "CREATE TABLE IF NOT EXISTS moment (revision INTEGER PRIMARY KEY, time REAL NOT NULL) STRICT"  # programs before it ignore it
SCHEMA = """
CREATE TABLE revision (
  revision INTEGER PRIMARY KEY, form INTEGER NOT NULL, key TEXT NOT NULL,
  created INTEGER NOT NULL, version INTEGER NOT NULL, spec INTEGER NOT NULL, lease INTEGER NOT NULL, ttl_seconds REAL NOT NULL,
  actor TEXT NOT NULL, why TEXT NOT NULL, cause INTEGER NOT NULL, source TEXT NOT NULL,
  crc INTEGER NOT NULL, value BLOB
) STRICT;
CREATE TABLE mark (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO mark VALUES ('reserved', 0), ('oldest', 1);
"""


class Form(IntEnum):
    PUT = 0
    DELETE = 1
    HUSK = 2  # only the provenance of a write


# A row of the table, columns in their order: what `row` makes.
Row = tuple[int, int, str, int, int, int, int, float, str, str, int, str, int, bytes | None]


class Loaded(NamedTuple):
    """What a journal holds when it opens."""

    lives: list[Live]
    ttl_seconds: dict[int, float]  # of the leases that live keys name
    revision: int  # the highest that may have been used
    oldest: int
    history_bytes: int  # of superseded rows


class Pruning(NamedTuple):
    """What a compaction does to rows, by revision, ascending."""

    delete: tuple[int, ...]
    strip: tuple[int, ...]  # to husks
    relink: tuple[tuple[int, int], ...]  # revision, its cause from now on
    freed_bytes: int


def connect(folder: Path) -> apsw.Connection:
    """A further connection, for one thread at a time."""
    connection = apsw.Connection(str(folder / FILE))
    connection.set_busy_timeout(10_000)
    connection.execute("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0")
    return connection


def open_file(folder: Path) -> apsw.Connection:
    """The writer's connection; makes the file where there is none. Raises Corrupt, JournalError."""
    if tuple(map(int, apsw.sqlite_lib_version().split("."))) < SAFE_SQLITE:
        needed = ".".join(map(str, SAFE_SQLITE))
        raise JournalError(f"SQLite {apsw.sqlite_lib_version()} can corrupt its log: install apsw {needed} or newer")
    os.close(os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600))
    try:
        connection = connect(folder)
        (found,) = connection.execute("PRAGMA user_version").fetchone() or (0,)
        if found > FORMAT:
            connection.close()
            raise JournalError(f"{folder / FILE} has format {found}, this program reads up to {FORMAT}: install the newer program again")
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}; PRAGMA journal_mode=WAL; PRAGMA journal_size_limit={LOG_BYTES}")
        if found == 0:
            _create(connection)
            sync(folder)  # with it goes the rollback journal of the creation, which must not come back
        elif not connection.execute("SELECT 1 FROM sqlite_schema WHERE name='moment'").fetchone():
            connection.execute(MOMENTS)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise corrupt(folder / FILE, str(error)) from error
    return connection


def _create(connection: apsw.Connection) -> None:
    with connection:
        connection.execute(SCHEMA)
        connection.execute(MOMENTS)
        connection.execute(f"PRAGMA user_version={FORMAT}; PRAGMA application_id={APPLICATION_ID}")


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def corrupt(path: Path, detail: str) -> Corrupt:
    return Corrupt(
        f"{path} is damaged ({detail}). Keep a copy of {path.parent}; then restore a good snapshot into an empty folder, or move "
        f"{path.parent} away: the next start is empty and fills itself from the folder of manifests"
    )


def load(connection: apsw.Connection) -> Loaded:
    """Check the whole file and read what is live. Raises Corrupt."""
    path = Path(connection.filename)
    try:
        for (line,) in connection.execute("PRAGMA quick_check(1)"):
            if line != "ok":
                raise corrupt(path, line)
        return _load(connection, path)
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
        raise corrupt(path, str(error)) from error


def _load(connection: apsw.Connection, path: Path) -> Loaded:
    newest: dict[str, tuple[Any, ...]] = {}  # the row of each live key; superseded ones never become more than a tuple
    history_bytes = 0
    query = f"SELECT {', '.join(LOADED)}, crc FROM revision WHERE form < {Form.HUSK:d} ORDER BY revision"  # noqa: S608 (constant text)
    for row in connection.execute(query):
        revision, form, key, created, version, value, _, _, _, crc = row
        if _crc(revision, form, key, created, version, value) != crc:
            raise corrupt(path, f"the checksum of revision {revision}, {key}, is wrong")
        superseded = newest.pop(key, None)
        if superseded is not None:
            history_bytes += len(superseded[5])
        if form == Form.PUT:
            newest[key] = row
    (highest,) = connection.execute("SELECT max(revision) FROM revision").fetchone() or (None,)
    marks = dict(connection.execute("SELECT name, revision FROM mark"))
    return Loaded(
        [
            Live(Entry(key, value, created, made, version, lease), spec, True)
            for made, _, key, created, version, value, lease, _, spec, _ in newest.values()
        ],
        {row[6]: row[7] for row in newest.values() if row[6]},
        max(highest or 0, marks["reserved"]),
        marks["oldest"],
        history_bytes,
    )


def row(
    revision: int,
    form: int,
    key: str,
    created: int,
    version: int,
    spec: int,
    lease: int,
    ttl_seconds: float,
    why: Provenance,
    value: bytes | None,
) -> Row:
    """Made by whoever numbers the write, so that the thread that writes it has little to do with the interpreter."""
    crc = _crc(revision, form, key, created, version, value)
    return (revision, form, key, created, version, spec, lease, ttl_seconds, why.actor, why.why, why.cause, why.source, crc, value)


def append(connection: apsw.Connection, rows: Sequence[Row]) -> None:
    """One statement, one transaction, one fsync. SQLite takes 2,340 rows, the largest transaction has 640."""
    if not rows:
        return
    size = 1 << (len(rows) - 1).bit_length()
    values: list[object] = list(itertools.chain.from_iterable(rows))
    values += [None] * (COLUMNS * (size - len(rows)))
    connection.execute(_insert(size), tuple(values))


@cache
def _insert(size: int) -> str:
    """Powers of two only, so that few statements are ever prepared; the padding is left out by its NULL revision."""
    one = "(" + ",".join("?" * COLUMNS) + ")"
    return f"INSERT INTO revision SELECT * FROM (VALUES {','.join([one] * size)}) WHERE column1 IS NOT NULL"  # noqa: S608


def _crc(revision: int, form: int, key: str, created: int, version: int, value: bytes | None) -> int:
    return zlib.crc32(value or b"", zlib.crc32(f"{revision} {form} {created} {version} {key}".encode()))


def mark(connection: apsw.Connection, name: str, revision: int) -> None:
    connection.execute("UPDATE mark SET revision=? WHERE name=?", (revision, name))


def note(connection: apsw.Connection, revision: int, time: float) -> None:
    """Remember when a revision was made; see past.py."""
    connection.execute("INSERT OR REPLACE INTO moment VALUES (?, ?)", (revision, time))


def read(folder: Path, key: str, revision: int) -> Entry | None:
    """The key as durable writes had left it at `revision`."""
    found = _read(folder, "key = ?", (key,), revision)
    return found[0] if found else None


def read_range(folder: Path, prefix: str, start: str, revision: int) -> list[Entry]:
    """The keys with `prefix` from `start` on as durable writes had left them at `revision`, in order."""
    return _read(folder, "key >= ? AND key < ?", (max(prefix, start), prefix + LAST), revision)


def _read(folder: Path, where: str, values: tuple[str, ...], revision: int) -> list[Entry]:
    query = (
        "SELECT key, value, created, max(revision), version, lease, form FROM revision "  # noqa: S608 (constant text)
        f"WHERE revision <= ? AND form < {Form.HUSK:d} AND {where} GROUP BY key ORDER BY key"
    )
    connection = connect(folder)
    try:
        return [Entry(*row[:-1]) for row in connection.execute(query, (revision, *values)) if row[-1] == Form.PUT]
    finally:
        connection.close()


def read_chain(folder: Path, revision: int, most: int) -> list[tuple[int, str, Provenance]]:
    """The record of `revision` and of its causes, newest first, `most` of them."""
    query = """
        WITH RECURSIVE chain(step, revision, key, actor, why, cause, source) AS (
          SELECT 0, revision, key, actor, why, cause, source FROM revision WHERE revision = ?1
          UNION ALL
          SELECT step + 1, r.revision, r.key, r.actor, r.why, r.cause, r.source
          FROM chain JOIN revision r ON r.revision = chain.cause WHERE step + 1 < ?2)
        SELECT revision, key, actor, why, cause, source FROM chain ORDER BY step"""
    connection = connect(folder)
    try:
        found = connection.execute(query, (revision, most))
        return [(made, key, Provenance(actor, why, cause, source)) for made, key, actor, why, cause, source in found]
    finally:
        connection.close()


def prune(connection: apsw.Connection, oldest: int, pruning: Pruning) -> None:
    with connection:
        mark(connection, "oldest", oldest)
        connection.execute("DELETE FROM moment WHERE revision < (SELECT max(revision) FROM moment WHERE revision <= ?)", (oldest,))
        connection.executemany("UPDATE revision SET cause=? WHERE revision=?", ((cause, revision) for revision, cause in pruning.relink))
        connection.executemany(
            f"UPDATE revision SET form={Form.HUSK:d}, value=NULL WHERE revision=?",  # noqa: S608 (constant text)
            ((revision,) for revision in pruning.strip),
        )
        connection.executemany("DELETE FROM revision WHERE revision=?", ((revision,) for revision in pruning.delete))


def sizes(connection: apsw.Connection) -> tuple[int, int]:
    """Bytes of the file, and of them in use."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone() or (0,)
    (free,) = connection.execute("PRAGMA freelist_count").fetchone() or (0,)
    (size,) = connection.execute("PRAGMA page_size").fetchone() or (0,)
    return pages * size, (pages - free) * size
