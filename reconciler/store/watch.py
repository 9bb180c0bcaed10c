"""Fan-out of changes to watchers by prefix.

A group of changes is sorted by prefix once and every watcher of a prefix gets the same Batch, so that a thousand
watchers cost a thousand appends. Queues are bounded: who falls behind is cut off and must list again. Not here:
history; the journal hands in what a new watcher missed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from reconciler.kit.clock import Clock
from reconciler.store.types import Batch, Change, Compacted

PENDING_CHANGES = 16_384  # per watcher
BOOKMARK_SECONDS = 10.0


class Watcher:
    """One subscription; see types.Watch. For one reader at a time."""

    def __init__(self, hub: "Hub", prefix: str, revision: int) -> None:
        self.prefix = prefix
        self.revision = revision  # queued or delivered up to here
        self._hub = hub
        self._queue: deque[Batch] = deque()
        self._pending = 0
        self._wake: asyncio.Future[None] | None = None
        self._end: Exception | None = None

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self

    async def __anext__(self) -> Batch:
        while not self._queue:
            if self._end is not None:
                raise self._end
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        batch = self._queue.popleft()
        self._pending -= len(batch.changes)
        return batch

    def arrived(self) -> Sequence[Batch]:
        batches = tuple(self._queue)
        self._queue.clear()
        self._pending = 0
        return batches

    def close(self) -> None:
        self._hub.remove(self)
        self.end(StopAsyncIteration())

    @property
    def idle(self) -> bool:
        return not self._queue

    def feed(self, batch: Batch) -> None:
        """Queue `batch`, or end the watch when too much waits already."""
        if self._pending and self._pending + len(batch.changes) > PENDING_CHANGES:
            self._hub.remove(self)
            self.end(Compacted(self.revision, batch.revision))
            return
        self._queue.append(batch)
        self._pending += len(batch.changes)
        self.revision = batch.revision
        self._notify()

    def end(self, error: Exception) -> None:
        """Drop what waits and raise `error` at the reader."""
        self._queue.clear()
        self._pending = 0
        self._end = error
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class Hub:
    """All watchers of a journal."""

    def __init__(self) -> None:
        self._watchers: dict[str, dict[Watcher, None]] = {}  # by prefix, in order of arrival
        self._lengths: tuple[int, ...] = ()  # of the prefixes

    def add(self, prefix: str, revision: int, missed: Sequence[Change], current: int) -> Watcher:
        """A watcher from `revision` on; `missed` are the changes from there to `current`."""
        watcher = Watcher(self, prefix, revision)
        self._watchers.setdefault(prefix, {})[watcher] = None
        self._measure()
        if revision < current:
            watcher.feed(Batch(tuple(missed), current))
        return watcher

    def remove(self, watcher: Watcher) -> None:
        same = self._watchers.get(watcher.prefix, {})
        same.pop(watcher, None)
        if not same:
            self._watchers.pop(watcher.prefix, None)
            self._measure()

    def publish(self, changes: Sequence[Change], revision: int) -> None:
        """Deliver `changes`, everything up to `revision`."""
        by_prefix: dict[str, list[Change]] = {}
        for change in changes:
            key = change.entry.key
            for length in self._lengths:
                prefix = key[:length]
                if len(prefix) == length and prefix in self._watchers:
                    by_prefix.setdefault(prefix, []).append(change)
        for prefix, matching in by_prefix.items():
            batch = Batch(tuple(matching), revision)
            for watcher in tuple(self._watchers[prefix]):
                watcher.feed(batch)

    def bookmark(self, revision: int) -> None:
        """Tell the watchers that saw nothing for a while that they are complete up to `revision`."""
        batch = Batch((), revision)
        for watchers in self._watchers.values():
            for watcher in watchers:
                if watcher.idle and watcher.revision < revision:
                    watcher.feed(batch)

    async def bookmarks(self, clock: Clock, interval_seconds: float, revision: Callable[[], int]) -> None:
        """Send one now and then until cancelled."""
        while True:
            await clock.sleep(interval_seconds)
            self.bookmark(revision())

    def close(self, error: Exception) -> None:
        """End every watch."""
        for watchers in tuple(self._watchers.values()):
            for watcher in tuple(watchers):
                self.remove(watcher)
                watcher.end(error)

    def __len__(self) -> int:
        return sum(len(watchers) for watchers in self._watchers.values())

    def _measure(self) -> None:
        self._lengths = tuple(sorted({len(prefix) for prefix in self._watchers}))
