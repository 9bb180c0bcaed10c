"""Time as a value that is handed in.

Wall time (`now`) is for what users read; `monotonic` is for every deadline, because boards boot in 1970 and
wall clocks jump. Nothing outside this module asks the operating system for the time.
asyncio, 25 ms, is imported by the first sleep: what only writes times down shall not wait for it.
"""

import functools
import heapq
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch, as a wall clock shows them."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    async def sleep(self, delay_seconds: float) -> None:
        """Return after `delay_seconds` of this clock's monotonic time."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, delay_seconds: float) -> None:
        import asyncio

        await asyncio.sleep(max(0.0, delay_seconds))


class VirtualClock:
    """A clock that stands still until somebody calls `advance`; sleepers wake in order of their deadlines."""

    def __init__(self, start_seconds: float = 1_700_000_000.0) -> None:
        self._start = start_seconds
        self._elapsed = 0.0
        self._sequence = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, delay_seconds: float) -> None:
        import asyncio

        if delay_seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._sleepers, (self._elapsed + delay_seconds, self._sequence, wake))
        await wake

    def next_deadline(self) -> float | None:
        """Monotonic time of the earliest sleeper that still waits, or None."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def jump(self, seconds: float) -> None:
        """Set the wall clock; no time passes."""
        self._start += seconds

    def advance(self, seconds: float) -> None:
        """Move time on by `seconds` and wake every sleeper whose deadline is reached."""
        self._elapsed += seconds
        while (deadline := self.next_deadline()) is not None and deadline <= self._elapsed:
            heapq.heappop(self._sleepers)[2].set_result(None)


def rfc3339(seconds: float) -> str:
    """A metav1.Time: whole seconds, UTC, such as 2026-01-02T03:04:05Z."""
    return _rfc3339(int(seconds))


@functools.lru_cache(maxsize=64)  # thousands of objects are stamped with the same second
def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """A metav1.MicroTime: six decimals, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; raises ValueError for anything else."""
    return datetime.fromisoformat(text).timestamp()
