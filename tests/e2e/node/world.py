"""A node for real: the agent over a real API with its journal in memory, the process runtime, its keeper and shims."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from reconciler import kinds
from reconciler.api import apiserver
from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop import cache as caches
from reconciler.loop import events, perform
from reconciler.model import errors, meta, plan
from reconciler.node import agent
from reconciler.node.eviction import thresholds
from reconciler.node.keeper import launch
from reconciler.node.runtimes import process, types
from tests.unit.api.memory import MemoryJournal

USER = protocol.Origin(actor="user/test")
PATIENCE_SECONDS = 20.0
NODE = "node-1"


class World:
    """`api` outlives `start` and `stop`, which are those of the node's daemon."""

    def __init__(self, folder: pathlib.Path, eviction: thresholds.Settings = thresholds.NEVER, **settings: Any) -> None:
        self.clock = clocks.SystemClock()
        self.api = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), self.clock)
        self.client = self.api.client("test")
        self.folder = folder
        self.run_dir = folder / "run"
        self.eviction = eviction
        self._settings = process.Settings(run_dir=self.run_dir, data_dir=folder / "data", **settings)
        self.network: types.Network = types.HostNetwork("127.0.0.1")
        self._tasks = tasks.Tasks()

    async def start(self) -> None:
        self._tasks = tasks.Tasks()
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        self.cache = caches.Cache(self.client, self.clock)
        recorder = events.Recorder(self.client, self.clock)
        performers = perform.performers(self.client, self.clock, recorder.perform)
        self.runtime = process.ProcessRuntime(self._settings)
        config = agent.Config(
            name=NODE,
            address="127.0.0.1",
            data_dir=self._settings.data_dir,
            log_root=self.folder / "logs",
            direct=False,
            eviction=self.eviction,
        )
        self.agent = agent.NodeAgent(self.client, self.cache, self.clock, self.runtime, self.network, config, performers)
        work = ((self.cache.run(), "cache"), (recorder.run(), "events"), (self.agent.run(), "node"))
        self._running = [self._tasks.start(one, name) for one, name in work]
        await self.until(lambda: list(self.agent.driver.controllers), "the node to follow its pods")

    async def stop(self) -> None:
        """The daemon's end; containers go on."""
        self._running = []
        await self._tasks.close()

    async def create(self, pod: dict[str, Any]) -> None:
        await self.client.perform(plan.Create(kind="pods", body=pod, why="test"), USER)

    async def put(self, kind: str, body: dict[str, Any]) -> None:
        await self.client.perform(plan.Create(kind=kind, body=body, why="test"), USER)

    async def delete(self, name: str, grace_seconds: int | None = None) -> None:
        action = plan.Delete(kind="pods", namespace="default", name=name, why="test", grace_seconds=grace_seconds)
        await self.client.perform(action, USER)

    async def patch(self, kind: str, name: str, patch: Any) -> None:
        namespace = "" if kind == "nodes" else "default"
        action = plan.Patch(kind=kind, namespace=namespace, name=name, type="merge", patch=patch, why="test")
        await self.client.perform(action, USER)

    async def get(self, name: str) -> meta.Obj | None:
        try:
            return await self.client.get("pods", "default", name)
        except errors.StatusError as error:
            if error.code != 404:
                raise
            return None

    async def status(self, name: str) -> dict[str, Any]:
        pod = await self.get(name)
        return dict(meta.status(pod)) if pod is not None else {}

    async def container(self, name: str, index: int = 0) -> dict[str, Any]:
        found = (await self.status(name)).get("containerStatuses") or []
        return dict(found[index]) if len(found) > index else {}

    async def reaches(self, name: str, fulfilled: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait until the status of a pod fulfils something."""

        async def look() -> dict[str, Any]:
            status = await self.status(name)
            return status if status and fulfilled(status) else {}

        return dict(await self.until(look, f"pod {name}: {await self.status(name)}"))

    async def is_gone(self, name: str) -> None:
        async def look() -> bool:
            return await self.get(name) is None

        await self.until(look, f"pod {name} to go")

    async def events(self, reason: str) -> list[str]:
        listing = await self.client.list("events", "default")
        return [str(one["message"]) for one in listing.items if one["reason"] == reason]

    async def until(self, fulfilled: Callable[[], Any], what: str = "") -> Any:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    for task in self._running:
                        if task.done():
                            task.result()
                    found = fulfilled()
                    if asyncio.iscoroutine(found):
                        found = await found
                    if found:
                        return found
                    await self.clock.sleep(0.005)
        except TimeoutError:
            log = self.run_dir / "keeper.log"
            raise AssertionError(f"never came: {what}\n{log.read_text() if log.exists() else ''}") from None

    def log(self, name: str) -> str:
        """Everything that the pod's containers wrote, without times and tags."""
        lines = []
        for path in sorted(self.folder.glob(f"logs/default_{name}_*/*/*.log")):
            lines += [line.split(" ", 3)[3] for line in path.read_text().splitlines()]
        return "\n".join(lines)

    def log_file(self, name: str) -> pathlib.Path:
        """The first log of the pod's main container."""
        return next(self.folder.glob(f"logs/default_{name}_*/main/0.log"))

    def pid(self, name: str, container: str = "main") -> int:
        sandbox = next(one for one in self.runtime.sandboxes().values() if one.name == name)
        latest = sandbox.latest(container)
        return latest.pid if latest is not None else 0


def pod(name: str, *command: str, spec: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    main = {"name": "main", "image": "host", **({"command": list(command)} if command else {}), **container}
    wanted = {
        "nodeName": NODE,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "containers": [main],
        **(spec or {}),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": wanted}


@contextlib.asynccontextmanager
async def running(folder: pathlib.Path, **settings: Any) -> AsyncIterator[World]:
    world = World(folder, **settings)
    await world.api.start()
    await world.start()
    try:
        yield world
    finally:
        await world.stop()
        await world.api.close()
        await launch.stop_all(world.run_dir)
