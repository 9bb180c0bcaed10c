"""The journal of one machine: state in memory, every durable write on disk before anybody sees it.

Composes the parts: pipeline.py (writes), writer.py and disk.py (the file), mvcc.py (reads), watch.py, lease.py.
Reads of now and of the recent past come from memory, older ones from disk in a thread, where volatile writes are not.
An idle journal writes nothing. Not here: when to compact (autocompact.py).
"""

import asyncio
import contextlib
import functools
import logging
import os
import sys
from collections.abc import Callable, Collection, Coroutine, Sequence
from pathlib import Path
from typing import Any

import apsw

from reconciler.kit import tasks
from reconciler.kit.clock import Clock
from reconciler.store import compaction, disk, lock, measures, mvcc, past, snapshot, watch, writer
from reconciler.store.expiry import Expiry
from reconciler.store.pipeline import Pipeline
from reconciler.store.reserve import Reserve
from reconciler.store.types import (
    Closed,
    Compacted,
    Effect,
    Entry,
    FsyncFailed,
    Full,
    FutureRevision,
    JournalError,
    Operation,
    Provenance,
    Range,
    Watch,
)

log = logging.getLogger(__name__)

CHAIN = 256  # records that `chain` returns at most
RESTOCK_SECONDS = 1.0  # how often a full journal looks for space
SWITCH_INTERVAL_SECONDS = 0.0001  # Python's 5 ms would be added to every commit beside a busy event loop


def die(message: str) -> None:
    """End the process before anybody is told something that is not on disk."""
    log.critical(message)
    os._exit(os.EX_IOERR)


