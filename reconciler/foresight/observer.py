"""Sees everything that happens in a world and keeps what a person would ask about afterwards.

Follows the cache from the start; `begin` forgets what was seen so far, so that what comes after is the change's doing.
All of it is bounded by the objects of the world; nothing here acts.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.gitops import diff, marks
from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.loop.cache import Cache
from reconciler.model import meta, plan
from reconciler.model.kind import Kind
from reconciler.store import types

PODS = "pods"
# What happens all the time, or only says what happened.
NOISE = frozenset({"events", "events.events.k8s.io", "leases.coordination.k8s.io"})
# Where a workload's status tells how many of its pods are available, and its object how many there should be.
AVAILABLE = {
    "deployments.apps": ("replicas", "availableReplicas"),
    "statefulsets.apps": ("replicas", "availableReplicas"),
    "daemonsets.apps": ("", "numberAvailable"),
}
RUN_TO_THEIR_END = frozenset({"jobs.batch"})  # are Progressing as long as they run

Place = tuple[str, str, str]  # (Kind.id, namespace, name)


@dataclass(frozen=True, slots=True)
class PodStep:
    """A pod that got a node ("+") or was told to end or vanished ("-"); `revision` is the write that made or ended it."""

    sign: str
    pod: meta.Obj
    seconds: float
    revision: int


@dataclass(slots=True)
class Availability:
    """A workload that was there before; counts of pods."""

    wanted: int  # those that were available of those that were wanted: what was missing before is nobody's doing
    least: int
    now: int
    since_seconds: float = math.nan  # below what is wanted since then
    below_seconds: float = 0.0


class Observer:
    def __init__(self, cache: Cache, clock: clocks.Clock) -> None:
        self._cache = cache
        self._clock = clock
        self.begin()
        cache.subscribe([plan.EVERY_KIND], self._see)

    def begin(self) -> None:
        """From here on it counts."""
        self._began = self.stirred_at = self._clock.monotonic()
        self._before: dict[Place, meta.Obj | None] = {}
        self._made: dict[str, int] = {}  # pod UID -> revision
        self.pod_steps: list[PodStep] = []
        self.availability: dict[Place, Availability] = {}
        if self._cache.is_synced:
            for kind in AVAILABLE:
                for obj in self._cache.every(kind):
                    available = min(_wanted(kind, obj), _available(kind, obj))
                    self.availability[(kind, *meta.key(obj))] = Availability(available, available, available)

    @property
    def seconds(self) -> float:
        """From the beginning to the last thing that happened."""
        return self.stirred_at - self._began

    def changed(self) -> Iterator[tuple[Kind, meta.Obj | None, meta.Obj | None]]:
        """What the folder keeps or kept and that differs: its kind, before and after, in the order of kinds and names."""
        roster = self._cache.roster
        for place in sorted(self._before, key=lambda place: (roster[place[0]].order if roster.get(place[0]) else 0, place)):
            before, after = self._before[place], self._cache.get(*place) if self._cache.has(place[0]) else None
            kind = roster.get(place[0])
            if kind is None or not (_is_kept(before) or _is_kept(after)):
                continue
            if before is None or after is None or diff.between(before, after):
                yield kind, before, after

    def unplaced(self) -> Iterator[tuple[meta.Obj, str]]:
        """Pods made since the beginning that no node takes, with the scheduler's reason."""
        for one in self._cache.every(PODS):
            scheduled = pod.condition(one, "PodScheduled") or meta.EMPTY
            is_new = self._before.get((PODS, *meta.key(one)), one) is None
            if is_new and not pod.node_name(one) and scheduled.get("status") == "False":
                yield one, str(scheduled.get("message") or scheduled.get("reason") or "")

    def unhealthy(self) -> Iterator[tuple[meta.Obj, str, str]]:
        """What the folder keeps and that is not as it should be: the object, its state, and why."""
        for kind in self._cache.roster:
            if not self._cache.has(kind.id) or kind.id in RUN_TO_THEIR_END:
                continue
            for obj in self._cache.every(kind.id):
                health = kind.health(obj) if _is_kept(obj) else None
                if health is not None and health.state in ("Degraded", "Progressing"):
                    yield obj, health.state, health.message

    def _see(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        obj = new if new is not None else old
        if kind in NOISE or obj is None:
            return
        self.stirred_at = self._clock.monotonic()
        place = (kind, *meta.key(obj))
        self._before.setdefault(place, old)
        if kind == PODS:
            self._see_pod(old, new)
        elif place in self.availability:
            self._see_workload(kind, self.availability[place], new)

    def _see_pod(self, old: meta.Obj | None, new: meta.Obj | None) -> None:
        seconds = self.stirred_at - self._began
        if old is None and new is not None:
            self._made[meta.uid(new)] = meta.revision(new)
        if new is not None and pod.node_name(new) and not (old is not None and pod.node_name(old)):
            self.pod_steps.append(PodStep("+", new, seconds, self._made.get(meta.uid(new), 0)))
        ending = new is None or meta.is_deleting(new)
        if old is not None and ending and not meta.is_deleting(old):
            self.pod_steps.append(PodStep("-", old, seconds, meta.revision(new) if new is not None else 0))

    def _see_workload(self, kind: str, known: Availability, new: meta.Obj | None) -> None:
        known.now = _available(kind, new) if new is not None else 0
        enough = min(known.wanted, _wanted(kind, new) if new is not None else 0)
        is_below, was_below = known.now < enough, not math.isnan(known.since_seconds)
        if is_below:
            known.least = min(known.least, known.now)
        if is_below and not was_below:
            known.since_seconds = self.stirred_at
        elif was_below and not is_below:
            known.below_seconds += self.stirred_at - known.since_seconds
            known.since_seconds = math.nan


async def why(journal: types.Journal, revision: int) -> str:
    """Who made a write and why, in one line."""
    chain = await journal.chain(revision) if revision else ()
    return f"{chain[0][2].why} ({chain[0][2].actor})" if chain else ""


def _is_kept(obj: meta.Obj | None) -> bool:
    """Whether a document of a folder says it."""
    return obj is not None and bool(marks.source(obj)) and marks.owned(obj) is not None


def _wanted(kind: str, obj: meta.Obj) -> int:
    field = AVAILABLE[kind][0]
    return int(meta.spec(obj).get(field, 1) if field else meta.status(obj).get("desiredNumberScheduled") or 0)


def _available(kind: str, obj: meta.Obj) -> int:
    return int(meta.status(obj).get(AVAILABLE[kind][1]) or 0)
