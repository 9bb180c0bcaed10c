"""A control plane without processes, on virtual time: what happens in it is what would happen.

The same API, controllers, scheduler and folder agent as the daemon's, over a journal in memory. All nodes are
simulated, the running machine's own too. It starts from any objects, such as those of a running server, and tells an
observer every change in order. Nothing leaves it: no container, no socket, no file.
"""

import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from reconciler import controllers, kinds
from reconciler.api import apiserver
from reconciler.client import protocol, usage
from reconciler.foresight import measuring, observer, tokens
from reconciler.gitops import agent as gitops
from reconciler.kit import clock as clocks
from reconciler.kit import ids, tasks
from reconciler.loop import cache as caches
from reconciler.loop import driver as drivers
from reconciler.loop import perform
from reconciler.model import meta, plan
from reconciler.model.roster import Roster
from reconciler.node.sim import agent as simulation
from reconciler.scheduler import agent as scheduler
from reconciler.store import memory, types

ROOT_CA = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
MOMENT_SECONDS = 0.001  # changes within it are planned for once; without real time to pass, a thousand pods start in one
SURE_SECONDS = 366 * 24 * 3600.0  # nodes live as long as nobody switches them off


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a world starts from."""

    now: float  # seconds since the epoch
    objects: Iterable[tuple[str, meta.Obj]] = ()  # (Kind.id, object in the hub version)
    nodes: int = 0  # simulated ones beside those among the objects
    seed: int = 0


class World:
    """Made by `running`."""

    def __init__(self, beginning: Beginning, clock: clocks.Clock) -> None:
        self.clock = clock
        roster = kinds.builtin()
        stored = _stored(roster, beginning.objects)
        self.journal = memory.MemoryJournal(clock, stored)
        settings = apiserver.Settings(source=ids.Source(random.Random(beginning.seed)), default_roles=False)  # noqa: S311 - repeatable
        self.api = apiserver.ApiServer(self.journal, roster, clock, settings)
        self.cache = caches.Cache(self.client("reconciler"), clock)
        self.nodes = simulation.Agent(self.client("kubelet"), self.cache, clock, beginning.nodes, SURE_SECONDS)
        self.usage: list[usage.Source] = [self.nodes]
        self.observer = observer.Observer(self.cache, clock)
        self._tasks = tasks.Tasks()
        self._folder = tasks.Tasks()

    def client(self, manager: str) -> protocol.Client:
        return self.api.client(manager)

    async def start(self) -> None:
        self.journal.start()
        await self.api.start()
        self._tasks.start(self.cache.run(), "cache")
        await self.cache.synced()
        measured = measuring.Measuring(self.cache, self.clock, self.usage, None)
        manager = "kube-controller-manager"
        issued = tokens.Tokens(self.client(manager))
        driver = self._driver("controller", manager, {**measured.performers(), **issued.performers()})
        measured.wakes(driver.wake)
        facts = controllers.Facts(began=self.clock.now(), root_ca=ROOT_CA, autoscaling=measured.memories, schemas=self.api.schemas)
        for controller in controllers.enabled(controllers.builtin(facts), ("*",)):
            driver.add(dataclasses.replace(controller, delay_seconds=max(controller.delay_seconds, MOMENT_SECONDS)))
        self._tasks.start(driver.run(), "controllers")
        client = self.client("kube-scheduler")
        record = self._performers(client)[plan.Emit]
        self._tasks.start(scheduler.Agent(client, self.cache, self.clock, record).run(), "scheduler")
        self._tasks.start(self.nodes.run(), "simulated nodes")

    async def follow(self, folder: Path) -> gitops.Agent:
        """Apply an absolute folder, in place of the one before; returns once it was applied, or refused, for the first time."""
        await self._folder.close()
        performers = self._performers(self.client("reconciler-gitops"))
        agent = gitops.Agent(self.cache, self.clock, self.api.schemas, performers, folder)
        self._folder.start(agent.run(), "folder")
        await agent.synced()
        return agent

    async def close(self) -> None:
        await self._folder.close()
        await self._tasks.close()
        await self.api.close()
        await self.journal.close()

    def _performers(self, client: protocol.Client) -> dict[type, perform.Performer]:
        return perform.performers(client, self.clock, _unrecorded)

    def _driver(self, actor: str, manager: str, own: Mapping[type, perform.Performer]) -> drivers.Driver:
        client = self.client(manager)
        return drivers.Driver(client, self.cache, self.clock, {**self._performers(client), **own}, actor=actor)


@contextlib.asynccontextmanager
async def running(beginning: Beginning, clock: clocks.Clock) -> AsyncIterator[World]:
    world = World(beginning, clock)
    await world.start()
    try:
        yield world
    finally:
        await world.close()


async def _unrecorded(action: plan.Action, origin: protocol.Origin) -> None:
    """Events say what happens; here an observer sees it."""


def _stored(roster: Roster, objects: Iterable[tuple[str, meta.Obj]]) -> dict[str, tuple[bytes, meta.Obj]]:
    """Journal keys and values, as the API stores objects: without the revision, which the journal knows."""
    stored = {}
    for kind_id, obj in objects:
        kind = roster.get(kind_id)
        bare = meta.without(obj, ("metadata", "resourceVersion"))
        key = types.key_of(kind.storage_id if kind is not None else kind_id, meta.namespace(obj), meta.name(obj))
        stored[key] = (bytes(memoryview(orjson.dumps(bare))), bare)  # a copy, for orjson's own has several times the room
    return stored
