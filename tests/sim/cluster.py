"""A whole control plane in one process on a virtual clock: journal in memory, API, cache, driver, controllers.

`settle` runs everything until nothing moves; `pass_time` then lets the clock go on from deadline to deadline. All
chance comes from one seed, so a failing seed replays exactly.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from reconciler import controllers, kinds
from reconciler.api import apiserver
from reconciler.client import protocol, usage
from reconciler.foresight import measuring
from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.kit import ids, tasks
from reconciler.loop import cache as caches
from reconciler.loop import driver as drivers
from reconciler.loop import events, perform
from reconciler.model import meta, plan
from reconciler.model.roster import Roster
from reconciler.model.schema import Schemas
from tests.unit.api.memory import MemoryJournal

# Of the kinds that are planned here: caches of all kinds would cost most of the time.
GROUPS = {"", "apps", "batch", "policy", "autoscaling", "scheduling.k8s.io", "coordination.k8s.io", "storage.k8s.io", "resource.k8s.io"}
USER = protocol.Origin(actor="user/test")
ROOT_CA = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"


class ControlPlane:
    """One set of controllers over a client: what one process of two leaders would run."""

    def __init__(self, client: protocol.Client, clock: clocks.Clock, wanted: Iterable[str], load: usage.Source, schemas: Schemas) -> None:
        self.cache = caches.Cache(client, clock)
        self.recorder = events.Recorder(client, clock)
        api = perform.Api(client, clock).perform
        performers: dict[type, perform.Performer] = dict.fromkeys((plan.Create, plan.Update, plan.Patch, plan.Delete), api)
        measured = measuring.Measuring(self.cache, clock, [load], None)
        performers |= measured.performers()
        self.driver = drivers.Driver(client, self.cache, clock, {**performers, plan.Emit: self.recorder.perform})
        measured.wakes(self.driver.wake)
        facts = controllers.Facts(root_ca=ROOT_CA, autoscaling=measured.memories, schemas=schemas)
        for controller in controllers.enabled(controllers.builtin(facts), wanted):
            self.driver.add(controller)
        self._tasks = tasks.Tasks()

    def start(self) -> None:
        self._tasks.start(self.cache.run(), "cache")
        self._tasks.start(self.recorder.run(), "events")
        self._tasks.start(self.driver.run(), "driver")

    async def close(self) -> None:
        await self._tasks.close()


class Load:
    """What all ready pods use together, each its part; implements client.usage.Source."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster
        self.millicores = 0

    async def usage(self) -> tuple[usage.Node, ...]:
        measured = {"timestamp": self.cluster.clock.now(), "window_seconds": 15.0}
        ready = [one for one in await self.cluster.objects("pods") if pod.is_ready(one)]
        each = self.millicores * 1_000_000 // max(1, len(ready))
        containers = (usage.Container("c", each, 0),)
        names = ({"namespace": "default", "name": meta.name(one), "uid": meta.uid(one)} for one in ready)
        pods = tuple(usage.Pod(**named, **measured, containers=containers) for named in names)
        return (usage.Node(name="n", **measured, cpu_nanocores=each * len(ready), memory_working_set_bytes=0, pods=pods),)


class Cluster:
    def __init__(self, seed: int) -> None:
        self.clock = clocks.VirtualClock()
        self.journal = MemoryJournal()
        settings = apiserver.Settings(source=ids.Source(random.Random(seed)), default_roles=False)
        roster = Roster.of(kind for kind in kinds.builtin() if kind.group in GROUPS)
        self.api = apiserver.ApiServer(self.journal, roster, self.clock, settings)
        self.client: protocol.Client = self.api.client("test")
        self.planes: list[ControlPlane] = []
        self.load = Load(self)

    def run(self, wanted: Iterable[str], client: protocol.Client | None = None) -> ControlPlane:
        plane = ControlPlane(client or self.api.client("kube-controller-manager"), self.clock, wanted, self.load, self.api.schemas)
        self.planes.append(plane)
        plane.start()
        return plane

    async def create(self, kind: str, body: Mapping[str, Any]) -> meta.Obj:
        return (await self.client.perform(plan.Create(kind=kind, body=body, why="test"), USER)).obj

    async def patch(self, kind: str, name: str, patch: Mapping[str, Any], subresource: str = "", namespace: str = "default") -> meta.Obj:
        action = plan.Patch(kind=kind, namespace=namespace, name=name, type="merge", patch=patch, why="test", subresource=subresource)
        return (await self.client.perform(action, USER)).obj

    async def delete(self, kind: str, name: str, namespace: str = "default", **options: Any) -> None:
        await self.client.perform(plan.Delete(kind=kind, namespace=namespace, name=name, why="test", **options), USER)

    async def objects(self, kind: str, namespace: str | None = "default") -> tuple[meta.Obj, ...]:
        return (await self.client.list(kind, namespace)).items

    async def settle(self) -> None:
        """Return when every task waits for the clock or for nothing."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)
            if not loop._ready:  # type: ignore[attr-defined]
                return

    async def pass_time(self, seconds: float) -> None:
        """Let everything that is due within `seconds` happen in its order."""
        end = self.clock.monotonic() + seconds
        await self.settle()
        while (deadline := self.clock.next_deadline()) is not None and deadline <= end:
            self.clock.advance(max(0.0, deadline - self.clock.monotonic()))
            await self.settle()
        self.clock.advance(end - self.clock.monotonic())
        await self.settle()


@contextlib.asynccontextmanager
async def running(seed: int = 0) -> AsyncIterator[Cluster]:
    cluster = Cluster(seed)
    await cluster.api.start()
    try:
        yield cluster
    finally:
        for plane in cluster.planes:
            await plane.close()
        await cluster.api.close()
