"""Probes on a virtual clock: order, periods, thresholds, and what a daemon before this one knew."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from reconciler.kit import clock as clocks
from reconciler.node import lifecycle, observed, probes

START = 1_700_000_000.0


class Asker:
    """Answers as the test says, and keeps when it was asked what."""

    def __init__(self, clock: clocks.Clock) -> None:
        self.clock = clock
        self.passes = {"startup": True, "liveness": True, "readiness": True}
        self.asked: list[tuple[str, float]] = []

    async def ask(self, target: lifecycle.Target, action: Mapping[str, Any], timeout_seconds: float) -> lifecycle.Verdict:
        self.asked.append((action["kind"], self.clock.monotonic()))
        return lifecycle.Verdict(self.passes[action["kind"]], "no")

    def times(self, kind: str) -> list[float]:
        return [at for one, at in self.asked if one == kind]


class World:
    def __init__(self, known: observed.Probed | None = None, **wanted: dict[str, Any]) -> None:
        self.clock = clocks.VirtualClock(START)
        self.asker = Asker(self.clock)
        self.state = observed.Probed()
        self.events: list[str] = []
        self.prober = probes.Prober(cast(Any, self.asker), self.clock, self.update, lambda pod, name, message: self.events.append(message))
        container = {"name": "c", **{f"{kind}Probe": {"kind": kind, **probe} for kind, probe in wanted.items()}}
        target = lifecycle.Target({"metadata": {"uid": "u", "name": "p", "namespace": "d"}}, container, "10.0.0.1")
        self.prober.begin(target, ("c", 0), START, known)

    def update(self, uid: str, attempt: observed.Attempt, state: observed.Probed) -> None:
        self.state = state

    async def run(self, seconds: int) -> observed.Probed:
        for _ in range(seconds):
            for _ in range(10):
                await asyncio.sleep(0)
            self.clock.advance(1.0)
        for _ in range(10):
            await asyncio.sleep(0)
        return self.state


async def test_nothing_else_before_startup_has_passed() -> None:
    world = World(startup={"periodSeconds": 2, "failureThreshold": 10}, readiness={"periodSeconds": 1}, liveness={"periodSeconds": 1})
    world.asker.passes["startup"] = False
    assert await world.run(5) == observed.Probed(started=False, ready=False)
    assert {kind for kind, _ in world.asker.asked} == {"startup"}
    world.asker.passes["startup"] = True
    assert await world.run(3) == observed.Probed(started=True, ready=True)
    asked = world.asker.times("startup")
    await world.run(5)
    assert world.asker.times("startup") == asked
    await world.prober.close()


async def test_startup_gives_up_at_its_threshold() -> None:
    world = World(startup={"periodSeconds": 1, "failureThreshold": 3})
    world.asker.passes["startup"] = False
    state = await world.run(10)
    assert (state.alive, state.why, len(world.asker.asked)) == (False, "startup", 3)
    assert world.events == ["Startup probe failed: no"] * 3


async def test_liveness_needs_failures_in_a_row() -> None:
    world = World(liveness={"periodSeconds": 1, "failureThreshold": 3, "initialDelaySeconds": 2})
    await world.run(3)
    assert world.asker.times("liveness")[0] == 2.0
    world.asker.passes["liveness"] = False
    await world.run(2)
    world.asker.passes["liveness"] = True
    await world.run(1)
    world.asker.passes["liveness"] = False
    assert (await world.run(2)).alive
    state = await world.run(1)
    assert (state.alive, state.why) == (False, "liveness")
    asked = len(world.asker.asked)
    await world.run(5)
    assert len(world.asker.asked) == asked


async def test_readiness_comes_and_goes_by_its_thresholds() -> None:
    world = World(readiness={"periodSeconds": 1, "successThreshold": 2, "failureThreshold": 2})
    assert not (await world.run(0)).ready
    assert (await world.run(2)).ready
    world.asker.passes["readiness"] = False
    assert (await world.run(1)).ready
    assert not (await world.run(1)).ready
    world.asker.passes["readiness"] = True
    assert (await world.run(3)).ready
    assert world.state.alive
    await world.prober.close()


async def test_what_was_ready_stays_so_over_a_restart_of_the_daemon() -> None:
    world = World(
        observed.Probed(started=True, ready=True), startup={"periodSeconds": 1}, readiness={"periodSeconds": 1, "failureThreshold": 3}
    )
    world.asker.passes = {"startup": False, "readiness": False, "liveness": True}
    assert (await world.run(1)).ready
    assert not (await world.run(4)).ready
    await world.prober.close()


async def test_a_container_that_ended_is_probed_no_more() -> None:
    world = World(liveness={"periodSeconds": 1})
    await world.run(2)
    assert world.prober.attempts("u") == [("c", 0)]
    world.prober.end("u", ("c", 0))
    asked = len(world.asker.asked)
    await world.run(3)
    assert (world.prober.attempts("u"), len(world.asker.asked)) == ([], asked)
