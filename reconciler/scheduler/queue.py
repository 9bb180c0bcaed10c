"""Pods that wait for a node: who is next, who has to wait, and what wakes whom.

- active: ready, by priority and then by how long they have been ready;
- backing off: woken or failed a short while ago; the wait doubles with every attempt. While nothing is active those
  that only found no node are taken before their time, the highest priority first;
- unschedulable: no node fitted; they sleep until a change that takes away one of the reasons they met, or five
  minutes;
- gated: spec.schedulingGates hold them.

Unschedulable pods are kept by what would wake them (shape and reasons), so that a change is judged once for a
thousand equal pods. Every pod is in one place only, so what bounds the pods bounds the queue. Times are seconds of a
monotonic clock, handed in.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from reconciler.model import meta
from reconciler.placement import pods as pod_facts
from reconciler.scheduler.rules import Filter
from reconciler.scheduler.shape import Shape

MAX_UNSCHEDULABLE_SECONDS = 300.0


class Place(Enum):
    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"


Waker = tuple[Shape, frozenset[str]]  # what is woken together: pods of one shape that met the same filters


@dataclass(slots=True)
class Waiting:
    """A pod in the queue. `ticket` tells the current heap entry from outdated ones."""

    pod: meta.Obj
    shape: Shape
    place: Place
    first_seen: float
    attempts: int = 0
    tried_at: float = 0.0
    ticket: int = 0
    filters: frozenset[str] = frozenset()
    failed: bool = False  # the last attempt ended in an error, not for want of a node

    @property
    def waker(self) -> Waker:
        return self.shape, self.filters


class Queue:
    def __init__(self, filters: Iterable[Filter], initial_backoff_seconds: float = 1.0, max_backoff_seconds: float = 10.0) -> None:
        self._filters = {rule.name: rule for rule in filters}
        self._initial_backoff_seconds = initial_backoff_seconds
        self._max_backoff_seconds = max_backoff_seconds
        self._waiting: dict[meta.Key, Waiting] = {}
        self._active: list[tuple[int, int, meta.Key]] = []  # -priority, ticket, key
        self._backoff: list[tuple[float, int, meta.Key]] = []  # ready at, ticket, key
        self._early: list[tuple[int, int, meta.Key]] = []  # -priority, ticket, key of those in `_backoff` that may be early
        self._sleeping: dict[Waker, dict[meta.Key, None]] = {}
        self._tickets = 0
        self._counts = dict.fromkeys(Place, 0)

    def __contains__(self, key: meta.Key) -> bool:
        return key in self._waiting

    def count(self, place: Place) -> int:
        return self._counts[place]

    def put(self, pod: meta.Obj, shape: Shape, now: float) -> None:
        """A pending pod as it is now. One whose shape changed is tried again at once; a new status alone wakes nobody."""
        key = meta.key(pod)
        gated = pod_facts.is_gated(pod)
        waiting = self._waiting.get(key)
        if waiting is not None and meta.uid(waiting.pod) != meta.uid(pod):
            self.remove(key)
            waiting = None
        if waiting is None:
            waiting = self._waiting[key] = Waiting(pod, shape, Place.GATED, now)
            self._counts[Place.GATED] += 1
            if not gated:
                self._activate(key, waiting)
            return
        waiting.pod = pod
        if gated != (waiting.place is Place.GATED) or shape is not waiting.shape:
            self._leave(key, waiting)
            waiting.shape = shape
            self._enter(waiting, Place.GATED if gated else Place.ACTIVE)
            if not gated:
                self._activate(key, waiting)

    def remove(self, key: meta.Key) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._leave(key, waiting)
            self._counts[waiting.place] -= 1
            del self._waiting[key]

    def pop(self, now: float) -> Waiting | None:
        """The next pod to try; it leaves the queue until it is put back by `sleep`, `retry` or `resume`."""
        self._wake_due(now)
        waiting = self._pop_active() or self._pop_early()
        if waiting is not None:
            self._counts[waiting.place] -= 1
            del self._waiting[meta.key(waiting.pod)]
            waiting.attempts += 1
            waiting.tried_at = now
        return waiting

    def resume(self, waiting: Waiting) -> None:
        """The attempt has not come to its end: it goes on with the next pop, before others of its priority."""
        waiting.attempts -= 1
        waiting.place = Place.ACTIVE
        key = meta.key(waiting.pod)
        self._waiting[key] = waiting
        self._counts[Place.ACTIVE] += 1
        heapq.heappush(self._active, (-waiting.shape.priority, waiting.ticket, key))

    def sleep(self, waiting: Waiting, filters: frozenset[str]) -> None:
        """No node fitted: until a change helps against one of `filters`, or for MAX_UNSCHEDULABLE_SECONDS."""
        key = meta.key(waiting.pod)
        waiting.filters, waiting.failed = filters, False
        waiting.place = Place.UNSCHEDULABLE
        self._waiting[key] = waiting
        self._counts[Place.UNSCHEDULABLE] += 1
        self._sleeping.setdefault(waiting.waker, {})[key] = None

    def retry(self, waiting: Waiting) -> None:
        """The attempt ended in an error: again after the back-off."""
        key = meta.key(waiting.pod)
        waiting.failed = True
        waiting.place = Place.BACKOFF
        self._waiting[key] = waiting
        self._counts[Place.BACKOFF] += 1
        self._back_off(key, waiting)

    def activate(self, key: meta.Key) -> None:
        """Try this pod now, whatever it waits for."""
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.place in (Place.UNSCHEDULABLE, Place.BACKOFF):
            self._leave(key, waiting)
            self._activate(key, waiting)

    def change(self, kind: str, old: meta.Obj | None, new: meta.Obj | None, now: float) -> bool:
        """Wake the pods that this change could help; whether there were any."""
        helped = [waker for waker in self._sleeping if self._helps(waker, kind, old, new)]
        for waker in helped:
            for key in list(self._sleeping[waker]):
                self._wake(key, self._waiting[key], now)
        return bool(helped)

    def wake_overdue(self, now: float) -> None:
        """Try pods again that have slept for very long, in case a change was not seen as helping them."""
        late = [key for keys in self._sleeping.values() for key in keys if self._waiting[key].tried_at + MAX_UNSCHEDULABLE_SECONDS <= now]
        for key in late:
            self._wake(key, self._waiting[key], now)

    def next_deadline(self) -> float | None:
        """When the earliest back-off ends; None if nothing backs off."""
        while self._backoff and not self._is_current(self._backoff[0][2], self._backoff[0][1], Place.BACKOFF):
            heapq.heappop(self._backoff)
        return self._backoff[0][0] if self._backoff else None

    def is_ready(self, now: float) -> bool:
        """Whether `pop` would find a pod."""
        deadline = self.next_deadline()
        self._drop_stale(self._early, Place.BACKOFF)
        return self._counts[Place.ACTIVE] > 0 or bool(self._early) or (deadline is not None and deadline <= now)

    def explain(self, key: meta.Key, now: float) -> str:
        """Where a pod stands and for how long, "" if it does not wait here."""
        waiting = self._waiting.get(key)
        if waiting is None:
            return ""
        since = f"waits for a node since {now - waiting.first_seen:.0f} s, {waiting.attempts} attempts"
        match waiting.place:
            case Place.ACTIVE:
                return f"{since}: is next in the queue by its priority {waiting.shape.priority}"
            case Place.BACKOFF:
                return f"{since}: backs off for {max(self._ready_at(waiting) - now, 0.0):.0f} s more"
            case Place.UNSCHEDULABLE:
                return f"{since}: until something changes that {', '.join(sorted(waiting.filters)) or 'anybody'} cares about"
            case Place.GATED:
                return f"{since}: held by its scheduling gates"

    def _helps(self, waker: Waker, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> bool:
        shape, names = waker
        if not names:
            return True
        for name in names:
            rule = self._filters.get(name)
            helps = rule.helped_by.get(kind) if rule is not None else None
            if helps is not None and helps(shape, old, new):
                return True
        return False

    def _wake(self, key: meta.Key, waiting: Waiting, now: float) -> None:
        self._leave(key, waiting)
        if self._ready_at(waiting) <= now:
            self._activate(key, waiting)
        else:
            self._enter(waiting, Place.BACKOFF)
            self._back_off(key, waiting)

    def _ready_at(self, waiting: Waiting) -> float:
        doubled = self._initial_backoff_seconds * (1 << min(waiting.attempts - 1, 30))
        return waiting.tried_at + min(doubled, self._max_backoff_seconds)

    def _wake_due(self, now: float) -> None:
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, _, key = heapq.heappop(self._backoff)
            self._activate(key, self._waiting[key])

    def _pop_active(self) -> Waiting | None:
        self._drop_stale(self._active, Place.ACTIVE)
        return self._waiting[heapq.heappop(self._active)[2]] if self._active else None

    def _pop_early(self) -> Waiting | None:
        self._drop_stale(self._early, Place.BACKOFF)
        if not self._early:
            return None
        return self._waiting[heapq.heappop(self._early)[2]]

    def _drop_stale(self, heap: list[tuple[int, int, meta.Key]], place: Place) -> None:
        while heap and not self._is_current(heap[0][2], heap[0][1], place):
            heapq.heappop(heap)

    def _activate(self, key: meta.Key, waiting: Waiting) -> None:
        self._enter(waiting, Place.ACTIVE)
        self._tickets += 1
        waiting.ticket = self._tickets
        heapq.heappush(self._active, (-waiting.shape.priority, waiting.ticket, key))

    def _back_off(self, key: meta.Key, waiting: Waiting) -> None:
        self._tickets += 1
        waiting.ticket = self._tickets
        heapq.heappush(self._backoff, (self._ready_at(waiting), waiting.ticket, key))
        if not waiting.failed:
            heapq.heappush(self._early, (-waiting.shape.priority, waiting.ticket, key))

    def _enter(self, waiting: Waiting, place: Place) -> None:
        self._counts[waiting.place] -= 1
        self._counts[place] += 1
        waiting.place = place

    def _leave(self, key: meta.Key, waiting: Waiting) -> None:
        """Out of the place's own books; heap entries go stale by their ticket."""
        waiting.ticket = 0
        if waiting.place is Place.UNSCHEDULABLE:
            keys = self._sleeping[waiting.waker]
            del keys[key]
            if not keys:
                del self._sleeping[waiting.waker]

    def _is_current(self, key: meta.Key, ticket: int, place: Place) -> bool:
        waiting = self._waiting.get(key)
        return waiting is not None and waiting.ticket == ticket and waiting.place is place

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())
