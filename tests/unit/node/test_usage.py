"""Rates from counters: of what ran all the time, of what has just started, and of nobody."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from reconciler.kit import clock as clocks
from reconciler.node import usage
from reconciler.node.runtimes import types


class Runtime:
    """Counters that stand where the test puts them."""

    def __init__(self) -> None:
        self.used: dict[str, types.Usage] = {"main": types.Usage(cpu_seconds=5.0, memory_working_set_bytes=1 << 20)}
        self.reads = 0
        self.container = types.Container(name="main", attempt=0, state="running", id="c0")

    def sandboxes(self) -> Mapping[str, types.Sandbox]:
        return {"u": types.Sandbox(uid="u", namespace="d", name="p", ready=True, containers=(self.container,))}

    async def usage(self, uid: str) -> Mapping[str, types.Usage]:
        self.reads += 1
        return self.used


class Clock(clocks.VirtualClock):
    """Half a core is used while the meter waits."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self.runtime = runtime

    async def sleep(self, delay_seconds: float) -> None:
        self.use(delay_seconds, 0.5)

    def use(self, seconds: float, cores: float) -> None:
        self.runtime.used = {
            name: dataclasses.replace(one, cpu_seconds=(one.cpu_seconds or 0) + cores * seconds) for name, one in self.runtime.used.items()
        }
        self._elapsed += seconds


async def measured(meter: usage.Meter) -> tuple[int, float]:
    (node,) = await meter.usage()
    return node.pods[0].containers[0].cpu_nanocores, node.pods[0].window_seconds


async def test_the_first_answer_takes_two_readings() -> None:
    runtime = Runtime()
    meter = usage.Meter("n", cast(Any, runtime), Clock(runtime))
    assert await measured(meter) == (500_000_000, 1.0)
    (node,) = await meter.usage()
    assert (runtime.reads, node.name, node.pods[0].containers[0].memory_working_set_bytes) == (2, "n", 1 << 20)


async def test_later_answers_compare_with_the_last_reading() -> None:
    runtime = Runtime()
    clock = Clock(runtime)
    meter = usage.Meter("n", cast(Any, runtime), clock)
    await meter.usage()
    clock.use(15, 2.0)
    assert await measured(meter) == (2_000_000_000, 15.0)
    clock.use(usage.USEFUL_SECONDS + 1, 2.0)
    assert await measured(meter) == (500_000_000, 1.0)


async def test_a_restarted_container_counts_from_its_start() -> None:
    runtime = Runtime()
    clock = Clock(runtime)
    meter = usage.Meter("n", cast(Any, runtime), clock)
    await meter.usage()
    runtime.container = dataclasses.replace(runtime.container, attempt=1, id="c1")
    runtime.used = {"main": types.Usage(cpu_seconds=0.0)}
    clock.use(10, 0.25)
    assert await measured(meter) == (250_000_000, 10.0)


async def test_what_has_ended_is_not_shown() -> None:
    runtime = Runtime()
    runtime.container = dataclasses.replace(runtime.container, state="exited")
    (node,) = await usage.Meter("n", cast(Any, runtime), Clock(runtime)).usage()
    assert (node.pods, runtime.reads) == ((), 0)
