import asyncio
from collections.abc import AsyncIterator

import pytest

from reconciler.client import protocol
from reconciler.kit.clock import VirtualClock
from reconciler.loop.events import Recorder
from reconciler.model import meta, plan
from reconciler.model.roster import Roster
from tests.unit.loop import fakes

ORIGIN = protocol.Origin(actor="controller/test-controller/part")
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns", "uid": "u"}}


class Recording:
    def __init__(self, faults: fakes.Faults = fakes.Faults()) -> None:
        self.clock = VirtualClock()
        self.server = fakes.Server(Roster.of([fakes.kind("events", "Event")]))
        self.recorder = Recorder(fakes.Client(self.server, self.clock, faults=faults), self.clock, "instance")

    async def emit(self, message: str, **more: object) -> None:
        emit = plan.Emit(regarding=POD, reason="Tested", message=message, **more)  # type: ignore[arg-type]
        await self.recorder.perform(emit, ORIGIN)
        await fakes.settle()

    @property
    def events(self) -> list[meta.Obj]:
        return list(self.server.objects["events"].values())


@pytest.fixture
async def recording() -> AsyncIterator[Recording]:
    one = Recording()
    task = asyncio.create_task(one.recorder.run())
    yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_event_names_its_object_and_its_source(recording: Recording) -> None:
    await recording.emit("hello", type="Warning")
    (event,) = recording.events
    assert event["involvedObject"] == {"kind": "Pod", "namespace": "ns", "name": "p", "uid": "u", "apiVersion": "v1"}
    assert event["source"] == {"component": "test-controller"}
    assert (event["reason"], event["type"], event["count"]) == ("Tested", "Warning", 1)
    assert meta.name(event).startswith("p.")


async def test_an_equal_event_is_counted(recording: Recording) -> None:
    for _ in range(3):
        await recording.emit("hello")
        recording.clock.advance(10)
    (event,) = recording.events
    assert event["count"] == 3
    assert event["firstTimestamp"] < event["lastTimestamp"]


async def test_an_expired_event_is_written_anew(recording: Recording) -> None:
    await recording.emit("hello")
    recording.server.remove("events", meta.key(recording.events[0]))
    await recording.emit("hello")
    assert [event["count"] for event in recording.events] == [1]


async def test_many_different_messages_are_combined(recording: Recording) -> None:
    for number in range(15):
        await recording.emit(f"message {number}")
    combined = [event for event in recording.events if event["message"].startswith("(combined from similar events): ")]
    assert len(recording.events) == 11
    assert [event["count"] for event in combined] == [5]


async def test_one_object_cannot_flood(recording: Recording) -> None:
    for _ in range(40):
        await recording.emit("again")
    assert recording.events[0]["count"] == 25
    recording.clock.advance(301)
    await recording.emit("again")
    assert recording.events[0]["count"] == 26


async def test_an_action_makes_the_newer_form(recording: Recording) -> None:
    for _ in range(2):
        await recording.emit("bound", action="Binding", component="scheduler")
    (event,) = recording.events
    assert (event["action"], event["reportingComponent"], event["reportingInstance"]) == ("Binding", "scheduler", "instance")
    assert event["series"]["count"] == 2
    assert "count" not in event


async def test_a_lost_answer_costs_nothing() -> None:
    one = Recording(fakes.Faults(lost_request=0.5))
    task = asyncio.create_task(one.recorder.run())
    await one.recorder.perform(plan.Emit(regarding=POD, reason="Tested", message="hello"), ORIGIN)
    await fakes.pass_time(one.clock, 60)
    assert len(one.events) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
