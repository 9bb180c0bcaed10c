"""What a Sync applied, revision by revision: commit, author, changes, outcome, and the documents themselves.

One SQLite file for all Syncs. A document is kept once for as many revisions as it stays the same, so a commit that
touches one of 5,000 manifests adds one row. It is a convenience: lost, it costs the way back and nothing else, so it
is not synced to disk at every commit. It holds Secrets as the journal does and is readable by its owner only.

Blocking; the agent calls it in a thread.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from reconciler.gitops import load
from reconciler.gitops.identity import Identity
from reconciler.kit import yaml

MAX_REVISIONS = 100  # of one Sync
MAX_CHANGES = 100  # lines of one revision
NOW = 1 << 62  # until when what is applied now is valid

_SCHEMA = """
CREATE TABLE IF NOT EXISTS revisions(sync TEXT, number INTEGER, entry TEXT, PRIMARY KEY(sync, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held(sync TEXT, object TEXT, since INTEGER, until INTEGER, home TEXT, digest TEXT, document TEXT);
CREATE INDEX IF NOT EXISTS held_until ON held(sync, until);
CREATE INDEX IF NOT EXISTS held_object ON held(sync, object, until);
CREATE TABLE IF NOT EXISTS pins(sync TEXT PRIMARY KEY, number INTEGER, fingerprint TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    number: int
    time: str  # RFC 3339
    commit: str = ""
    author: str = ""
    subject: str = ""
    outcome: str = "Progressing"  # then Healthy, Refused or Failed
    message: str = ""
    changes: tuple[str, ...] = ()

    def wire(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"changes": list(self.changes)}


@dataclass(frozen=True, slots=True)
class Pin:
    """A revision that is applied instead of what the folder says, as long as the folder says just that."""

    number: int
    fingerprint: str


class History:
    """The histories of all Syncs in `path`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._db = apsw.Connection(str(path))
        list(self._db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _SCHEMA))  # runs as it is read

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def current(self, sync: str) -> dict[Identity, tuple[str, str]]:
        """What the last revision held: digest and home of each document."""
        rows = self._rows("SELECT object, digest, home FROM held WHERE sync=? AND until=?", sync, NOW)
        return {_identity(name): (digest, home) for name, digest, home in rows}

    def record(self, sync: str, entry: Entry, changed: Mapping[Identity, load.Document], gone: Iterable[Identity]) -> Entry:
        """Add a revision: `changed` documents take the place of earlier ones, `gone` have none any more."""
        with self._lock, self._db:
            last = next(self._db.execute("SELECT max(number) FROM revisions WHERE sync=?", (sync,)), (None,))[0]
            number = (last or 0) + 1
            for identity in (*changed, *gone):
                self._db.execute("UPDATE held SET until=? WHERE sync=? AND object=? AND until=?", (number, sync, _name(identity), NOW))
            rows = ((sync, _name(one), number, NOW, document.home, document.digest, _text(document)) for one, document in changed.items())
            self._db.executemany("INSERT INTO held VALUES(?,?,?,?,?,?,?)", rows)
            made = Entry(**{**entry.wire(), "number": number, "changes": entry.changes[:MAX_CHANGES]})
            self._db.execute("INSERT INTO revisions VALUES(?,?,?)", (sync, number, json.dumps(made.wire())))
            self._trim(sync, number - MAX_REVISIONS)
        return made

    def conclude(self, sync: str, entry: Entry) -> None:
        """Write what became of a revision."""
        with self._lock:
            self._db.execute("UPDATE revisions SET entry=? WHERE sync=? AND number=?", (json.dumps(entry.wire()), sync, entry.number))

    def entries(self, sync: str) -> list[Entry]:
        """Every revision that is kept, the newest first."""
        rows = self._rows("SELECT entry FROM revisions WHERE sync=? ORDER BY number DESC", sync)
        return [Entry(**{**json.loads(text), "changes": tuple(json.loads(text)["changes"])}) for (text,) in rows]

    def files(self, sync: str, number: int) -> dict[str, load.File]:
        """What the folder said at a revision. Raises KeyError for one that is not kept."""
        if not self._rows("SELECT 1 FROM revisions WHERE sync=? AND number=?", sync, number):
            raise KeyError(number)
        rows = self._rows(
            "SELECT home, document FROM held WHERE sync=? AND since<=? AND until>? ORDER BY home, rowid", sync, number, number
        )
        found: dict[str, list[load.Document]] = {}
        for home, text in rows:
            found.setdefault(home, []).append(_document(text))
        return {home: load.File(home, tuple(documents)) for home, documents in found.items()}

    def pinned(self, sync: str) -> Pin | None:
        rows = self._rows("SELECT number, fingerprint FROM pins WHERE sync=?", sync)
        return Pin(*rows[0]) if rows else None

    def pin(self, sync: str, pin: Pin | None) -> None:
        with self._lock:
            if pin is None:
                self._db.execute("DELETE FROM pins WHERE sync=?", (sync,))
            else:
                self._db.execute("INSERT OR REPLACE INTO pins VALUES(?,?,?)", (sync, pin.number, pin.fingerprint))

    def _trim(self, sync: str, oldest: int) -> None:
        self._db.execute("DELETE FROM revisions WHERE sync=? AND number<=?", (sync, oldest))
        self._db.execute("DELETE FROM held WHERE sync=? AND until<=?", (sync, oldest + 1))

    def _rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return list(self._db.execute(statement, values))


def fingerprint(files: Mapping[str, load.File]) -> str:
    """A short hash of everything that a folder says."""
    return load.digest({path: [document.digest for document in file.documents] for path, file in files.items() if file.documents})


def changed(
    before: Mapping[Identity, tuple[str, str]], after: Mapping[Identity, load.Document], among: Iterable[Identity]
) -> Iterator[Identity]:
    """Those of `among` whose document is not as it was recorded."""
    for identity in among:
        document = after.get(identity)
        if before.get(identity) != ((document.digest, document.home) if document is not None else None):
            yield identity


def _name(identity: Identity) -> str:
    return "/".join(identity)


def _identity(name: str) -> Identity:
    return Identity(*name.split("/", 2))


def _text(document: load.Document) -> str:
    return json.dumps([document.path, document.line, document.digest, document.unit, document.body], separators=(",", ":"))


def _document(text: str) -> load.Document:
    path, line, digest, unit, body = json.loads(text)
    return load.Document(path, line, body, digest, yaml.Chunk("", line), unit=unit)
