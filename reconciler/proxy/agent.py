"""Puts routes in place: gathers what the planner asks for into one backend transaction at a time.

Deciding is plan.py's, programming the backend's. Nothing is polled; a failed transaction fails every service in
it, and the driver backs each of them off.
"""

import asyncio
from typing import Protocol

from prometheus_client import Histogram

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.metrics import registry
from reconciler.model import meta, plan
from reconciler.proxy.plan import Program, Route

SYNC_SECONDS = Histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds",
    "How long one transaction of rules took.",
    registry=registry.of("proxy"),
    buckets=registry.FAST_BUCKETS_SECONDS,
)
PROGRAMMING_SECONDS = Histogram(
    "kubeproxy_network_programming_duration_seconds",
    "From the planning of a service to its rules being in place.",
    registry=registry.of("proxy"),
    buckets=registry.FAST_BUCKETS_SECONDS,
)


class Backend(Protocol):
    """Something that can send connections to endpoints. `apply` is all or nothing."""

    name: str

    async def start(self) -> None: ...

    async def apply(self, changes: dict[meta.Key, tuple[Route, ...]]) -> None: ...

    async def remove(self) -> None: ...


class ProxyAgent:
    """The performer of Program actions. Concurrent ones share a transaction."""

    def __init__(self, backend: Backend, clock: clocks.Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._waiting: dict[meta.Key, tuple[Route, ...]] = {}
        self._batch: asyncio.Future[None] | None = None
        self._busy = asyncio.Lock()

    async def perform(self, action: plan.Action, _: protocol.Origin) -> None:
        """Returns once the rules are in place; raises what the backend raised."""
        assert isinstance(action, Program)
        began = self._clock.monotonic()
        self._waiting[action.key] = action.routes
        if self._batch is None:
            self._batch = asyncio.ensure_future(self._transact())
        await asyncio.shield(self._batch)
        PROGRAMMING_SECONDS.observe(self._clock.monotonic() - began)

    async def _transact(self) -> None:
        async with self._busy:  # whoever arrives while a transaction runs joins the next one
            changes, self._waiting, self._batch = self._waiting, {}, None
            began = self._clock.monotonic()
            await self._backend.apply(changes)
            SYNC_SECONDS.observe(self._clock.monotonic() - began)
