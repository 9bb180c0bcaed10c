"""A journal in memory, for what must not outlive its process: forecasts, simulations, tests.

The whole contract (types.Journal) but durability: a write is visible when it is acknowledged, and all ends with the
process. The past reaches as far back as the window of mvcc.py; who made a durable write and why is kept for the last
RECORDS of them. Nothing here takes time, so that a simulation depends on its clock and its seed alone.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.kit import tasks
from reconciler.kit.clock import Clock
from reconciler.store import mvcc, past, watch
from reconciler.store.expiry import Expiry
from reconciler.store.types import Compacted, Effect, Entry, FutureRevision, JournalError, Operation, Provenance, Range, Watch

RECORDS = 1 << 18
CHAIN = 256  # records that `chain` returns at most
MOMENTS = 1 << 16


class MemoryJournal:
    """See types.Journal. `start`, within a running event loop, lets leases expire and sends bookmarks."""

    def __init__(self, clock: Clock, objects: Mapping[str, tuple[bytes, Mapping[str, Any]]] = {}) -> None:
        lives = [
            mvcc.Live(Entry(key, value, number, number, 1, obj=obj), number, on_disk=True)
            for number, (key, (value, obj)) in enumerate(objects.items(), start=1)
        ]
        self._clock = clock
        self._state = mvcc.State(lives, len(lives) + 1)
        self._oldest = self._state.revision
        self._hub = watch.Hub()
        self._records: dict[int, tuple[str, Provenance, bool]] = {}  # with whether it is essential
        self._moments: deque[past.Moment] = deque(maxlen=MOMENTS)
        self._expiry = Expiry(clock, self.commit)
        self._leases = 0
        self._tasks = tasks.Tasks()

    def start(self, bookmark_seconds: float = watch.BOOKMARK_SECONDS) -> None:
        self._tasks.start(self._expiry.run(), "journal-leases")
        self._tasks.start(self._hub.bookmarks(self._clock, bookmark_seconds, lambda: self._state.revision), "journal-bookmarks")

    @property
    def revision(self) -> int:
        return self._state.revision

    @property
    def oldest_revision(self) -> int:
        return max(self._oldest, self._state.floor)

    async def commit(self, operations: Sequence[Operation], provenance: Provenance) -> tuple[Entry, ...]:
        mvcc.validate(operations)
        leases = self._expiry.leases
        for operation in operations:
            leases.ttl_seconds(getattr(operation, "lease", 0))
        lookup = self._state.current.get
        conflict = mvcc.conflict(operations, lookup)
        if conflict is not None:
            raise conflict
        steps = mvcc.steps(mvcc.writes(operations, lookup), self._state.revision + 1, lookup)
        if steps:
            self._note(steps[0].change.revision)
        for step in steps:
            self._state.apply(step)
            change = step.change
            leases.follow(change)
            if step.durable:
                is_essential = step.live is None or step.live.spec_revision == change.revision
                self._records[change.revision] = (change.entry.key, provenance, is_essential)
        while len(self._records) > RECORDS:
            del self._records[next(iter(self._records))]
        if steps:
            self._hub.publish([step.change for step in steps], self._state.revision)
        return tuple([step.change.entry for step in steps])

    def _note(self, revision: int) -> None:
        now = self._clock.now()
        if not self._moments or abs(now - self._moments[-1][1]) >= past.SPACING_SECONDS:
            self._moments.append((revision, now))

    async def get(self, key: str, revision: int = 0) -> Entry | None:
        if revision:
            self._require(revision)
            return self._state.get(key, revision)
        live = self._state.current.get(key)
        return live.entry if live else None

    async def range(self, prefix: str, *, start: str = "", revision: int = 0, limit: int = 0) -> Range:
        revision = revision or self._state.revision
        self._require(revision)
        return self._state.range(prefix, start, revision, limit)

    def watch(self, prefix: str, revision: int) -> Watch:
        self._require(revision)
        return self._hub.add(prefix, revision, self._state.changes(prefix, revision), self._state.revision)

    def _require(self, revision: int) -> None:
        """Raises Compacted, FutureRevision."""
        if revision < self.oldest_revision:
            raise Compacted(revision, self.oldest_revision)
        if revision > self._state.revision:
            raise FutureRevision(f"revision {revision} is in the future, the newest is {self._state.revision}")

    async def grant(self, ttl_seconds: float) -> int:
        if ttl_seconds <= 0:
            raise ValueError(f"a lease lasts longer than {ttl_seconds} seconds")
        self._leases += 1
        self._expiry.grant(self._leases, ttl_seconds)
        return self._leases

    async def keep_alive(self, lease: int) -> None:
        self._expiry.keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        await self._expiry.revoke(lease)

    async def compact(self, revision: int) -> None:
        if revision > self._state.revision:
            raise FutureRevision(f"revision {revision} is in the future, the newest is {self._state.revision}")
        if revision > self.oldest_revision:
            self._oldest = revision
            self._state.forget(revision)

    async def provenance(self, key: str, revision: int = 0) -> tuple[tuple[int, Provenance], ...]:
        live = self._state.current.get(key)
        revisions = sorted({live.entry.create_revision, live.spec_revision}) if live else []
        if revision:
            entry = await self.get(key, revision)
            made = [one for one in self._records if entry and self._records[one][0] == key and entry.create_revision <= one <= revision]
            revisions = sorted({*made[:1], *[one for one in made if self._records[one][2]][-1:]})
        return tuple((revision, self._records[revision][1]) for revision in revisions if revision in self._records)

    async def chain(self, revision: int) -> tuple[tuple[int, str, Provenance], ...]:
        found: list[tuple[int, str, Provenance]] = []
        while revision in self._records and len(found) < CHAIN:
            key, record, _ = self._records[revision]
            found.append((revision, key, record))
            revision = record.cause
        return tuple(found)

    async def effects(self, source: str = "", revisions: Collection[int] = (), most: int = 1000) -> tuple[Effect, ...]:
        records = (Effect(revision, *record) for revision, record in self._records.items())
        return tuple(past.effects(records, source, revisions, most))

    async def changes(self, prefix: str, revision: int) -> tuple[tuple[Entry, bool], ...]:
        self._require(revision)
        found: dict[str, tuple[Entry, bool]] = {}
        for change in self._state.changes(prefix, revision):
            if change.entry.value is not None:
                found[change.entry.key] = (change.entry, False)
            elif change.entry.key in found:
                found[change.entry.key] = (found[change.entry.key][0], True)
        return tuple(found.values())

    async def revision_at(self, time: float) -> int:
        found = past.revision_at(self._moments, time, self._clock.now())
        revision = self._state.revision if found is None else found
        self._require(revision)
        return revision

    async def time_of(self, revision: int) -> float:
        return past.time_of(self._moments, revision)

    async def snapshot(self, path: Path) -> None:
        raise JournalError("a journal in memory has no file to copy")

    async def close(self) -> None:
        await self._tasks.close()
        self._hub.close(StopAsyncIteration())
