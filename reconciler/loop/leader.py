"""Who may act: one holder of a Lease, by its own monotonic clock.

A holder renews the Lease every `retry_seconds` and stops acting `renew_seconds` after its last renewal was *sent*,
whatever wall clocks say, before anybody else may take the Lease over (`lease_seconds` after they last saw it change).
Two leaders at once are nevertheless harmless: every write carries preconditions. The driver asks `leads()` before
every action.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Protocol

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.model import errors, meta, plan

log = logging.getLogger(__name__)

LEASES = "leases.coordination.k8s.io"


class Leadership(Protocol):
    def leads(self) -> bool:
        """Whether acting is allowed at this very moment."""

    async def gained(self) -> None:
        """Return once acting is allowed."""


class Alone:
    """Leadership without rivals: one process over a local journal."""

    def leads(self) -> bool:
        return True

    async def gained(self) -> None:
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """client-go's defaults for its LeaderElectionConfig."""

    namespace: str = "kube-system"
    name: str
    identity: str
    lease_seconds: float = 15.0
    renew_seconds: float = 10.0
    retry_seconds: float = 2.0


class Elector:
    """Competes for one Lease for as long as `run` runs."""

    def __init__(self, client: protocol.Client, clock: clocks.Clock, settings: Settings) -> None:
        self._client = client
        self._clock = clock
        self._settings = settings
        self._deadline_seconds = float("-inf")  # monotonic; acting is allowed before it
        self._seen = ("", float("-inf"))  # resourceVersion of the Lease and when (monotonic) it was first seen
        self._gained = asyncio.Event()

    def leads(self) -> bool:
        return self._clock.monotonic() < self._deadline_seconds

    async def gained(self) -> None:
        while not self.leads():
            self._gained.clear()
            await self._gained.wait()

    async def run(self) -> None:
        """Take the Lease, keep it, take it again when it was lost; gives it up when cancelled."""
        try:
            while True:
                await self._compete()
                await self._clock.sleep(self._settings.retry_seconds)
        finally:
            self._deadline_seconds = float("-inf")

    async def _compete(self) -> None:
        sent_seconds = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._settings.renew_seconds):
                if not await self._renew():
                    return
        except (errors.StatusError, protocol.Unknown, OSError, TimeoutError) as error:
            log.info("lease not renewed", extra={"facts": {"lease": self._settings.name, "error": error}})
            return
        self._deadline_seconds = sent_seconds + self._settings.renew_seconds
        self._gained.set()

    async def _renew(self) -> bool:
        """Write the Lease as ours. False while somebody else holds it."""
        settings = self._settings
        origin = protocol.Origin(actor=f"leader/{settings.identity}")
        try:
            lease = await self._client.get(LEASES, settings.namespace, settings.name)
        except errors.StatusError as error:
            if error.reason != "NotFound":
                raise
            create = plan.Create(kind=LEASES, body=self._lease(None), why="nobody leads yet")
            await self._client.perform(create, origin)
            return True
        if self._is_held_by_other(lease):
            return False
        update = plan.Update(kind=LEASES, body=self._lease(lease), why="the leader lives")
        written = await self._client.perform(update, origin)
        self._seen = (meta.resource_version(written.obj), self._clock.monotonic())
        return True

    def _is_held_by_other(self, lease: meta.Obj) -> bool:
        holder = meta.spec(lease).get("holderIdentity")
        if not holder or holder == self._settings.identity:
            return False
        version, since_seconds = self._seen
        if version != meta.resource_version(lease):
            self._seen = (meta.resource_version(lease), self._clock.monotonic())
            return True
        duration_seconds = float(meta.spec(lease).get("leaseDurationSeconds") or self._settings.lease_seconds)
        return self._clock.monotonic() < since_seconds + duration_seconds

    def _lease(self, old: meta.Obj | None) -> dict[str, Any]:
        now = clocks.rfc3339_micro(self._clock.now())
        base = old or {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._settings.namespace, "name": self._settings.name},
        }
        spec = {**meta.spec(base), "leaseDurationSeconds": int(self._settings.lease_seconds), "renewTime": now}
        if spec.get("holderIdentity") != self._settings.identity:
            transitions = int(spec.get("leaseTransitions") or 0)
            spec |= {
                "holderIdentity": self._settings.identity,
                "acquireTime": now,
                "leaseTransitions": transitions + 1 if old is not None else 0,
            }
        return meta.put(base, ("spec",), spec)
