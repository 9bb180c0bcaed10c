"""The watch cache: every live object of the journal in memory, and the recent steps that led there.

Role: one reader of the journal for the whole server. Reads are answered from here once the cache has reached the
journal's revision (`fresh`), so a read always sees every write that was acknowledged before it began.
Invariants: items are replaced, never changed; a shelf's keys are sorted; steps are in revision order; subscribers
are called once per batch, synchronously, after the whole batch is visible.
Deliberately not here: who watches what (watch.py), how an object looks on the wire (wire.py).
"""

import asyncio
import bisect
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from reconciler.model import errors, meta
from reconciler.store import types

STEPS_KEPT = 1024  # per kind; older history is read from the journal
REPLAY_MOST = 100_000  # steps that one watch may replay from the journal
TOO_NEW_SECONDS = 3.0  # how long a read waits for a revision that the journal has not reached, as kube-apiserver does
SLICE = 500  # objects decoded at boot between two turns of the event loop


class Item:
    """One object at one revision: decoded with its resourceVersion, and as the bytes that the journal holds."""

    __slots__ = ("obj", "revision", "value")

    def __init__(self, obj: meta.Obj, revision: int, value: bytes) -> None:
        self.obj = obj
        self.revision = revision
        self.value = value

    @classmethod
    def of(cls, entry: types.Entry) -> "Item":
        assert entry.value is not None
        stored = entry.obj if entry.obj is not None else orjson.loads(entry.value)
        return cls(stamped(stored, entry.mod_revision), entry.mod_revision, entry.value)

    def at(self, revision: int) -> "Item":
        """The same content under a later revision: how a deletion shows the object that is gone."""
        return Item(stamped(self.obj, revision), revision, self.value)


def stamped(obj: meta.Obj, revision: int) -> dict[str, Any]:
    """`obj` with its resourceVersion, behind the uid where Kubernetes has it."""
    metadata: dict[str, Any] = {}
    for key, value in meta.meta(obj).items():
        metadata[key] = value
        if key == "uid":
            metadata["resourceVersion"] = ""
    metadata["resourceVersion"] = str(revision)
    return {**obj, "metadata": metadata}


class Step:
    """One change of one object. `before` is None for a creation, `after` for a deletion."""

    __slots__ = ("_gone", "after", "before", "frames", "key", "kind", "revision")

    def __init__(self, kind: str, key: str, before: Item | None, after: Item | None, revision: int) -> None:
        self.kind = kind  # Kind.storage_id
        self.key = key  # NAMESPACE/NAME
        self.before = before
        self.after = after
        self.revision = revision
        self.frames: dict[Any, bytes] = {}  # what watch.py encoded once for all watchers of one representation
        self._gone: Item | None = None

    @property
    def gone(self) -> Item:
        """What a watcher is shown for whom the object disappeared: its last state at this revision."""
        if self._gone is None:
            assert self.before is not None
            self._gone = self.before.at(self.revision)
        return self._gone


class Shelf:
    """The objects of one kind, their keys "NAMESPACE/NAME" in order, and the recent steps."""

    __slots__ = ("floor", "items", "keys", "steps")

    def __init__(self, floor: int) -> None:
        self.items: dict[str, Item] = {}
        self.keys: list[str] = []
        self.steps: deque[Step] = deque()
        self.floor = floor  # every step above this revision is in `steps`

    def in_order(self, namespace: str | None = None, after: str = "") -> Iterator[tuple[str, Item]]:
        """Items by key, of one namespace or (None) of all, from behind the key `after` on."""
        keys = self.keys
        first, end = 0, len(keys)
        if namespace is not None:
            first, end = bisect.bisect_left(keys, namespace + "/"), bisect.bisect_left(keys, namespace + "0")  # "0" follows "/"
        if after:
            first = max(first, bisect.bisect_right(keys, after))
        return ((key, self.items[key]) for key in keys[first:end])

    def put(self, key: str, item: Item) -> Item | None:
        before = self.items.get(key)
        self.items[key] = item
        if before is None:
            bisect.insort(self.keys, key)
        return before

    def drop(self, key: str) -> Item | None:
        before = self.items.pop(key, None)
        if before is not None:
            del self.keys[bisect.bisect_left(self.keys, key)]
        return before

    @property
    def changed(self) -> int:
        """The revision of the last change, or one from before which nothing is known."""
        return self.steps[-1].revision if self.steps else self.floor

    def since(self, revision: int) -> list[Step]:
        """The kept steps above `revision`, read from the newest back."""
        found = []
        for step in reversed(self.steps):
            if step.revision <= revision:
                break
            found.append(step)
        found.reverse()
        return found

    def record(self, step: Step) -> None:
        self.steps.append(step)
        if len(self.steps) > STEPS_KEPT:
            self.floor = self.steps.popleft().revision


Subscriber = Callable[[int, Sequence[Step]], None]  # (revision reached, steps in order)