class LocalJournal:
    """See types.Journal. Make one with `open`."""

    def __init__(self, folder: Path, clock: Clock, loaded: disk.Loaded) -> None:
        self._folder = folder
        self._clock = clock
        # One above all that was used: whoever watched before a crash may have seen volatile writes that are lost.
        self._state = mvcc.State(loaded.lives, loaded.revision + 1)
        self._oldest = loaded.oldest
        self._hub = watch.Hub()
        self._expiry = Expiry(clock, self.commit)
        self._pipeline = Pipeline(self._state, loaded.revision, self._published, self._expiry.leases.ttl_seconds)
        self._compacting = asyncio.Lock()
        self._tasks = tasks.Tasks()
        self._restocking: asyncio.Task[None] | None = None
        self._history_bytes = loaded.history_bytes
        for lease, ttl_seconds in loaded.ttl_seconds.items():
            self._expiry.grant(lease, ttl_seconds)
        for live in loaded.lives:
            self._expiry.leases.attach(live.entry.lease, live.entry.key)

    @classmethod
    async def open(
        cls,
        folder: Path,
        clock: Clock,
        *,
        quota_bytes: int = 0,
        die: Callable[[str], None] = die,
        bookmark_seconds: float = watch.BOOKMARK_SECONDS,
    ) -> "LocalJournal":
        """Open or make the journal in `folder`. Raises Locked, Corrupt, JournalError."""
        held = lock.Lock(folder)
        reserve = Reserve(folder, quota_bytes)
        try:
            connection, loaded = _load(folder, reserve)
        except BaseException:
            held.release()
            raise
        journal = cls(folder, clock, loaded)
        journal._start(held, connection, reserve, die, bookmark_seconds)
        return journal

    def _start(
        self, held: lock.Lock, connection: apsw.Connection, reserve: Reserve, die: Callable[[str], None], bookmark_seconds: float
    ) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self._lock = held
        self._connection = connection
        self._reserve = reserve
        callbacks = writer.Callbacks(self._pipeline.written, self._pipeline.refused, self._filled, self._broken, die)
        self._writer = writer.Writer(self._folder, connection, reserve, callbacks, self._clock.now)
        self._pipeline.start(self._writer.submit)
        if not reserve.stocked:
            self._filled()
        self._tasks.start(self._expiry.run(), "journal-leases")
        self._tasks.start(self._hub.bookmarks(self._clock, bookmark_seconds, lambda: self._state.revision), "journal-bookmarks")
        measures.sizes(*disk.sizes(connection))
        measures.HAS_LEADER.set(1)

    @property
    def revision(self) -> int:
        return self._state.revision

    @property
    def oldest_revision(self) -> int:
        return self._oldest

    @property
    def full(self) -> bool:
        """Whether durable puts are refused for lack of space."""
        return self._pipeline.full

    @property
    def history_bytes(self) -> int:
        """Of superseded values on disk: what a compaction could free."""
        return self._history_bytes

    def commit(self, operations: Sequence[Operation], provenance: Provenance) -> Coroutine[Any, Any, tuple[Entry, ...]]:
        return self._pipeline.commit(operations, provenance)

    def _published(self, steps: list[mvcc.Step]) -> None:
        for change, _, durable in steps:
            entry, previous = change
            if previous is not None and durable:
                self._history_bytes += len(previous.value or b"")
            if entry.lease or (previous is not None and previous.lease):
                self._expiry.leases.follow(change)
        self._hub.publish([step.change for step in steps], self._state.revision)

    async def get(self, key: str, revision: int = 0) -> Entry | None:
        if revision == 0:
            live = self._state.current.get(key)
            return live.entry if live else None
        self._require(revision)
        if revision >= self._state.floor:
            return self._state.get(key, revision)
        entry = await asyncio.to_thread(disk.read, self._folder, key, revision)
        self._require(revision)
        return entry

    async def range(self, prefix: str, *, start: str = "", revision: int = 0, limit: int = 0) -> Range:
        revision = revision or self._state.revision
        self._require(revision)
        if revision >= self._state.floor:
            return self._state.range(prefix, start, revision, limit)
        entries = await asyncio.to_thread(disk.read_range, self._folder, prefix, start, revision)
        self._require(revision)
        taken = tuple(entries[:limit] if limit else entries)
        return Range(taken, revision, more=len(taken) < len(entries), count=len(entries))

    def watch(self, prefix: str, revision: int) -> Watch:
        if revision < self._state.floor:
            raise Compacted(revision, self._state.floor)
        self._require(revision)
        return self._hub.add(prefix, revision, self._state.changes(prefix, revision), self._state.revision)

    def _require(self, revision: int) -> None:
        """Raises Compacted, FutureRevision."""
        if revision < self._oldest:
            raise Compacted(revision, self._oldest)
        if revision > self._state.revision:
            raise FutureRevision(f"revision {revision} is in the future, the newest is {self._state.revision}")

    async def grant(self, ttl_seconds: float) -> int:
        if ttl_seconds <= 0:
            raise ValueError(f"a lease lasts longer than {ttl_seconds} seconds")
        lease = await self._pipeline.unique()
        self._expiry.grant(lease, ttl_seconds)
        return lease

    async def keep_alive(self, lease: int) -> None:
        self._expiry.keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        await self._expiry.revoke(lease)

    async def compact(self, revision: int) -> None:
        if revision > self._state.revision:
            raise FutureRevision(f"revision {revision} is in the future, the newest is {self._state.revision}")
        async with self._compacting:
            if revision <= self._oldest:
                return
            self._oldest = revision
            self._state.forget(revision)
            lives = self._state.current.values()
            roots = [made for live in lives for made in (live.entry.create_revision, live.spec_revision)]
            pruning = await asyncio.to_thread(
                compaction.plan, self._folder, revision, [*roots, *self._pipeline.ledger.behind(roots), *self._pipeline.causes()]
            )
            for chunk in compaction.chunks(pruning):
                await self._writer.call(functools.partial(disk.prune, oldest=revision, pruning=chunk))
            self._history_bytes = max(0, self._history_bytes - pruning.freed_bytes)
            measures.sizes(*await self._writer.call(disk.sizes))

    async def provenance(self, key: str, revision: int = 0) -> tuple[tuple[int, Provenance], ...]:
        live = self._state.current.get(key)
        if revision:
            self._require(revision)
            origins = await asyncio.to_thread(past.origins, self._folder, key, revision)
        else:
            origins = tuple(sorted({live.entry.create_revision, live.spec_revision})) if live is not None else ()
        found = [await self._chain(origin, 1) for origin in origins]
        return tuple((revision, record) for chain in found for revision, _, record in chain)

    async def chain(self, revision: int) -> tuple[tuple[int, str, Provenance], ...]:
        return tuple(await self._chain(revision, CHAIN))

    async def _chain(self, revision: int, most: int) -> list[tuple[int, str, Provenance]]:
        """Volatile records lead, for whatever caused a durable write is on disk."""
        found: list[tuple[int, str, Provenance]] = []
        while len(found) < most and (record := self._pipeline.ledger.get(revision)) is not None:
            found.append((record.revision, record.key, record.provenance))
            revision = record.provenance.cause
        if revision and len(found) < most:
            found += await asyncio.to_thread(disk.read_chain, self._folder, revision, most - len(found))
        return found

    async def effects(self, source: str = "", revisions: Collection[int] = (), most: int = 1000) -> tuple[Effect, ...]:
        volatile = [Effect(record.revision, record.key, record.provenance, False) for record in self._pipeline.ledger.records()]
        return tuple(await asyncio.to_thread(past.caused, self._folder, volatile, source, revisions, most))

    async def changes(self, prefix: str, revision: int) -> tuple[tuple[Entry, bool], ...]:
        self._require(revision)
        return tuple(await asyncio.to_thread(past.changes, self._folder, prefix, revision))

    async def revision_at(self, time: float) -> int:
        found = past.revision_at(await asyncio.to_thread(past.moments, self._folder), time, self._clock.now())
        revision = self._state.revision if found is None else found
        self._require(revision)
        return revision

    async def time_of(self, revision: int) -> float:
        return past.time_of(await asyncio.to_thread(past.moments, self._folder), revision)

    async def snapshot(self, path: Path) -> None:
        await asyncio.to_thread(snapshot.take, self._folder, path)

    def _filled(self) -> None:
        if not self._pipeline.full:
            log.error("the disk is full: durable writes are refused", extra={"facts": {"folder": self._folder}})
        self._pipeline.full = True
        if self._restocking is None or self._restocking.done():
            self._restocking = self._tasks.start(self._restock(), "journal-restock")

    async def _restock(self) -> None:
        while not await self._writer.call(self._reserve.stock):
            await self._clock.sleep(RESTOCK_SECONDS)
        self._pipeline.relieved()
        log.warning("there is space again: durable writes are taken", extra={"facts": {"folder": self._folder}})

    def _broken(self, error: FsyncFailed) -> None:
        measures.HAS_LEADER.set(0)
        self._pipeline.stop(error)
        self._hub.close(error)

    async def join(self) -> None:
        """Wait until a background task fails, and raise its error; cancel to stop waiting."""
        await self._tasks.join()

    async def close(self) -> None:
        await self._tasks.close()
        newest = await self._pipeline.drain(Closed("the journal is closed"))
        self._hub.close(StopAsyncIteration())
        async with self._compacting:
            with contextlib.suppress(Full, FsyncFailed):  # the next revision is then the next block's
                await self._writer.call(lambda connection: disk.mark(connection, "reserved", newest))
        await self._writer.close()
        self._connection.close()
        self._lock.release()
        measures.HAS_LEADER.set(0)


def _load(folder: Path, reserve: Reserve) -> tuple[apsw.Connection, disk.Loaded]:
    """On a full disk the reserve makes room for what opening needs. Raises Corrupt, JournalError."""
    try:
        connection = disk.open_file(folder)
        try:
            loaded = disk.load(connection)
            reserve.stock(connection, spare_bytes=0)
        except BaseException:
            connection.close()
            raise
    except (apsw.FullError, apsw.IOError) as error:
        if reserve.release():
            return _load(folder, reserve)
        raise JournalError(f"cannot open the journal in {folder}: {error}") from error
    except (apsw.Error, OSError) as error:
        raise JournalError(f"cannot open the journal in {folder}: {error}") from error
    return connection, loaded
