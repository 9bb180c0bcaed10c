"""Measures what pods use: rates from the counters of two readings.

Nobody asks: nothing is read, so an idle node stays idle. Who asks gets the last answer while it is fresh; else a new
reading is compared with the one before, or, where that is too long ago to be called now, with a second one taken a
moment later. A container that has restarted counts from its start.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.client import usage as uses
from reconciler.kit import clock as clocks
from reconciler.node import machine
from reconciler.node.runtimes import types

FRESH_SECONDS = 5.0  # an answer is given again so long
USEFUL_SECONDS = 60.0  # a reading is compared with so long
SHORT_SECONDS = 1.0  # between two readings where there is none to compare with

_Counter = tuple[str, str]  # container name and id


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float  # monotonic
    machine: types.Usage
    pods: Mapping[str, Mapping[_Counter, types.Usage]]  # by pod uid


class Meter:
    """Implements client/usage.Source for the one node of a runtime."""

    def __init__(self, node: str, runtime: types.Runtime, clock: clocks.Clock) -> None:
        self._node = node
        self._runtime = runtime
        self._clock = clock
        self._last: _Reading | None = None
        self._answer: uses.Node | None = None
        self._turn = asyncio.Lock()

    async def usage(self) -> tuple[uses.Node, ...]:
        async with self._turn:
            age = float("inf") if self._last is None else self._clock.monotonic() - self._last.at
            if self._answer is not None and age < FRESH_SECONDS:
                return (self._answer,)
            if age > USEFUL_SECONDS or self._last is None:
                self._last = await self._read()
                await self._clock.sleep(SHORT_SECONDS)
            before, self._last = self._last, await self._read()
            self._answer = self._compare(before, self._last)
            return (self._answer,)

    async def _read(self) -> _Reading:
        at = self._clock.monotonic()
        found: dict[str, dict[_Counter, types.Usage]] = {}
        for uid, sandbox in list(self._runtime.sandboxes().items()):
            ids = {c.name: c.id for c in sandbox.containers if c.state == "running"}
            if ids:
                found[uid] = {(name, ids[name]): one for name, one in (await self._runtime.usage(uid)).items() if name in ids}
        return _Reading(at, machine.whole(), found)

    def _compare(self, before: _Reading, now: _Reading) -> uses.Node:
        window, timestamp = max(now.at - before.at, 1e-3), self._clock.now()
        pods = []
        for uid, sandbox in self._runtime.sandboxes().items():
            old = before.pods.get(uid, {})
            containers = tuple(
                uses.Container(counter[0], _rate(old.get(counter), one, window), one.memory_working_set_bytes or 0)
                for counter, one in now.pods.get(uid, {}).items()
            )
            if containers:
                pod = uses.Pod(
                    namespace=sandbox.namespace,
                    name=sandbox.name,
                    uid=uid,
                    timestamp=timestamp,
                    window_seconds=window,
                    containers=containers,
                )
                pods.append(pod)
        return uses.Node(
            name=self._node,
            timestamp=timestamp,
            window_seconds=window,
            cpu_nanocores=_rate(before.machine, now.machine, window),
            memory_working_set_bytes=now.machine.memory_working_set_bytes or 0,
            pods=tuple(pods),
        )


def _rate(before: types.Usage | None, now: types.Usage, window_seconds: float) -> int:
    """Nanocores; from 0 for a container that was not there before."""
    used = (now.cpu_seconds or 0.0) - ((before.cpu_seconds if before is not None else None) or 0.0)
    return int(max(0.0, used) / window_seconds * 1e9)
