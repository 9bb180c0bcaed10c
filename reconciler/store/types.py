"""The journal contract, the same for the local journal and for etcd.

- One API write is one revision and one object; revisions are one strictly growing sequence, shared by both
  durabilities, and none is ever used twice, not even across a crash.
- `durable` writes are acknowledged and visible only after fsync; `volatile` ones live in memory, are visible at
  once and are lost in a crash. etcd treats volatile as durable.
- A failed fsync ends the process at once (FsyncFailed is never caught and retried); a full disk does not: it
  raises Full for everything but deletes and compaction.
- Provenance: who wrote, why, and which revision caused it. For a live object the records that created it and
  last changed its spec, with their chain of causes, outlive compaction, snapshot and restore.

Values are opaque bytes to the journal. A writer hands the decoded object along, so that nobody in the process
decodes it again; readers get it back from `Entry.obj`, which is None for what was read from disk.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

MAX_OPERATIONS = 128  # per transaction, etcd's limit
MAX_VALUE_BYTES = 1_572_864  # all values of a transaction: 1.5 MiB, etcd's request limit


class Durability(Enum):
    DURABLE = "durable"
    VOLATILE = "volatile"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who made a write, why, and what caused it."""

    actor: str  # "controller/replicaset-controller", "user/kubernetes-admin", "gitops/default"
    why: str = ""
    cause: int = 0  # revision that made the actor act; 0 when it came from outside
    source: str = ""  # "apps/web.yaml:12 (commit 1a2b3c4)" where a file said so


class Put(NamedTuple):
    """Write `value` at `key`. `expect` is the mod_revision it must have: 0 must not exist, None anything."""

    key: str
    value: bytes
    expect: int | None = None
    obj: Mapping[str, Any] | None = None  # `value` decoded; published in Entry.obj
    durability: Durability = Durability.DURABLE
    lease: int = 0
    spec_changed: bool = True  # False: a status-only write, which does not replace the kept provenance


class Remove(NamedTuple):
    key: str
    expect: int | None = None


class Check(NamedTuple):
    """Only compare: the transaction fails unless `key` has mod_revision `expect` (0: does not exist)."""

    key: str
    expect: int


Operation = Put | Remove | Check


class Entry(NamedTuple):
    """One key at one revision. `value` is None for the revision that deleted the key. `obj` does not count for equality."""

    key: str
    value: bytes | None
    create_revision: int
    mod_revision: int
    version: int  # writes since creation, 1 for the first
    lease: int = 0
    obj: Mapping[str, Any] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self[:-1] == other[:-1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:-1])


class Change(NamedTuple):
    """One step of history: `entry.value is None` is a deletion; `previous` is None for a creation."""

    entry: Entry
    previous: Entry | None

    @property
    def revision(self) -> int:
        return self.entry.mod_revision


@dataclass(frozen=True, slots=True)
class Effect:
    """A write with its record. An essential one made, changed or removed an object; others measured, or wrote a status."""

    revision: int
    key: str
    provenance: Provenance
    is_essential: bool = True


@dataclass(frozen=True, slots=True)
class Range:
    """Entries in key order at `revision`; `more` says that the limit cut them off, `count` counts them all."""

    entries: tuple[Entry, ...]
    revision: int
    more: bool = False
    count: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes in revision order, never splitting a revision; complete up to `revision` (a bookmark if empty)."""

    changes: tuple[Change, ...]
    revision: int


class JournalError(Exception):
    """Base of what a journal refuses."""


class Conflict(JournalError):
    """An `expect` did not hold. `actual` is the key's entry now, None if it does not exist."""

    def __init__(self, key: str, actual: Entry | None) -> None:
        super().__init__(f"{key} is at revision {actual.mod_revision if actual else 0}")
        self.key = key
        self.actual = actual


