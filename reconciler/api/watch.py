"""Who watches what: steps of the cache become events for every watcher whom they concern.

Invariants: a watcher sees each step after its start once, in order; an object that begins or ceases to match a
selector is ADDED or DELETED for that watcher; all events of one batch reach a watcher in one call of its sink.
Watchers of one field's value (a node's pods, one config map) are found through that value, so that a thousand nodes
watching their own pods cost one look-up a step.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from reconciler.api import selecting
from reconciler.api.cache import Cache, Item, Step
from reconciler.model import meta, selectors

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
Place = tuple[str, str]

EVERYWHERE: Place = ("", "")
NAMESPACE = "namespace"


class Seen(NamedTuple):
    """One event for one watcher; `step` is where encoded frames are shared."""

    type: EventType
    item: Item
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """What a watcher asked for. `namespace` None: all."""

    kind: str  # Kind.storage_id
    namespace: str | None = None
    labels: selectors.Selector = selectors.EVERYTHING
    fields: selecting.Terms = ()

    def holds(self, item: Item | None) -> bool:
        """Whether an object is of interest; its namespace was already looked at."""
        if item is None:
            return False
        if self.fields and not all(term.holds(item.obj) for term in self.fields):
            return False
        return self.labels is selectors.EVERYTHING or self.labels.matches(meta.labels(item.obj))

    @property
    def is_selective(self) -> bool:
        return bool(self.fields) or self.labels is not selectors.EVERYTHING

    @property
    def trigger(self) -> selecting.Term | None:
        """The field whose value finds this watcher."""
        return next((term for term in self.fields if not term.negated and term.field != "metadata.namespace"), None)


class Watcher:
    """`sink` gets the events of each batch, `ended` is called when history was lost (the client lists again)."""

    __slots__ = ("_pending", "ended", "interest", "sink")

    def __init__(self, interest: Interest, sink: Callable[[Sequence[Seen]], None], ended: Callable[[], None]) -> None:
        self.interest = interest
        self.sink = sink
        self.ended = ended
        self._pending: list[Seen] = []

    def see(self, step: Step) -> bool:
        """Note what `step` means to this watcher; whether it is the first of its batch."""
        event = self.event(step)
        if event is None:
            return False
        self._pending.append(event)
        return len(self._pending) == 1

    def flush(self) -> None:
        pending, self._pending = self._pending, []
        self.sink(pending)

    def event(self, step: Step) -> Seen | None:
        before, after = step.before, step.after
        interest = self.interest
        if interest.is_selective:
            before = before if interest.holds(before) else None
            after = after if interest.holds(after) else None
        if after is not None:
            return Seen("ADDED" if before is None else "MODIFIED", after, step)
        return Seen("DELETED", step.gone, step) if before is not None else None


class _Audience:
    """The watchers of one kind, by the place where they are found."""

    def __init__(self) -> None:
        self.places: dict[Place, dict[Watcher, None]] = {}  # in the order they came
        self.triggers: dict[str, Callable[[meta.Obj], str]] = {}

    def place_of(self, interest: Interest) -> Place:
        trigger = interest.trigger
        if trigger is not None:
            return trigger.field, trigger.value
        return (NAMESPACE, interest.namespace) if interest.namespace is not None else EVERYWHERE

    def concerned(self, step: Step) -> Iterator[Watcher]:
        """Every watcher that may care, each once; those found by a field have yet to look at the namespace."""
        namespace = step.key.split("/", 1)[0]
        yield from self.places.get(EVERYWHERE, ())
        yield from self.places.get((NAMESPACE, namespace), ())
        for field, read in self.triggers.items():
            values = [read(item.obj) for item in (step.before, step.after) if item is not None]
            for value in dict.fromkeys(values):
                for watcher in self.places.get((field, value), ()):
                    if watcher.interest.namespace in (None, namespace):
                        yield watcher


class Watches:
    """All watchers of the server."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._audiences: dict[str, _Audience] = {}
        self.count = 0
        cache.subscribe(self._dispatch, self._reset)

    async def start(self, watcher: Watcher, revision: int) -> None:
        """Begin after `revision`. Raises StatusError 410 (compacted), 504 (not reached)."""
        await self._cache.at_least(revision)
        past = await self._cache.history(watcher.interest.kind, revision)
        self._enter(watcher)
        mine = [event for step in past if self._is_near(watcher, step) and (event := watcher.event(step)) is not None]
        if mine:
            watcher.sink(mine)

    def start_now(self, watcher: Watcher) -> None:
        """Begin with what comes next; the caller has just read the cache without awaiting since."""
        self._enter(watcher)

    def stop(self, watcher: Watcher) -> None:
        audience = self._audiences.get(watcher.interest.kind)
        if audience is None:
            return
        place = audience.place_of(watcher.interest)
        watchers = audience.places.get(place, {})
        if watcher not in watchers:
            return
        del watchers[watcher]
        self.count -= 1
        if not watchers:
            del audience.places[place]
            if not any(field == place[0] for field, _ in audience.places):
                audience.triggers.pop(place[0], None)

    def _enter(self, watcher: Watcher) -> None:
        audience = self._audiences.setdefault(watcher.interest.kind, _Audience())
        audience.places.setdefault(audience.place_of(watcher.interest), {})[watcher] = None
        trigger = watcher.interest.trigger
        if trigger is not None:
            audience.triggers[trigger.field] = trigger.read
        self.count += 1

    def _is_near(self, watcher: Watcher, step: Step) -> bool:
        namespace = watcher.interest.namespace
        return namespace is None or step.key.startswith(namespace + "/")

    def _dispatch(self, _: int, steps: Sequence[Step]) -> None:
        touched: list[Watcher] = []
        for step in steps:
            audience = self._audiences.get(step.kind)
            if audience is not None:
                touched += [watcher for watcher in audience.concerned(step) if watcher.see(step)]
        _flush(touched)

    def _reset(self) -> None:
        """History was lost: every watcher ends and lists again."""
        audiences, self._audiences, self.count = self._audiences, {}, 0
        for audience in audiences.values():
            for watchers in audience.places.values():
                for watcher in watchers:
                    watcher.ended()


def _flush(watchers: Iterable[Watcher]) -> None:
    for watcher in watchers:
        watcher.flush()
