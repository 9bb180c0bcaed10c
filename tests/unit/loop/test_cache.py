import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reconciler.kit.clock import VirtualClock
from reconciler.loop.cache import DEFINITIONS, Cache
from reconciler.model import meta, plan
from reconciler.model.roster import Roster
from reconciler.model.view import NAMESPACE
from tests.unit.loop import fakes

Make = Callable[..., fakes.Client]


@pytest.fixture(params=[fakes.Client, fakes.FedClient], ids=["watches", "feed"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def config(name: str, value: str = "") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}, "data": {"v": value}}


@asynccontextmanager
async def running(cache: Cache) -> AsyncIterator[None]:
    task = asyncio.create_task(cache.run())
    await cache.synced()
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_lists_then_follows(make: Make) -> None:
    server = fakes.Server()
    server.put(config("old"))
    cache = Cache(make(server, VirtualClock()), VirtualClock())
    seen: list[tuple[str, str, str]] = []

    def hear(kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        assert cache.get(kind, "ns", meta.name(obj)) is new, "the cache holds the new state before anybody hears of it"
        seen.append((meta.name(obj), "" if old is None else old["data"]["v"], "-" if new is None else new["data"]["v"]))

    cache.subscribe(["configmaps"], hear)
    async with running(cache):
        server.put(config("new", "1"))
        server.put(config("new", "2"))
        server.remove("configmaps", ("ns", "old"))
        await fakes.settle()
        assert seen == [("old", "", ""), ("new", "", "1"), ("new", "1", "2"), ("old", "", "-")]
        assert cache.revision("configmaps") == server.revision


async def test_a_late_subscriber_hears_what_is_there(make: Make) -> None:
    server = fakes.Server()
    server.put(config("old"))
    cache = Cache(make(server, VirtualClock()), VirtualClock())
    async with running(cache):
        seen: list[str] = []
        cache.subscribe([plan.EVERY_KIND], lambda kind, old, new: seen.append(f"{kind} {old} {meta.name(new or {})}"))
        assert seen == ["configmaps None old"]


async def test_waits_for_a_revision(make: Make) -> None:
    server = fakes.Server()
    cache = Cache(make(server, VirtualClock()), VirtualClock())
    async with running(cache):
        waiting = asyncio.create_task(cache.reached("configmaps", 2))
        server.put(config("a"))
        await fakes.settle()
        assert not waiting.done()
        server.put(config("b"))
        await waiting


async def test_after_compaction_the_difference_is_told(make: Make) -> None:
    server, clock = fakes.Server(), VirtualClock()
    client = make(server, clock, faults=fakes.Faults(watch_delay_seconds=1))
    server.put(config("stays"))
    server.put(config("goes"))
    cache = Cache(client, clock)
    seen: list[str] = []
    cache.subscribe(["configmaps"], lambda _, old, new: seen.append(("-" if new is None else "+") + meta.name(new or old or {})))
    async with running(cache):
        server.remove("configmaps", ("ns", "goes"))
        await fakes.pass_time(clock, 0.001)
        server.put(config("comes"))
        server.compact()
        await fakes.pass_time(clock, 30)
        assert sorted(seen[2:]) == ["+comes", "-goes"]
        assert [meta.name(one) for one in cache.by("configmaps", NAMESPACE, "ns")] == ["comes", "stays"]


async def test_a_broken_watch_goes_on_where_it_was() -> None:
    server, clock = fakes.Server(), VirtualClock()
    cache = Cache(fakes.Client(server, clock, faults=fakes.Faults(broken_watch=0.5)), clock)
    seen: list[str] = []
    cache.subscribe(["configmaps"], lambda _, __, new: seen.append(new["data"]["v"] if new else "-"))
    async with running(cache):
        for value in range(20):
            server.put(config("one", str(value)))
            await fakes.pass_time(clock, 1)
        await fakes.pass_time(clock, 100)
        assert seen == [str(value) for value in range(20)]


async def test_undeclared_kinds_cannot_be_read(make: Make) -> None:
    cache = Cache(make(fakes.Server(), VirtualClock()), VirtualClock(), kinds=["pods"])
    async with running(cache):
        assert cache.get("pods", "ns", "p") is None
        with pytest.raises(KeyError):
            cache.get("configmaps", "ns", "c")


async def test_kinds_come_and_go_with_the_roster(make: Make) -> None:
    definitions = fakes.kind("customresourcedefinitions", "CustomResourceDefinition", "apiextensions.k8s.io")
    things = fakes.kind("things", "Thing")
    server = fakes.Server(Roster.of((fakes.MAPS, definitions)))
    assert definitions.id == DEFINITIONS
    cache = Cache(make(server, VirtualClock()), VirtualClock())
    seen: list[tuple[str, bool]] = []
    cache.subscribe([plan.EVERY_KIND], lambda kind, _, new: seen.append((kind, new is not None)))
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things"}}
    async with running(cache):
        server.roster, server.objects["things"] = server.roster.with_kinds([things]), {}
        server.put({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "ns"}})
        server.put(definition)
        await fakes.settle()
        assert cache.get("things", "ns", "t") is not None
        server.put({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "u", "namespace": "ns"}})
        await fakes.settle()
        assert cache.get("things", "ns", "u") is not None
        server.roster = server.roster.without(["things"])
        server.remove(DEFINITIONS, ("", "things"))
        await fakes.settle()
        assert not cache.has("things")
        assert seen == [(DEFINITIONS, True), ("things", True), ("things", True), (DEFINITIONS, False), ("things", False), ("things", False)]


async def test_a_fork_goes_its_own_way(make: Make) -> None:
    server = fakes.Server()
    server.put(config("a"))
    cache = Cache(make(server, VirtualClock()), VirtualClock())
    async with running(cache):
        fork = cache.fork()
        fork.put("configmaps", config("b"))
        server.remove("configmaps", ("ns", "a"))
        await fakes.settle()
        assert [meta.name(one) for one in fork.by("configmaps", NAMESPACE, "ns")] == ["a", "b"]
        assert cache.by("configmaps", NAMESPACE, "ns") == []
