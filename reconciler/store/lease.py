"""Leases: keys that are removed when nobody keeps them alive.

Pure bookkeeping on monotonic seconds that are handed in; the journal removes the keys. A lease lives on disk only in
the rows of its keys: after a restart it has its whole time again, and one without keys is gone.
"""

import heapq
import math
from dataclasses import dataclass, field

from reconciler.store.types import Change


@dataclass(slots=True)
class Lease:
    ttl_seconds: float
    deadline: float
    ended: bool = False  # takes no further keys; it goes when the ones it has are removed
    keys: set[str] = field(default_factory=set)


class Leases:
    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self._deadlines: list[tuple[float, int]] = []  # a heap; an entry is stale unless its lease has that deadline

    def grant(self, lease: int, ttl_seconds: float, now: float) -> None:
        self._leases[lease] = Lease(ttl_seconds, now + ttl_seconds)
        heapq.heappush(self._deadlines, (now + ttl_seconds, lease))

    def keep_alive(self, lease: int, now: float) -> None:
        """Raises KeyError for a lease that is gone."""
        held = self._usable(lease)
        held.deadline = now + held.ttl_seconds

    def ttl_seconds(self, lease: int) -> float:
        """0 for no lease. Raises KeyError for one that is gone."""
        return self._usable(lease).ttl_seconds if lease else 0.0

    def end(self, lease: int) -> None:
        """Its keys are to be removed: it counts as expired until dropped. Raises KeyError for a lease that is gone."""
        held = self._leases[lease]
        held.ended = True
        held.deadline = -math.inf
        heapq.heappush(self._deadlines, (held.deadline, lease))

    def attach(self, lease: int, key: str) -> None:
        if lease in self._leases:
            self._leases[lease].keys.add(key)

    def follow(self, change: Change) -> None:
        """A key belongs to the lease that its last write named."""
        before = change.previous.lease if change.previous else 0
        if before and before in self._leases:
            self._leases[before].keys.discard(change.entry.key)
        if change.entry.lease:
            self.attach(change.entry.lease, change.entry.key)

    def keys(self, lease: int) -> tuple[str, ...]:
        held = self._leases.get(lease)
        return tuple(sorted(held.keys)) if held else ()

    def _usable(self, lease: int) -> Lease:
        held = self._leases[lease]
        if held.ended:
            raise KeyError(lease)
        return held

    def drop(self, lease: int) -> None:
        self._leases.pop(lease, None)

    def next_deadline(self) -> float | None:
        """When the next lease ends, in monotonic seconds."""
        while self._deadlines:
            deadline, lease = self._deadlines[0]
            held = self._leases.get(lease)
            if held is not None and held.deadline == deadline:
                return deadline
            heapq.heappop(self._deadlines)
            if held is not None:
                heapq.heappush(self._deadlines, (held.deadline, lease))
        return None

    def expired(self, now: float) -> tuple[int, ...]:
        """The leases whose time is over; they stay until dropped."""
        ended = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            ended.append(heapq.heappop(self._deadlines)[1])
        for lease in ended:
            heapq.heappush(self._deadlines, (self._leases[lease].deadline, lease))
        return tuple(dict.fromkeys(ended))
