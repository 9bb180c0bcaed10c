"""When the agent takes its next step: deadlines, and what wakes it before one passes. All in monotonic seconds."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.kit import clock as clocks

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon things are done, all in seconds."""

    quiet_seconds: float = 0.003  # without an event before the folder is read
    noise_seconds: float = 0.25  # of events before it is read all the same
    unfinished_seconds: float = 10.0  # that a writer, or git for a checkout, is waited for
    young_seconds: float = 0.06  # until a file that was written a moment ago is looked at again
    prune_seconds: float = 1.0  # that a document must be gone
    prune_retry_seconds: float = 10.0
    rescan_seconds: float = 15.0
    health_seconds: float = 0.2  # during which changes of health are told together


class Alarm:
    """`look_at`, `prune_at` and `tell_at` say when the folder is read, what is gone pruned and health told."""

    def __init__(self, clock: clocks.Clock, pace: Pace) -> None:
        self._clock = clock
        self._pace = pace
        self._woken = asyncio.Event()
        self._noise_at = -NEVER
        self.look_at = -NEVER
        self.prune_at = NEVER
        self.tell_at = NEVER

    def wake(self) -> None:
        self._woken.set()

    def look_now(self) -> None:
        self.look_at = self._clock.monotonic()
        self.wake()

    def noise(self) -> None:
        """Something happened in the folder."""
        self._noise_at = self._clock.monotonic()
        self.look_now()

    def look_soon(self) -> None:
        """A file was written a moment ago."""
        self.look_at = min(self.look_at, self._clock.monotonic() + self._pace.young_seconds)

    def prune_later(self) -> None:
        """After what is gone had the time to come back."""
        self.prune_at = self._clock.monotonic() + self._pace.prune_seconds

    def prune_again(self) -> None:
        """Something could not be pruned."""
        self.prune_at = self._clock.monotonic() + self._pace.prune_retry_seconds

    def tell_soon(self) -> None:
        self.tell_at = min(self.tell_at, self._clock.monotonic() + self._pace.health_seconds)

    async def ring(self, late_at: float, retry_at: float, *, is_suspended: bool) -> None:
        """Return when woken or a deadline has passed: health is late, something is tried again, or one of our own."""
        now = self._clock.monotonic()
        self.look_at = min(self.look_at, now + self._pace.rescan_seconds)
        deadline = min(self.tell_at, late_at)
        if not is_suspended:
            deadline = min(deadline, self.look_at, self.prune_at, retry_at)
        waits = [asyncio.ensure_future(self._woken.wait()), asyncio.ensure_future(self._clock.sleep(deadline - now))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        self._woken.clear()

    async def settle(self, is_unfinished: Callable[[], bool]) -> None:
        """Let a burst of events end, writers close their files, and git finish, before the folder is read."""
        began = self._clock.monotonic()
        while (now := self._clock.monotonic()) >= self.look_at:
            waited, quiet_at = now - began, self._noise_at + self._pace.quiet_seconds
            if now < quiet_at and waited < self._pace.noise_seconds:
                await self._clock.sleep(quiet_at - now)
                continue
            if waited > self._pace.unfinished_seconds or not is_unfinished():
                return
            await self._clock.sleep(self._pace.quiet_seconds)
