"""One controller that keeps ConfigMaps as a Pod of the same name wants them: small, but it exercises everything."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from reconciler.client import protocol
from reconciler.kit.clock import VirtualClock
from reconciler.loop import cache as caches
from reconciler.loop import driver as drivers
from reconciler.loop import perform
from reconciler.model import errors, meta, plan
from reconciler.model.view import OWNER, View
from tests.unit.loop import fakes

START = VirtualClock().now()


class Setup:
    def __init__(self, client: fakes.Client, clock: VirtualClock, **options: Any) -> None:
        self.server, self.client, self.clock = client.server, client, clock
        self.cache = caches.Cache(client, clock)
        self.emitted: list[plan.Emit] = []
        api = perform.Api(client, clock).perform
        performers: dict[type, perform.Performer] = dict.fromkeys((plan.Create, plan.Update, plan.Patch, plan.Delete), api)
        self.driver = drivers.Driver(client, self.cache, clock, {**performers, plan.Emit: self.emit}, **options)

    async def emit(self, action: plan.Action, origin: protocol.Origin) -> None:
        assert isinstance(action, plan.Emit)
        self.emitted.append(action)

    @asynccontextmanager
    async def running(self, *controllers: plan.Controller) -> AsyncIterator[None]:
        for controller in controllers:
            self.driver.add(controller)
        running = [asyncio.create_task(self.cache.run()), asyncio.create_task(self.driver.run())]
        await fakes.settle()
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def setup(faults: fakes.Faults = fakes.Faults(), **options: Any) -> Setup:
    clock = VirtualClock()
    return Setup(fakes.Client(fakes.Server(), clock, faults=faults), clock, **options)


def pod(name: str = "p", replicas: int = 0) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"}, "spec": {"replicas": replicas}}


def child(owner: meta.Obj, name: str, **more: Any) -> plan.Create:
    metadata = {"name": name, "namespace": "ns", "ownerReferences": [meta.controller_reference(owner)]}
    return plan.Create(kind="configmaps", body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, why="test", **more)


def keeps(*planner: Any, **options: Any) -> plan.Controller:
    return plan.Controller(name="test", kind="pods", plan=planner[0], follows={"configmaps": plan.owner_key("Pod")}, **options)


def fill(view: View, key: meta.Key, now: float) -> plan.Plan:
    """One ConfigMap more, as long as there are too few."""
    owner = view.get("pods", *key)
    if owner is None:
        return plan.NOTHING
    present = view.by("configmaps", OWNER, meta.uid(owner))
    if len(present) >= owner["spec"]["replicas"]:
        return plan.NOTHING
    return plan.plan_of([child(owner, f"c{meta.revision(owner)}-{len(present)}")], again_at=now)


async def test_a_plan_is_performed_and_says_who_made_it_and_why() -> None:
    one = setup()
    async with one.running(keeps(fill)):
        one.server.put(pod(replicas=1))
        await fakes.settle()
        assert len(one.server.objects["configmaps"]) == 1
        assert one.server.origins == [protocol.Origin(actor="controller/test", cause=1)]


async def test_what_existed_before_is_planned() -> None:
    one = setup()
    one.server.put(pod(replicas=2))
    async with one.running(keeps(fill)):
        assert len(one.server.objects["configmaps"]) == 2


async def test_a_lagging_cache_does_not_multiply_what_was_made() -> None:
    one = setup(fakes.Faults(watch_delay_seconds=5))
    async with one.running(keeps(fill)):
        one.server.put(pod(replicas=50))
        await fakes.pass_time(one.clock, 1000)
        assert len(one.server.objects["configmaps"]) == 50


async def test_the_gate_is_explained() -> None:
    one = setup(fakes.Faults(watch_delay_seconds=50))
    async with one.running(keeps(fill)):
        one.server.put(pod(replicas=9))
        while not one.server.objects["configmaps"]:
            await fakes.pass_time(one.clock, 1)
        assert one.driver.explain("test", ("ns", "p")).gate == {"configmaps": 2}


async def test_groups_run_in_order_and_end_at_the_first_failure() -> None:
    def planner(view: View, key: meta.Key, now: float) -> plan.Plan:
        owner = view.get("pods", *key)
        if owner is None:
            return plan.NOTHING
        lost = plan.Update(kind="configmaps", body={"metadata": {"name": "absent", "namespace": "ns"}}, why="test")
        return plan.plan_of([child(owner, "first")], [lost], [child(owner, "third")])

    one = setup()
    async with one.running(keeps(planner)):
        one.server.put(pod())
        await fakes.settle()
        assert [key[1] for key in one.server.objects["configmaps"]] == ["first"]
        explained = one.driver.explain("test", ("ns", "p"))
        assert explained.failures >= 1
        assert "absent" in explained.error


async def test_a_refusal_is_answered_instead_of_the_rest_and_tried_again_later() -> None:
    attempts = itertools.count()

    def refused(error: errors.StatusError) -> Iterable[plan.Action]:
        yield plan.Emit(regarding={}, reason="FailedCreate", message=error.message)

    def planner(view: View, key: meta.Key, now: float) -> plan.Plan:
        owner = view.get("pods", *key)
        if owner is None or next(attempts) > 2:
            return plan.NOTHING
        foreign = plan.Create(kind="configmaps", body={"metadata": {"name": "taken", "namespace": "ns"}}, why="test", refused=refused)
        return plan.plan_of([foreign], [plan.Emit(regarding={}, reason="Rest", message="")])

    one = setup()
    one.server.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken", "namespace": "ns"}})
    async with one.running(keeps(planner)):
        one.server.put(pod())
        await fakes.settle()
        assert [emit.reason for emit in one.emitted] == ["FailedCreate"]
        await fakes.pass_time(one.clock, 1)
        assert [emit.reason for emit in one.emitted] == ["FailedCreate"] * 3
        assert one.driver.explain("test", ("ns", "p")).error == ""


async def test_what_is_ours_already_counts_as_made() -> None:
    def planner(view: View, key: meta.Key, now: float) -> plan.Plan:
        owner = view.get("pods", *key)
        return plan.NOTHING if owner is None else plan.plan_of([child(owner, "same")], [plan.Emit(regarding={}, reason="Done", message="")])

    one = setup()
    async with one.running(keeps(planner)):
        one.server.put(pod())
        await fakes.settle()
        one.driver.wake("test", ("ns", "p"))
        await fakes.settle()
        assert {emit.reason for emit in one.emitted} == {"Done"}
        assert one.driver.explain("test", ("ns", "p")).failures == 0


async def test_a_lost_answer_makes_nothing_twice() -> None:
    one = setup(fakes.Faults(lost_answer=0.5, lost_request=0.3))
    async with one.running(keeps(fill)):
        one.server.put(pod(replicas=20))
        await fakes.pass_time(one.clock, 1000)
        assert len(one.server.objects["configmaps"]) == 20


async def test_creates_start_slowly() -> None:
    flying: list[int] = []
    present = 0

    class Counting(fakes.Client):
        async def perform(self, *arguments: Any, **options: Any) -> protocol.Written:
            nonlocal present
            present += 1
            flying.append(present)
            await self.clock.sleep(1)
            present -= 1
            return await super().perform(*arguments, **options)

    def planner(view: View, key: meta.Key, now: float) -> plan.Plan:
        owner = view.get("pods", *key)
        if owner is None or view.by("configmaps", OWNER, meta.uid(owner)):
            return plan.NOTHING
        return plan.plan_of(child(owner, f"c{index}") for index in range(10))

    clock = VirtualClock()
    one = Setup(Counting(fakes.Server(), clock), clock)
    async with one.running(keeps(planner)):
        one.server.put(pod())
        await fakes.pass_time(clock, 10)
        assert flying == [1, 1, 2, 1, 2, 3, 4, 1, 2, 3]


async def test_no_plan_makes_more_than_the_burst() -> None:
    def planner(view: View, key: meta.Key, now: float) -> plan.Plan:
        owner = view.get("pods", *key)
        have = len(view.by("configmaps", OWNER, meta.uid(owner))) if owner is not None else 1200
        created.append(have)
        return plan.plan_of(child(owner, f"c{index}") for index in range(have, 1200)) if owner is not None else plan.NOTHING

    created: list[int] = []
    one = setup()
    async with one.running(keeps(planner)):
        one.server.put(pod())
        await fakes.settle()
        assert len(one.server.objects["configmaps"]) == 1200
        assert {0, 500, 1000} <= set(created)


async def test_a_planner_that_raises_costs_its_key_only() -> None:
    def planner(view: View, key: meta.Key, now: float) -> plan.Plan:
        if key[1] == "bad":
            raise ZeroDivisionError("by design")
        return fill(view, key, now)

    one = setup()
    async with one.running(keeps(planner)):
        one.server.put(pod("bad"))
        one.server.put(pod("good", replicas=1))
        await fakes.pass_time(one.clock, 1)
        assert len(one.server.objects["configmaps"]) == 1


async def test_again_at_is_kept_when_the_wall_clock_jumps() -> None:
    planned: list[float] = []

    class Jumping(VirtualClock):
        jump_seconds = 0.0

        def now(self) -> float:
            return super().now() + self.jump_seconds

    def planner(view: View, key: meta.Key, now: float) -> plan.Plan:
        planned.append(now)
        return plan.plan_of(again_at=START + 10_000 if now < START + 10_000 else None)

    clock = Jumping()
    one = Setup(fakes.Client(fakes.Server(), clock), clock)
    async with one.running(keeps(planner)):
        one.server.put(pod())
        await fakes.settle()
        assert one.driver.explain("test", ("ns", "p")).again_at == START + 10_000
        del planned[:]
        clock.jump_seconds = 9_000
        await fakes.pass_time(clock, 999)
        assert not planned
        await fakes.pass_time(clock, 2)
        assert len(planned) == 1


async def test_nothing_is_done_without_leadership() -> None:
    class Elected:
        def __init__(self) -> None:
            self.event = asyncio.Event()

        def leads(self) -> bool:
            return self.event.is_set()

        async def gained(self) -> None:
            await self.event.wait()

    elected = Elected()
    one = setup(leadership=elected)
    async with one.running(keeps(fill)):
        one.server.put(pod(replicas=1))
        await fakes.settle()
        assert not one.server.objects["configmaps"]
        elected.event.set()
        await fakes.settle()
        assert len(one.server.objects["configmaps"]) == 1


async def test_a_lost_lease_stops_a_plan_between_actions() -> None:
    class Losing:
        left = 3

        def leads(self) -> bool:
            self.left -= 1
            return self.left >= 0

        async def gained(self) -> None:
            return

    def planner(view: View, key: meta.Key, now: float) -> plan.Plan:
        owner = view.get("pods", *key)
        return plan.NOTHING if owner is None else plan.plan_of(*([child(owner, f"c{index}")] for index in range(9)))

    one = setup(leadership=Losing())
    async with one.running(keeps(planner)):
        one.server.put(pod())
        await fakes.settle()
        assert len(one.server.objects["configmaps"]) == 3


async def test_one_hanging_key_does_not_hold_the_others() -> None:
    class Hanging(fakes.Client):
        async def perform(self, action: plan.ApiAction, *arguments: Any, **options: Any) -> protocol.Written:
            if isinstance(action, plan.Create) and meta.controller(action.body)["name"] == "slow":  # type: ignore[index]
                await asyncio.Event().wait()
            return await super().perform(action, *arguments, **options)

    clock = VirtualClock()
    one = Setup(Hanging(fakes.Server(), clock), clock)
    async with one.running(keeps(fill)):
        one.server.put(pod("slow", replicas=1))
        one.server.put(pod("quick", replicas=1))
        await fakes.settle()
        assert [meta.controller(made)["name"] for made in one.server.objects["configmaps"].values()] == ["quick"]  # type: ignore[index]
        assert one.driver.explain("test", ("ns", "slow")).in_flight


async def test_a_delayed_controller_looks_when_the_dust_has_settled() -> None:
    one = setup()
    async with one.running(keeps(fill, delay_seconds=40)):
        one.server.put(pod(replicas=1))
        await fakes.pass_time(one.clock, 39)
        assert not one.server.objects["configmaps"]
        await fakes.pass_time(one.clock, 2)
        assert len(one.server.objects["configmaps"]) == 1


async def test_what_comes_in_bursts_is_planned_for_once_and_a_new_spec_at_once() -> None:
    planned: list[float] = []

    def note(view: View, key: meta.Key, now: float) -> plan.Plan:
        planned.append(now - START)
        return plan.NOTHING

    one = setup()
    async with one.running(keeps(note, gather_seconds=10)):
        owner = one.server.put(pod())
        await fakes.settle()
        assert planned == [0]
        for number in range(3):
            one.server.perform(child(owner, f"c{number}"))
            await fakes.pass_time(one.clock, 2)
        assert planned == [0]
        await fakes.pass_time(one.clock, 10)
        assert planned == [0, 10]
        owner = one.server.put(meta.put(owner, ("status",), {"ready": 3}))
        await fakes.settle()
        assert planned == [0, 10]
        one.server.put(meta.put(owner, ("spec", "replicas"), 1))
        await fakes.pass_time(one.clock, 100)
        assert planned == [0, 10, 16]


async def test_agents_perform_actions_of_their_own() -> None:
    class Start:
        why = "test"

    done: list[str] = []

    async def perform_start(action: plan.Action, origin: protocol.Origin) -> None:
        done.append(origin.actor)

    clock = VirtualClock()
    client = fakes.Client(fakes.Server(), clock)
    cache = caches.Cache(client, clock)
    driver = drivers.Driver(client, cache, clock, {Start: perform_start}, actor="node")
    driver.add(plan.Controller(name="worker", kind="", plan=lambda view, key, now: plan.plan_of([Start()])))
    running = [asyncio.create_task(cache.run()), asyncio.create_task(driver.run())]
    driver.wake("worker", ("", "sync"))
    await fakes.settle()
    assert done == ["node/worker"]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
