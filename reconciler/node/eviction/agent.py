"""Looks every ten seconds at what the machine has left, and ends pods where that is too little: plan.py and choice.py decide.

What has ended for good, and images that nobody uses, make room before any pod that lives. At most one pod a pass goes for
the node's sake, and nothing more is decided until nothing of it is left. An eviction that a restart of the daemon
interrupts is decided anew. What pods hold is measured only where something is short or they have limits, and then for at
most a two hundredth of a core.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from reconciler.kinds import pod as pods
from reconciler.kit import clock as clocks
from reconciler.model import meta
from reconciler.node import memory, metrics, observed
from reconciler.node.eviction import choice, measure, plan, thresholds
from reconciler.node.runtimes import types

MONITORING_SECONDS = 10.0
CLEANUP_SECONDS = 30.0  # an evicted pod is waited for, after its grace
CLEANUP_POLL_SECONDS = 1.0
REST_PER_SECOND = 200.0  # after so long a measurement of what pods hold


class Surroundings(Protocol):
    """What the evictor needs of its node."""

    def pods(self) -> Sequence[meta.Obj]:
        """All that are bound to it."""

    async def press(self, conditions: Mapping[str, str]) -> None:
        """Have the Node say that these are true, with their messages, and that the others are not."""

    def warn(self, reason: str, message: str) -> None:
        """An Event about the Node."""

    async def remove(self, uid: str, why: str) -> bool:
        """Everything of a pod that is on this machine; whether that was possible."""


class Evictor:
    def __init__(
        self,
        settings: thresholds.Settings,
        data_dir: Path,
        meter: measure.Meter,
        runtime: types.Runtime,
        pods_memory: memory.Memory,
        around: Surroundings,
        emit: memory.Emitter,
        clock: clocks.Clock,
    ) -> None:
        self._settings, self._data_dir, self._meter = settings, data_dir, meter
        self._runtime, self._memory, self._around, self._emit, self._clock = runtime, pods_memory, around, emit, clock
        self._past = plan.Past()
        self._announced: thresholds.Threshold | None = None
        self._limits_at = float("-inf")  # monotonic: when limits of pods are looked at again

    async def run(self) -> None:
        while True:
            evicted = await self.look()
            if evicted:
                await self._gone(evicted)
            else:
                await self._clock.sleep(MONITORING_SECONDS)

    async def look(self) -> list[choice.Eviction]:
        """One pass; the pods that are on their way out now."""
        seen = await asyncio.to_thread(measure.node, self._data_dir)
        found = plan.assess(self._settings, seen, self._past, self._clock.monotonic())
        self._past = found.past
        await self._around.press(found.conditions)
        evicted = await self._over_limits()
        if not evicted and found.due:
            evicted = await self._relieve(found.due, seen)
        if not found.due:
            self._announced = None
        evicted = [one for one in evicted if plan.is_alive(self._runtime.sandboxes().get(meta.uid(one.pod)))]  # it may have ended since
        for one in evicted:
            self._evict(one)
        return evicted

    async def _over_limits(self) -> list[choice.Eviction]:
        limited = [pod for pod in self._living() if choice.has_limits(pod)]
        if not limited or self._clock.monotonic() < self._limits_at:
            return []
        found, cost_seconds = [], 0.0
        for pod in limited:
            used, seconds = await self._meter.space(pod)
            found.append(choice.Candidate(pod, used))
            cost_seconds += seconds
        self._limits_at = self._clock.monotonic() + cost_seconds * REST_PER_SECOND
        return choice.over_limits(found)

    async def _relieve(self, due: Sequence[thresholds.Threshold], seen: plan.Observations) -> list[choice.Eviction]:
        resource = thresholds.SIGNALS[due[0].signal].resource
        if due[0] != self._announced:
            self._announced = due[0]
            self._around.warn("EvictionThresholdMet", plan.attempt(due[0], seen))
        if resource not in ("memory", "pids"):
            spent, why = plan.spent(self._around.pods(), self._runtime.sandboxes()), f"it has ended, and the node is low on {resource}"
            made_room = [await self._around.remove(uid, why) for uid in spent]
            if any([*made_room, await self._runtime.remove_unused_images()]):
                return []  # the next pass sees what that brought
        evictable = [pod for pod in self._living() if not pods.is_critical(pod)]
        candidates = [choice.Candidate(pod, await self._meter.used(pod, resource)) for pod in evictable]
        chosen = choice.of_node(due, seen, candidates, self._settings)
        return [chosen] if chosen is not None else []

    def _living(self) -> list[meta.Obj]:
        """Pods that have something running and are not being evicted."""
        sandboxes = self._runtime.sandboxes()
        here = [pod for pod in self._around.pods() if plan.is_alive(sandboxes.get(meta.uid(pod)))]
        return [pod for pod in here if self._memory.of(meta.uid(pod)).doom is None]

    def _evict(self, one: choice.Eviction) -> None:
        metrics.count_eviction(one.signal)
        self._emit(one.pod, "", "Warning", observed.EVICTED, one.message)
        doom = observed.Doom(reason=observed.EVICTED, message=one.message, grace_seconds=one.grace_seconds, is_disruption=one.is_disruption)
        self._memory.change(meta.uid(one.pod), doom=doom)

    async def _gone(self, evicted: Sequence[choice.Eviction]) -> None:
        """Until nothing of them is left here, or for as long as that should take."""
        deadline = self._clock.monotonic() + max(one.grace_seconds for one in evicted) + CLEANUP_SECONDS
        while self._clock.monotonic() < deadline and any(meta.uid(one.pod) in self._runtime.sandboxes() for one in evicted):
            await self._clock.sleep(CLEANUP_POLL_SECONDS)
