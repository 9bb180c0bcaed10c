"""What bounds connections that stay: how many there are, and how long one is kept on which nothing moves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

SESSIONS_MOST = 512
IDLE_SECONDS = 4 * 3600.0  # kubelet's streamingConnectionIdleTimeout
PING_SECONDS = 30.0  # a client that is gone without a word is noticed by it
_GRAIN_SECONDS = 1.0


class Idle:
    """Ends the block that it watches once nothing has `moved` for IDLE_SECONDS."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._moved_at = 0.0

    def moved(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._moved_at > _GRAIN_SECONDS:
            self._moved_at = now
            self._timeout.reschedule(now + IDLE_SECONDS)


@contextlib.asynccontextmanager
async def idle() -> AsyncIterator[Idle]:
    """The block ends early, and quietly, when it has been idle for too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(IDLE_SECONDS) as timeout:
            yield Idle(timeout)
