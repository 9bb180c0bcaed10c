"""Ends leases whose time is up: what a journal does around the bookkeeping of lease.py.

A lease ends by removing its keys, in transactions of the contract's size, behind every write that still names it. What
cannot be removed for lack of space is tried again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from reconciler.kit.clock import Clock
from reconciler.store.lease import Leases
from reconciler.store.types import MAX_OPERATIONS, Entry, Full, Operation, Provenance, Remove

RETRY_SECONDS = 1.0  # when the journal was full

Commit = Callable[[Sequence[Operation], Provenance], Awaitable[tuple[Entry, ...]]]


class Expiry:
    """The leases of one journal, which lends its `commit`."""

    def __init__(self, clock: Clock, commit: Commit) -> None:
        self.leases = Leases()
        self._clock = clock
        self._commit = commit
        self._changed = asyncio.Event()

    def grant(self, lease: int, ttl_seconds: float) -> None:
        self.leases.grant(lease, ttl_seconds, self._clock.monotonic())
        self._changed.set()

    def keep_alive(self, lease: int) -> None:
        self.leases.keep_alive(lease, self._clock.monotonic())

    async def revoke(self, lease: int) -> None:
        try:
            await self._end(lease, "revoked")
        finally:
            self._changed.set()  # what could not be removed yet is left to `run`

    async def run(self) -> None:
        """End what expires until cancelled."""
        while True:
            self._changed.clear()
            try:
                while expired := self.leases.expired(self._clock.monotonic()):
                    await self._end(expired[0], "expired")
            except Full:
                await self._clock.sleep(RETRY_SECONDS)
                continue
            await self._pause()

    async def _pause(self) -> None:
        """Until a lease changes or the next one may expire."""
        deadline = self.leases.next_deadline()
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._changed.wait())]
        if deadline is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep(deadline - self._clock.monotonic())))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _end(self, lease: int, why: str) -> None:
        self.leases.end(lease)
        provenance = Provenance("journal/lease", f"lease {lease} {why}")
        await self._commit((), provenance)  # behind every write that still names the lease
        keys = self.leases.keys(lease)
        for start in range(0, len(keys), MAX_OPERATIONS):
            await self._commit([Remove(key) for key in keys[start : start + MAX_OPERATIONS]], provenance)
        self.leases.drop(lease)