class Compacted(JournalError):
    """A revision below `oldest` was asked for."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} is compacted, the oldest kept is {oldest}")
        self.revision = revision
        self.oldest = oldest


class FutureRevision(JournalError):
    """A revision above the current one was asked for."""


class Full(JournalError):
    """The disk or the quota is full: deletes and compaction still work."""


class FsyncFailed(JournalError):
    """Nobody knows what is on disk. The process is ending; only where a test keeps it alive is this seen."""


class Closed(JournalError):
    """The journal was closed."""


class Locked(JournalError):
    """Another process has the journal open."""


class Corrupt(JournalError):
    """The integrity check at boot failed; the message says where and how to restore."""


class Watch(Protocol):
    """Batches from a revision on. A watcher that falls behind the bound ends with Compacted."""

    def __aiter__(self) -> AsyncIterator[Batch]: ...

    def arrived(self) -> Sequence[Batch]:
        """The batches that wait for the reader, for one that cannot wait for its own turn."""

    def close(self) -> None: ...


class Journal(Protocol):
    @property
    def revision(self) -> int:
        """The newest visible revision."""

    @property
    def oldest_revision(self) -> int:
        """Ranges from here on can be answered; before a restart they show durable writes only."""

    async def commit(self, operations: Sequence[Operation], provenance: Provenance) -> tuple[Entry, ...]:
        """All operations or none, returned as the entries they made (none for a Check), once visible.

        A local journal gives each written key its own revision, in order; removing nothing takes none. Raises Conflict,
        Full, ValueError (a key twice, over a limit), KeyError (a lease that is gone).
        """

    async def get(self, key: str, revision: int = 0) -> Entry | None:
        """The key at `revision` (0: now). Raises Compacted, FutureRevision."""

    async def range(self, prefix: str, *, start: str = "", revision: int = 0, limit: int = 0) -> Range:
        """Keys with `prefix`, from `start` on, at `revision`. Raises Compacted, FutureRevision."""

    def watch(self, prefix: str, revision: int) -> Watch:
        """Every change under `prefix` with a revision above `revision`. Raises Compacted, FutureRevision.

        Watches reach back less far than ranges: not beyond a restart, nor beyond a window in memory.
        """

    async def grant(self, ttl_seconds: float) -> int:
        """A lease; its keys are deleted when nobody keeps it alive for `ttl_seconds`."""

    async def keep_alive(self, lease: int) -> None:
        """Raises KeyError for a lease that is gone."""

    async def revoke(self, lease: int) -> None:
        """Delete the lease's keys now. Raises KeyError for a lease that is gone."""

    async def compact(self, revision: int) -> None:
        """Forget history below `revision`. Live objects and their provenance stay."""

    async def provenance(self, key: str, revision: int = 0) -> tuple[tuple[int, Provenance], ...]:
        """(revision, record) of the creation and the last spec change of a key that lives (at `revision`), oldest first.

        Raises Compacted, FutureRevision.
        """

    async def chain(self, revision: int) -> tuple[tuple[int, str, Provenance], ...]:
        """(revision, key, record) of a write and of its causes, newest first, as far back as is kept."""

    async def effects(self, source: str = "", revisions: Collection[int] = (), most: int = 1000) -> tuple[Effect, ...]:
        """The essential ones of the writes whose source contains `source`, of `revisions`, and of what they caused, oldest first.

        The cause of each is the essential one that led to it, 0 for the first.
        """

    async def changes(self, prefix: str, revision: int) -> tuple[tuple[Entry, bool], ...]:
        """The last content of every key with `prefix` written after `revision`, and whether it was removed since.

        Raises Compacted, FutureRevision.
        """

    async def revision_at(self, time: float) -> int:
        """The newest revision made by `time` (seconds since the epoch), to about a second. Raises Compacted."""

    async def time_of(self, revision: int) -> float:
        """When a revision was made, in seconds since the epoch, to about a second; 0 where nobody knows."""

    async def snapshot(self, path: Path) -> None:
        """A consistent copy while writes go on."""

    async def close(self) -> None:
        """Waits for what is in flight."""


def key_of(kind_id: str, namespace: str, name: str) -> str:
    """The key of an object: "pods/default/web-1", "nodes//worker" for a cluster-wide one."""
    return f"{kind_id}/{namespace}/{name}"