class Cache:
    """`await load()` once, then keep `run()` running."""

    def __init__(self, journal: types.Journal) -> None:
        self.journal = journal
        self.revision = 0
        self._shelves: dict[str, Shelf] = {}
        self._floor = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._subscribers: list[Subscriber] = []
        self._resets: list[Callable[[], None]] = []
        self._watch: types.Watch | None = None

    def subscribe(self, steps: Subscriber, reset: Callable[[], None]) -> Callable[[], None]:
        """Call `steps` after every batch, and `reset` when history was lost and everything was read anew.

        What is returned ends the subscription.
        """
        self._subscribers.append(steps)
        self._resets.append(reset)

        def unsubscribe() -> None:
            self._subscribers.remove(steps)
            self._resets.remove(reset)

        return unsubscribe

    async def load(self) -> None:
        """Read every live object. Called again only when the journal compacted what the cache had not yet seen."""
        found = await self.journal.range("")
        shelves: dict[str, Shelf] = {}
        for index, entry in enumerate(found.entries):
            kind_id, key = entry.key.split("/", 1)
            shelf = shelves.get(kind_id)
            if shelf is None:
                shelf = shelves[kind_id] = Shelf(found.revision)
            shelf.items[key] = Item.of(entry)
            shelf.keys.append(key)
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        for shelf in shelves.values():
            shelf.keys.sort()
        self._shelves, self.revision, self._floor = shelves, found.revision, found.revision
        self._wake()

    async def run(self) -> None:
        """Follow the journal for ever."""
        while True:
            watch = self._watch = self.journal.watch("", self.revision)
            try:
                async for batch in watch:
                    self._apply(batch)
            except types.Compacted:
                await self.load()
                for reset in tuple(self._resets):
                    reset()
            finally:
                self._watch = None
                watch.close()

    def shelf(self, kind_id: str) -> Shelf:
        shelf = self._shelves.get(kind_id)
        if shelf is None:
            shelf = self._shelves[kind_id] = Shelf(self._floor)
        return shelf

    def get(self, kind_id: str, namespace: str, name: str) -> Item | None:
        return self.shelf(kind_id).items.get(f"{namespace}/{name}")

    def counts(self) -> dict[str, int]:
        return {kind_id: len(shelf.items) for kind_id, shelf in self._shelves.items()}

    async def fresh(self) -> None:
        """Return once every write acknowledged so far is visible here: as a rule at once, without a turn of the event loop."""
        if self.revision < self.journal.revision and self._watch is not None:
            for batch in self._watch.arrived():
                self._apply(batch)
        if self.revision < self.journal.revision:
            await self._reached(self.journal.revision)

    async def at_least(self, revision: int) -> None:
        """Return once `revision` is visible. Raises StatusError 504 when it lies too far in the future."""
        if self.revision >= revision:
            return
        try:
            await asyncio.wait_for(self._reached(revision), TOO_NEW_SECONDS)
        except TimeoutError:
            raise too_large(revision, self.revision) from None

    async def history(self, kind_id: str, revision: int) -> list[Step]:
        """The steps of one kind ("": of all) above `revision` up to now. Raises StatusError 410 when compacted.

        The caller subscribes without awaiting in between, and so misses nothing.
        """
        steps = list[Step]()
        while revision < self.revision and (recent := self._recent(kind_id, revision)) is None:
            target = self.revision
            steps += await self._replay(kind_id, revision, target)
            revision = target
        return steps + (recent or [] if revision < self.revision else [])

    def _recent(self, kind_id: str, revision: int) -> list[Step] | None:
        """What the shelves still have above `revision`; None when that is not all of it."""
        shelves = [self.shelf(kind_id)] if kind_id else list(self._shelves.values())
        if any(shelf.floor > revision for shelf in shelves):
            return None
        found = [step for shelf in shelves for step in shelf.since(revision)]
        return found if kind_id else sorted(found, key=lambda step: step.revision)

    async def _replay(self, kind_id: str, revision: int, target: int) -> list[Step]:
        steps = list[Step]()
        try:
            watch = self.journal.watch(f"{kind_id}/" if kind_id else "", revision)
            try:
                async for batch in watch:
                    steps += [_step(change) for change in batch.changes if change.revision <= target]
                    if len(steps) > REPLAY_MOST:
                        raise errors.gone(f"too old resource version: {revision} ({steps[-1].revision})")
                    if batch.revision >= target:
                        break
            finally:
                watch.close()
        except types.Compacted as error:
            raise errors.gone(f"too old resource version: {revision} ({error.oldest})") from error
        return steps

    def _apply(self, batch: types.Batch) -> None:
        steps = []
        for change in batch.changes:
            kind_id, key = change.entry.key.split("/", 1)
            shelf = self.shelf(kind_id)
            if change.entry.value is None:
                before = shelf.drop(key)
                if before is None:
                    continue
                step = Step(kind_id, key, before, None, change.revision)
            else:
                after = Item.of(change.entry)
                step = Step(kind_id, key, shelf.put(key, after), after, change.revision)
            shelf.record(step)
            steps.append(step)
        self.revision = max(self.revision, batch.revision)
        self._wake()
        for subscriber in tuple(self._subscribers):
            subscriber(self.revision, steps)

    async def _reached(self, revision: int) -> None:
        if self.revision >= revision:  # reached before this coroutine had its first turn
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        await future

    def _wake(self) -> None:
        if not self._waiting:
            return
        still = []
        for revision, future in self._waiting:
            if revision > self.revision:
                still.append((revision, future))
            elif not future.done():
                future.set_result(None)
        self._waiting = [(revision, future) for revision, future in still if not future.done()]


def too_large(revision: int, current: int) -> errors.StatusError:
    details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    message = f"Timeout: Too large resource version: {revision}, current: {current}"
    return errors.StatusError(504, "Timeout", message, details=details, retry_after_seconds=1)


def _step(change: types.Change) -> Step:
    before = Item.of(change.previous) if change.previous is not None and change.previous.value is not None else None
    after = Item.of(change.entry) if change.entry.value is not None else None
    kind_id, key = change.entry.key.split("/", 1)
    return Step(kind_id, key, before, after, change.revision)
