"""What the server has, kept here: listed once, then watched.

Invariants:
- A kind's table only ever holds what the server had at the table's revision, and revisions only grow.
- A subscriber hears of every object exactly once per change that the cache saw, in order within a kind, also of
  those that existed before it subscribed. When it is called the cache already holds the new state.
- Fed by a `Feed` (in the journal's process) all kinds move together and the cache is one consistent snapshot.
  Fed by one watch per kind, kinds move apart; planners are right under that skew.

The cache writes nothing and decides nothing. Kinds come and go with the roster.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop.snapshot import Snapshot
from reconciler.loop.table import Table
from reconciler.model import errors, meta, plan
from reconciler.model.roster import Roster

log = logging.getLogger(__name__)

Subscriber = Callable[[str, meta.Obj | None, meta.Obj | None], None]  # (kind, old, new)

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 10.0
LISTS_AT_ONCE = 8


class Cache(Snapshot):
    """Implements model.view.View over what `client` has of `kinds` (None: of every kind that can be watched)."""

    def __init__(self, client: protocol.Client, clock: clocks.Clock, kinds: Iterable[str] | None = None) -> None:
        super().__init__(Roster(), {})
        self._client = client
        self._clock = clock
        self._declared = None if kinds is None else set(kinds)
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._advanced: list[Callable[[], None]] = []
        self._waiters: list[tuple[str, int, asyncio.Future[None]]] = []
        self._synced = asyncio.Event()
        self._roster_stale = asyncio.Event()
        self._tasks = tasks.Tasks()
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._missed: dict[str, list[protocol.Event]] = {}  # what the feed brought while a kind was being listed
        self._fed = 0  # revision that the feed has reached

    async def run(self) -> None:
        """Keep the tables current until cancelled."""
        self._roster = await self._client.roster()
        await self._load(sorted(self._wanted(self._roster)))
        self._synced.set()
        self._publish(self._tables)
        if isinstance(self._client, protocol.Feed):
            self._tasks.start(self._follow_feed(self._client), "cache feed")
        else:
            for kind in self._tables:
                self._start_watch(kind)
        self._tasks.start(self._follow_roster(), "cache roster")
        try:
            await self._tasks.join()
        finally:
            await self._tasks.close()

    async def close(self) -> None:
        await self._tasks.close()

    async def synced(self) -> None:
        """Return once every wanted kind was listed."""
        await self._synced.wait()

    @property
    def is_synced(self) -> bool:
        return self._synced.is_set()

    def revision(self, kind: str) -> int:
        return max(self._tables[kind].revision, self._fed)

    async def reached(self, kind: str, revision: int) -> None:
        """Return once the cache holds everything of `kind` up to `revision`."""
        if self.has(kind) and self.revision(kind) >= revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((kind, revision, waiter))
        await waiter

    async def refresh(self, kind: str) -> None:
        """Ask the server what there is of `kind`; for a quiet kind whose revision the watch does not tell."""
        if self.has(kind):
            await self._relist(kind)
            self._advance()

    def subscribe(self, kinds: Iterable[str], subscriber: Subscriber) -> None:
        """Call `subscriber` for every change of `kinds` (plan.EVERY_KIND: of all), and now for what is there."""
        wanted = list(kinds)
        for kind in wanted:
            self._subscribers.setdefault(kind, []).append(subscriber)
        if self.is_synced:
            for kind in self._tables if plan.EVERY_KIND in wanted else [kind for kind in wanted if self.has(kind)]:
                for obj in self.every(kind):
                    subscriber(kind, None, obj)

    def on_advance(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the revision of some kind has grown and its changes were delivered."""
        self._advanced.append(callback)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Never call `subscriber` again."""
        self._subscribers = {kind: [one for one in some if one != subscriber] for kind, some in self._subscribers.items()}

    def _wanted(self, roster: Roster) -> set[str]:
        served = {kind.id for kind in roster if "watch" in kind.verbs and "list" in kind.verbs}
        return served if self._declared is None else served & self._declared

    async def _load(self, kinds: Iterable[str]) -> None:
        """List `kinds`; their tables appear together when all are listed."""
        gate = asyncio.Semaphore(LISTS_AT_ONCE)
        loaded: dict[str, Table] = {}

        async def load(kind: str) -> None:
            async with gate:
                listing = await self._list(kind)
            table = Table(listing.revision)
            for obj in listing.items:
                table.put(obj)
            loaded[kind] = table

        await asyncio.gather(*map(load, kinds))
        self._tables.update(loaded)
        if not self.is_synced:
            self._fed = min((table.revision for table in loaded.values()), default=0) if self._is_fed else 0

    @property
    def _is_fed(self) -> bool:
        return isinstance(self._client, protocol.Feed)

    async def _list(self, kind: str) -> protocol.Listing:
        """List until it succeeds; only being cancelled ends it."""
        delay_seconds = FIRST_RETRY_SECONDS
        while True:
            try:
                return await self._client.list(kind)
            except (errors.StatusError, protocol.Unknown, OSError) as error:
                log.warning("list failed", extra={"facts": {"kind": kind, "error": error, "retry_seconds": delay_seconds}})
            await self._clock.sleep(delay_seconds)
            delay_seconds = min(2 * delay_seconds, LAST_RETRY_SECONDS)

    # One stream for all kinds.

    async def _follow_feed(self, source: protocol.Feed) -> None:
        while True:
            try:
                async for step in source.feed(self._fed):
                    self._take_step(step)
            except errors.StatusError as error:
                log.warning("feed broke, listing again", extra={"facts": {"error": error}})
            await self._clock.sleep(FIRST_RETRY_SECONDS)
            self._fed = max(self._fed, min([await self._relist(kind) for kind in list(self._tables)], default=0))
            self._advance()

    def _take_step(self, step: protocol.Step) -> None:
        for kind, event in step.changes:
            table = self._tables.get(kind)
            if table is not None:
                self._take(kind, table, event)
            elif kind in self._missed:
                self._missed[kind].append(event)
        self._fed = step.revision
        self._advance()

    # One stream per kind.

    def _start_watch(self, kind: str) -> None:
        self._watches[kind] = self._tasks.start(self._follow_watch(kind), f"cache {kind}")

    async def _follow_watch(self, kind: str) -> None:
        delay_seconds = FIRST_RETRY_SECONDS
        while True:
            table = self._tables[kind]
            try:
                async for batch in self._client.watch(kind, table.revision):
                    for event in batch:
                        self._take(kind, table, event)
                    self._advance()
                    delay_seconds = FIRST_RETRY_SECONDS
            except errors.StatusError as error:
                log.info("watch refused, listing again", extra={"facts": {"kind": kind, "error": error}})
                await self._clock.sleep(delay_seconds)
                await self._relist(kind)
                self._advance()
            except (protocol.Unknown, OSError) as error:
                log.info("watch broke", extra={"facts": {"kind": kind, "error": error}})
                await self._clock.sleep(delay_seconds)
            delay_seconds = min(2 * delay_seconds, LAST_RETRY_SECONDS)

    async def _relist(self, kind: str) -> int:
        """Bring the table to what the server has now, as changes that subscribers hear of."""
        listing = await self._list(kind)
        table = self._tables[kind]
        if listing.revision < table.revision:
            return listing.revision  # the watch was faster
        gone = table.objects.keys() - {meta.key(obj) for obj in listing.items}
        table.revision = max(table.revision, listing.revision)
        for key in sorted(gone):
            self._tell(kind, table.remove(key), None)
        for obj in listing.items:
            old = table.get(meta.key(obj))
            if old is None or meta.resource_version(old) != meta.resource_version(obj):
                self._tell(kind, table.put(obj), obj)
        return listing.revision

    def _take(self, kind: str, table: Table, event: protocol.Event) -> None:
        if event.revision <= table.revision:
            return  # the listing had it already
        table.revision = event.revision
        if event.type == "BOOKMARK":
            return
        if event.type == "DELETED":
            old = table.remove(meta.key(event.obj))
            if old is not None:
                self._tell(kind, old, None)
        else:
            self._tell(kind, table.put(event.obj), event.obj)

    def _tell(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        for subscriber in self._subscribers.get(kind, ()):
            subscriber(kind, old, new)
        for subscriber in self._subscribers.get(plan.EVERY_KIND, ()):
            subscriber(kind, old, new)
        if kind == DEFINITIONS:
            self._roster_stale.set()

    def _publish(self, kinds: Iterable[str]) -> None:
        for kind in list(kinds):
            for obj in self.every(kind):
                self._tell(kind, None, obj)
        self._advance()

    def _advance(self) -> None:
        for callback in self._advanced:
            callback()
        if self._waiters:
            waiting, self._waiters = self._waiters, []
            for kind, revision, waiter in waiting:
                if waiter.done():
                    continue
                if self.has(kind) and self.revision(kind) >= revision:
                    waiter.set_result(None)
                else:
                    self._waiters.append((kind, revision, waiter))

    # The roster.

    async def _follow_roster(self) -> None:
        while True:
            await self._roster_stale.wait()
            self._roster_stale.clear()
            try:
                roster = await self._client.roster()
            except (errors.StatusError, protocol.Unknown, OSError) as error:
                log.warning("reading the roster failed", extra={"facts": {"error": error}})
                await self._clock.sleep(LAST_RETRY_SECONDS)
                self._roster_stale.set()
                continue
            await self._adopt(roster)

    async def _adopt(self, roster: Roster) -> None:
        """Whoever looks at the view meanwhile sees no kind without its table."""
        wanted = self._wanted(roster)
        gone, new = self._tables.keys() - wanted, sorted(wanted - self._tables.keys())
        self._roster = self._roster.without(gone)
        for kind in gone:
            self._drop(kind)
        self._missed = {kind: [] for kind in new}
        await self._load(new)
        self._roster = roster
        self._publish(new)
        missed, self._missed = self._missed, {}
        for kind in new:
            for event in missed[kind]:
                self._take(kind, self._tables[kind], event)
            if not self._is_fed:
                self._start_watch(kind)
        self._advance()

    def _drop(self, kind: str) -> None:
        watch = self._watches.pop(kind, None)
        if watch is not None:
            watch.cancel()
        table = self._tables[kind]
        for key in sorted(table.objects):
            self._tell(kind, table.remove(key), None)
        del self._tables[kind]
