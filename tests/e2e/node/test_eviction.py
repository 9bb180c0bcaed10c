"""A node that is short of something, and pods that hold more than they may: with real processes, files and figures."""

import pathlib
from typing import Any

import pytest

from reconciler.model import meta
from reconciler.node.eviction import agent, thresholds
from tests.e2e.node import world as worlds
from tests.e2e.node.world import NODE, pod, running

ALWAYS_SHORT = {"memory.available": "99.99%"}  # whatever machine this is


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "MONITORING_SECONDS", 0.02)
    monkeypatch.setattr(agent, "CLEANUP_POLL_SECONDS", 0.02)
    monkeypatch.setattr(agent, "REST_PER_SECOND", 0.0)


def settings(**given: Any) -> thresholds.Settings:
    return thresholds.settings(**{"hard": {}, "soft": {}, "soft_grace": {}, "minimum_reclaim": {}, **given})


async def conditions(world: worlds.World) -> dict[str, Any]:
    node = await world.client.get("nodes", "", NODE)
    return {one["type"]: one for one in meta.status(node)["conditions"]}


def failed(status: dict[str, Any]) -> bool:
    return bool(status.get("phase") == "Failed")


async def test_the_pod_of_least_priority_goes_first(tmp_path: pathlib.Path) -> None:
    critical = pod("critical", "sleep", "1000", spec={"priority": 2_000_001_000, "priorityClassName": "system-node-critical"})
    asking = {"requests": {"memory": "1Gi", "cpu": "1m"}}
    async with running(tmp_path) as world:
        await world.create(critical)
        await world.create(pod("modest", "sleep", "1000", resources=asking))
        await world.create(pod("greedy", "sleep", "1000"))
        for name in ("critical", "modest", "greedy"):
            await world.reaches(name, lambda s: s["phase"] == "Running")
        await world.stop()
        world.eviction = settings(hard=ALWAYS_SHORT)
        await world.start()
        greedy = await world.reaches("greedy", failed)
        assert greedy["reason"] == "Evicted"
        assert greedy["message"].startswith("The node was low on resource: memory. Threshold quantity: ")
        assert "Container main was using " in greedy["message"]
        assert (
            "request is 0, has larger consumption of memory. The configuration file sets evictionHard[memory.available]: 99.99%"
            in greedy["message"]
        )
        target = next(one for one in greedy["conditions"] if one["type"] == "DisruptionTarget")
        assert (target["status"], target["reason"], target["message"]) == ("True", "TerminationByKubelet", greedy["message"])
        assert greedy["containerStatuses"][0]["state"]["terminated"]["exitCode"] != 0
        await world.reaches("modest", failed)
        told = await world.until(lambda: world.events("Evicted"))
        assert greedy["message"] in told
        pressure = (await conditions(world))["MemoryPressure"]
        assert (pressure["status"], pressure["reason"]) == ("True", "KubeletHasInsufficientMemory")
        assert "evictionHard[memory.available]: 99.99%" in pressure["message"]
        await world.create(pod("late", "sleep", "1000"))
        late = await world.reaches("late", failed)
        assert (late["reason"], late["message"]) == ("Evicted", "Pod was rejected: The node had condition: [MemoryPressure]. ")
        assert (await world.status("critical"))["phase"] == "Running"


async def test_an_evicted_pod_leaves_no_files(tmp_path: pathlib.Path) -> None:
    volumes = [{"name": "full", "emptyDir": {"sizeLimit": "1Mi"}}, {"name": "small", "emptyDir": {}}]
    mounts = [{"name": "full", "mountPath": str(tmp_path / "full")}, {"name": "small", "mountPath": str(tmp_path / "small")}]
    script = f"head -c 3000000 /dev/zero > {tmp_path}/full/file; sleep 1000"
    async with running(tmp_path) as world:
        await world.create(pod("hoarder", "sh", "-c", script, spec={"volumes": volumes}, volumeMounts=mounts))
        hoarder = await world.reaches("hoarder", failed)
        assert (hoarder["reason"], hoarder["message"]) == ("Evicted", 'Usage of EmptyDir volume "full" exceeds the limit "1Mi". ')
        assert not [one for one in hoarder["conditions"] if one["type"] == "DisruptionTarget"]
        await world.until(
            lambda: not any(list(tmp_path.glob(f"{folder}/*")) for folder in ("run/pods", "data/pods", "logs")), "its files to go"
        )
        assert failed(await world.status("hoarder"))
        await world.delete("hoarder")
        await world.is_gone("hoarder")


async def test_a_container_that_writes_more_than_it_may(tmp_path: pathlib.Path) -> None:
    limit = {"limits": {"ephemeral-storage": "1Mi"}}
    script = "while :; do head -c 200000 /dev/zero | tr '\\0' x | fold; sleep 0.05; done"
    async with running(tmp_path) as world:
        await world.create(pod("talker", "sh", "-c", script, resources=limit))
        talker = await world.reaches("talker", failed)
        assert talker["reason"] == "Evicted"
        assert talker["message"] == "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "


async def test_nothing_happens_where_nothing_is_short(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, eviction=settings(hard={"memory.available": "1", "pid.available": "1"})) as world:
        found = await conditions(world)
        assert {kind: one["status"] for kind, one in found.items()} == {
            "MemoryPressure": "False",
            "DiskPressure": "False",
            "PIDPressure": "False",
            "Ready": "True",
        }
