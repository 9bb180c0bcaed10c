import asyncio

from reconciler.kit.clock import VirtualClock
from reconciler.loop import leader
from reconciler.model.roster import Roster
from tests.unit.loop import fakes


def elector(server: fakes.Server, clock: VirtualClock, identity: str, faults: fakes.Faults = fakes.Faults()) -> leader.Elector:
    return leader.Elector(fakes.Client(server, clock, faults=faults), clock, leader.Settings(name="test", identity=identity))


def leases() -> fakes.Server:
    return fakes.Server(Roster.of([fakes.kind("leases", "Lease", "coordination.k8s.io")]))


async def stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_first_leads_and_the_second_waits() -> None:
    server, clock = leases(), VirtualClock()
    one, two = elector(server, clock, "one"), elector(server, clock, "two")
    tasks = [asyncio.create_task(each.run()) for each in (one, two)]
    await fakes.pass_time(clock, 120)
    assert (one.leads(), two.leads()) == (True, False)
    await stopped(*tasks)


async def test_a_dead_leader_is_followed_after_its_lease_and_has_stopped_before() -> None:
    server, clock = leases(), VirtualClock()
    one, two = elector(server, clock, "one"), elector(server, clock, "two")
    first, second = (asyncio.create_task(each.run()) for each in (one, two))
    await fakes.pass_time(clock, 5)
    await stopped(first)
    assert not one.leads()
    await fakes.pass_time(clock, 10)
    assert not two.leads()
    await fakes.pass_time(clock, 10)
    assert two.leads()
    (lease,) = server.objects[leader.LEASES].values()
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("two", 1)
    await stopped(second)


async def test_a_leader_cut_off_stops_by_its_own_clock() -> None:
    server, clock = leases(), VirtualClock()
    one = elector(server, clock, "one")
    task = asyncio.create_task(one.run())
    await fakes.pass_time(clock, 3)
    one._client = fakes.Client(server, clock, faults=fakes.Faults(lost_request=1.0))
    await fakes.pass_time(clock, 8)
    assert one.leads()
    await fakes.pass_time(clock, 4)
    assert not one.leads()
    await stopped(task)


async def test_waiting_for_leadership_ends_when_it_comes() -> None:
    server, clock = leases(), VirtualClock()
    one = elector(server, clock, "one")
    waiting = asyncio.create_task(one.gained())
    await fakes.settle()
    assert not waiting.done()
    task = asyncio.create_task(one.run())
    await fakes.settle()
    assert waiting.done()
    await stopped(task)
