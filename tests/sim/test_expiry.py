"""Events expire an hour after their last write, whatever they say of themselves."""

from tests.sim.cluster import running

EVENT = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "default"},
    "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
}


async def test_an_event_lives_an_hour_from_its_last_write() -> None:
    async with running() as cluster:
        cluster.run(["event-expiry-controller"])
        await cluster.create("events", EVENT)
        await cluster.pass_time(3000)
        await cluster.patch("events", "e", {"count": 2, "lastTimestamp": "2099-01-01T00:00:00Z"})
        await cluster.pass_time(3590)
        assert await cluster.objects("events")
        await cluster.pass_time(20)
        assert not await cluster.objects("events")
