"""Garbage collection at quiet moments, and a measure of how long the event loop was not there.

Objects are published once and never changed, so almost nothing is cyclic garbage, while a full collection walks
everything that the cluster holds. Young generations are collected as always; old ones only when nothing has run for
a while. What the start made is frozen after the first of them, so that it is not walked again.
"""

import asyncio
import gc
import time

from prometheus_client import Gauge, Histogram

from reconciler.metrics import registry

STALLS = Histogram(
    "reconciler_loop_stall_seconds",
    "How much later than asked the event loop woke up.",
    registry=registry.of("controllers"),
    buckets=(0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
LONGEST = Gauge("reconciler_loop_longest_stall_seconds", "The longest stall since the daemon started.", registry=registry.of("controllers"))

BEAT_SECONDS = 0.25
QUIET_SECONDS = 0.002  # a beat that late or less found an idle loop
QUIET_BEATS = 20
COLLECT_EVERY_SECONDS = 300.0
CHECK_SECONDS = 60.0  # how often `Heap.collect` is called
YOUNG, MIDDLE, NEVER = 4_000, 1_000, 1_000_000


def prepare() -> None:
    """Call once, before anything is loaded."""
    gc.enable()
    gc.set_threshold(YOUNG, MIDDLE, NEVER)


class Heap:
    """Measures stalls, and knows by them when to collect."""

    def __init__(self) -> None:
        self._quiet_beats = 0
        self._collected_at = float("-inf")

    async def watch(self) -> None:
        """Measure stalls for ever."""
        longest = 0.0
        while True:
            asked = time.monotonic() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            late = max(0.0, time.monotonic() - asked)
            self.beat(late)
            if late > longest:
                longest = late
                LONGEST.set(longest)

    def beat(self, late_seconds: float) -> None:
        """The loop woke up so much later than asked."""
        STALLS.observe(late_seconds)
        self._quiet_beats = self._quiet_beats + 1 if late_seconds < QUIET_SECONDS else 0

    async def collect(self) -> None:
        """Collect if the loop has had nothing to do for a while, and the last time is long ago."""
        if self._quiet_beats >= QUIET_BEATS and time.monotonic() - self._collected_at > COLLECT_EVERY_SECONDS:
            gc.collect()
            if self._collected_at < 0:
                gc.freeze()
            self._collected_at = time.monotonic()
