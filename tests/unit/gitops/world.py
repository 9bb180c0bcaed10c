"""The agent over a real API with its journal in memory, on a real folder, at a quick pace."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from reconciler import kinds
from reconciler.api import apiserver
from reconciler.client import protocol
from reconciler.gitops import agent, alarm, fleet, history, sync, wanted
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop import cache as caches
from reconciler.loop import events, perform
from reconciler.model import errors, meta, plan
from tests.unit.api.memory import MemoryJournal

PACE = alarm.Pace(quiet_seconds=0.002, young_seconds=0.06, prune_seconds=0.1, prune_retry_seconds=0.1, rescan_seconds=0.3)
USER = protocol.Origin(actor="user/test")
PATIENCE_SECONDS = 20.0


class JumpingClock(clocks.SystemClock):
    """The machine's, on a wall that somebody moves."""

    offset_seconds = 0.0

    def now(self) -> float:
        return super().now() + self.offset_seconds


class World:
    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.has_folder = True
        self.clock = JumpingClock()
        self.journal = MemoryJournal()
        self.api = apiserver.ApiServer(self.journal, kinds.builtin(), self.clock)
        self.client = self.api.client("test")
        self.told: list[str] = []
        self.writes: list[plan.Action] = []
        self.kept: history.History | None = None
        self._tasks = tasks.Tasks()

    async def start(self) -> None:
        """Once more, as after a restart of the daemon."""
        self._tasks = tasks.Tasks()
        self.cache = caches.Cache(self.client, self.clock)
        recorder = events.Recorder(self.client, self.clock)
        api = perform.Api(self.client, self.clock)

        async def counted(action: plan.Action, origin: protocol.Origin) -> protocol.Written | None:
            if getattr(action, "kind", "") not in (sync.KIND.id, wanted.DEFINITIONS):
                self.writes.append(action)
            return await api.perform(action, origin)

        performers: dict[type, perform.Performer] = {plan.Patch: counted, plan.Delete: counted, plan.Emit: recorder.perform}
        self.agent = self._follow(performers)
        self._tasks.start(self.cache.run(), "cache")
        self._tasks.start(recorder.run(), "events")
        self._tasks.start(self.agent.run(), "gitops")
        synced = asyncio.ensure_future(self.agent.synced())
        failing = asyncio.ensure_future(self._tasks.join())
        await asyncio.wait((synced, failing), return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            await failing
        failing.cancel()

    def _follow(self, performers: dict[type, perform.Performer]) -> agent.Agent | fleet.Fleet:
        return agent.Agent(
            self.cache, self.clock, self.api.schemas, performers, self.root, kept=self.kept, tell=self.told.append, pace=PACE
        )

    async def stop(self) -> None:
        await self._tasks.close()

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    async def get(self, kind: str, name: str, namespace: str = "default") -> meta.Obj | None:
        try:
            return await self.client.get(kind, namespace, name)
        except errors.StatusError as error:
            if error.code != 404:
                raise
            return None

    async def patch(self, kind: str, name: str, patch: Any, namespace: str = "default") -> None:
        action = plan.Patch(kind=kind, namespace=namespace, name=name, type="merge", patch=patch, why="test", manager="kubectl-edit")
        await self.client.perform(action, USER)

    async def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        await self.client.perform(plan.Delete(kind=kind, namespace=namespace, name=name, why="test"), USER)

    async def data(self, name: str, namespace: str = "default") -> Any:
        """The data of a ConfigMap, None where there is none."""
        found = await self.get("configmaps", name, namespace)
        return None if found is None else dict(found.get("data") or {})

    async def until(self, fulfilled: Callable[[], Any], what: str = "", patience_seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until `fulfilled` (which may be asynchronous) is true, and return what it gave."""
        try:
            async with asyncio.timeout(patience_seconds):
                while True:
                    found = fulfilled()
                    if asyncio.iscoroutine(found):
                        found = await found
                    if found:
                        return found
                    await self._moved()
        except TimeoutError:
            raise AssertionError(f"never came: {what}; {self.agent.report()}") from None

    async def _moved(self) -> None:
        """A moment for the world to go on; what is waited for decides, not how long this is."""
        await asyncio.to_thread(lambda: None)
        await self.clock.sleep(0.005)

    async def settings(self, **spec: Any) -> None:
        """Change the Sync's own settings, as kubectl would."""
        await self.until(lambda: self.sync() and self.sync().get("status"), "the Sync's object")
        await self.patch(sync.KIND.id, "default", {"spec": spec}, "")

    def condition(self, type: str) -> Any:
        """(status, reason, message) of a condition of the Sync's object."""
        found = (self.sync().get("status") or {}).get("conditions") or ()
        return next(((one["status"], one["reason"], one.get("message", "")) for one in found if one["type"] == type), None)

    def sync(self) -> meta.Obj:
        """The Sync object, empty while there is none."""
        return (self.cache.get(sync.KIND.id, "", "default") or {}) if self.cache.has(sync.KIND.id) else {}

    def state(self) -> str:
        return str(self.agent.report()[0]["state"])

    def reasons(self) -> set[str]:
        return {condition["reason"] for condition in self.agent.report()[0]["conditions"]}

    def errors(self) -> list[str]:
        return list(self.agent.report()[0]["errors"])


class FleetWorld(World):
    """With every Sync object followed, not only the folder."""

    agent: fleet.Fleet

    def _follow(self, performers: dict[type, perform.Performer]) -> fleet.Fleet:
        data_dir = self.root.parent / "data"
        root = self.root if self.has_folder else None
        return fleet.Fleet(self.cache, self.clock, self.api.schemas, performers, root, data_dir, tell=self.told.append, pace=PACE)

    def report(self, name: str) -> Any:
        return next((one for one in self.agent.report() if one["name"] == name), None)


@contextlib.asynccontextmanager
async def following(root: pathlib.Path, *, has_folder: bool = True) -> AsyncIterator[FleetWorld]:
    world = FleetWorld(root)
    world.has_folder = has_folder
    async with _started(world):
        yield world


@contextlib.asynccontextmanager
async def running(root: pathlib.Path, kept: history.History | None = None) -> AsyncIterator[World]:
    world = World(root)
    world.kept = kept
    async with _started(world):
        yield world


@contextlib.asynccontextmanager
async def _started(world: World) -> AsyncIterator[None]:
    await world.api.start()
    await world.start()
    try:
        yield
    finally:
        await world.stop()
        await world.api.close()


def config(name: str, value: str = "", namespace: str = "") -> str:
    where = f", namespace: {namespace}" if namespace else ""
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{where}}}\n" + (f"data: {{k: {value!r}}}\n" if value else "")
