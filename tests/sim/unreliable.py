"""A client whose requests and answers get lost and whose watches lag and repeat themselves, each kind on its own.

It offers no feed, so that a cache over it sees kinds at different revisions.
"""

import random
from collections.abc import AsyncIterator

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.model import meta, plan
from reconciler.model.roster import Roster

LOST_REQUEST = 0.03
LOST_ANSWER = 0.03
SENT_TWICE = 0.05
LONGEST_WRITE_SECONDS = 0.2
LONGEST_LAG_SECONDS = 0.5
LEAST_SECONDS = 0.001


class Unreliable:
    """Implements client.protocol.Client over a reliable one."""

    def __init__(self, inner: protocol.Client, clock: clocks.Clock, chance: random.Random) -> None:
        self._inner = inner
        self._clock = clock
        self._chance = chance
        self.is_healed = False

    async def perform(
        self, action: plan.ApiAction, origin: protocol.Origin, options: protocol.Options = protocol.Options()
    ) -> protocol.Written:
        await self._wait(LONGEST_WRITE_SECONDS)
        if self._happens(LOST_REQUEST):
            raise protocol.Unknown("the request was lost")
        written = await self._inner.perform(action, origin, options)
        await self._wait(LONGEST_WRITE_SECONDS)
        if self._happens(LOST_ANSWER):
            raise protocol.Unknown("the answer was lost")
        return written

    async def get(self, kind: str, namespace: str, name: str) -> meta.Obj:
        return await self._inner.get(kind, namespace, name)

    async def list(self, kind: str, namespace: str | None = None, query: protocol.Query = protocol.Query()) -> protocol.Listing:
        return await self._inner.list(kind, namespace, query)

    async def watch(
        self, kind: str, revision: int, namespace: str | None = None, query: protocol.Query = protocol.Query()
    ) -> AsyncIterator[tuple[protocol.Event, ...]]:
        async for batch in self._inner.watch(kind, revision, namespace, query):
            await self._wait(LONGEST_LAG_SECONDS)
            yield batch
            if self._happens(SENT_TWICE):
                yield batch

    async def roster(self) -> Roster:
        return await self._inner.roster()

    def _happens(self, chance: float) -> bool:
        return not self.is_healed and self._chance.random() < chance

    async def _wait(self, longest_seconds: float) -> None:
        """Also without faults nothing takes no time, or two leaders could dispute for ever in one moment."""
        await self._clock.sleep(LEAST_SECONDS if self.is_healed else self._chance.random() * longest_seconds)
