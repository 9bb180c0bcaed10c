"""What the evictor does with what is decided: one pod at a time, and what has ended before what lives."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest

from reconciler.kit import clock as clocks
from reconciler.model import meta
from reconciler.node import memory
from reconciler.node.eviction import agent, choice, measure, plan, thresholds
from reconciler.node.runtimes import types

DISK, MEMORY = "nodefs.available", "memory.available"


def pod(name: str, phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": {"containers": [{"name": "c"}], **spec},
        "status": {"phase": phase},
    }


class World:
    """A node whose figures a test sets. It implements Surroundings, and as much of a runtime and a meter as is asked for."""

    def __init__(self, *present: dict[str, Any], hard: Mapping[str, str]) -> None:
        self.present = list(present)
        self.here = {one["metadata"]["name"]: "exited" if one["status"]["phase"] == "Succeeded" else "running" for one in present}
        self.left: dict[str, plan.Observed] = {}
        self.pressures: Mapping[str, str] = {}
        self.told: list[str] = []
        self.measured: list[str] = []
        self.is_stuck = False
        self.unused_images = 0
        self.clock = clocks.VirtualClock()
        self.memory = memory.Memory(self.sandboxes, lambda uid: None)
        settings = thresholds.settings(hard=hard, soft={}, soft_grace={}, minimum_reclaim={})
        runtime, meter = cast(types.Runtime, self), cast(measure.Meter, self)
        self.evictor = agent.Evictor(settings, pathlib.Path("/"), meter, runtime, self.memory, self, self.emit, self.clock)

    def sandboxes(self) -> Mapping[str, types.Sandbox]:
        def sandbox(uid: str, state: Any) -> types.Sandbox:
            container = types.Container(name="c", attempt=0, state=state, id=uid)
            return types.Sandbox(uid=uid, namespace="ns", name=uid, ready=True, containers=(container,))

        return {uid: sandbox(uid, state) for uid, state in self.here.items()}

    def pods(self) -> Sequence[meta.Obj]:
        return self.present

    async def press(self, conditions: Mapping[str, str]) -> None:
        self.pressures = conditions

    def warn(self, reason: str, message: str) -> None:
        self.told.append(f"node {reason}")

    def emit(self, pod: meta.Obj, container: str, type: str, reason: str, message: str) -> None:
        self.told.append(f"{meta.name(pod)} {reason}")

    async def remove(self, uid: str, why: str) -> bool:
        if self.is_stuck:
            return False
        del self.here[uid]
        return True

    async def remove_unused_images(self) -> bool:
        self.unused_images, had_any = 0, self.unused_images > 0
        return had_any

    async def used(self, pod: meta.Obj, resource: str) -> choice.Used:
        return choice.Used()

    async def space(self, pod: meta.Obj) -> tuple[choice.Used, float]:
        self.measured.append(meta.name(pod))
        return choice.Used(), 0.5

    async def look(self) -> list[str]:
        return [meta.name(one.pod) for one in await self.evictor.look()]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    def made(*present: dict[str, Any], hard: Mapping[str, str]) -> World:
        one = World(*present, hard=hard)
        monkeypatch.setattr(measure, "node", lambda folder: one.left)
        return one

    return made


async def test_one_pod_a_pass_and_never_the_same(world: Callable[..., World]) -> None:
    node = world(pod("a"), pod("b"), pod("ended", "Succeeded"), hard={MEMORY: "100Mi"})
    node.left = {MEMORY: plan.Observed(1 << 30, 1 << 20)}
    assert await node.look() == ["a"]
    doom = node.memory.of("a").doom
    assert doom is not None
    assert (doom.reason, doom.grace_seconds, doom.is_disruption) == ("Evicted", 1.0, True)
    assert list(node.pressures) == ["MemoryPressure"]
    assert await node.look() == ["b"]
    assert await node.look() == []
    assert node.told == ["node EvictionThresholdMet", "a Evicted", "b Evicted"]


async def test_what_has_ended_makes_room_first(world: Callable[..., World]) -> None:
    node = world(pod("a"), pod("ended", "Succeeded"), hard={DISK: "10%"})
    node.left = {DISK: plan.Observed(100, 5)}
    assert await node.look() == []
    assert list(node.here) == ["a"]
    assert await node.look() == ["a"]


async def test_unused_images_go_before_pods(world: Callable[..., World]) -> None:
    node = world(pod("a"), hard={DISK: "10%"})
    node.left, node.unused_images = {DISK: plan.Observed(100, 5)}, 2
    assert await node.look() == []
    assert await node.look() == ["a"]


async def test_what_cannot_be_removed_holds_nothing_up(world: Callable[..., World]) -> None:
    node = world(pod("a"), pod("ended", "Succeeded"), hard={DISK: "10%"})
    node.left, node.is_stuck = {DISK: plan.Observed(100, 5)}, True
    assert await node.look() == ["a"]


async def test_an_event_again_when_it_is_short_again(world: Callable[..., World]) -> None:
    node = world(hard={DISK: "10%"})
    for available in (5, 5, 50, 5):
        node.left = {DISK: plan.Observed(100, available)}
        await node.look()
    assert node.told == ["node EvictionThresholdMet"] * 2


async def test_limits_are_measured_no_more_than_is_cheap(world: Callable[..., World]) -> None:
    limited = pod("limited", volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}])
    node = world(pod("free"), limited, hard={})
    for _ in range(3):
        assert await node.look() == []
    assert node.measured == ["limited"]
    node.clock.advance(0.5 * agent.REST_PER_SECOND)
    assert await node.look() == []
    assert node.measured == ["limited"] * 2
