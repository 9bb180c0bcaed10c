"""Decisions as actions."""

from typing import Any

from reconciler.scheduler import actions
from reconciler.scheduler import plan as decisions
from tests.unit.scheduler import world

NOW = "2026-01-01T00:00:00Z"


def cluster(*objects: dict[str, Any]) -> world.World:
    return world.World([world.namespace("default"), *objects])


def test_binding_names_pod_uid_and_node() -> None:
    placed = cluster(world.node("n")).planner().place(world.pod("p"))
    assert isinstance(placed, decisions.Placed)
    action = actions.binding(placed)
    assert (action.kind, action.subresource) == ("pods", "binding")
    assert action.body["metadata"] == {"name": "p", "namespace": "default", "uid": "uid-default-p"}
    assert action.body["target"]["name"] == "n"
    assert action.announce is not None
    assert action.announce.message == "Successfully assigned default/p to n"


def test_refusal_is_written_once() -> None:
    pod = world.pod("p", {"cpu": "9"})
    refused = cluster(world.node("n")).planner().place(pod)
    assert isinstance(refused, decisions.Refused)
    patch = actions.refusal_status(refused, NOW)
    assert patch is not None
    condition = patch.patch["status"]["conditions"][0]
    assert condition["reason"] == "Unschedulable"
    assert condition["lastTransitionTime"] == NOW
    written = {**pod, "status": {**pod["status"], "conditions": [condition]}}
    again = decisions.Refused(written, refused.message, refused.filters)
    assert actions.refusal_status(again, "later") is None
    changed = actions.refusal_status(decisions.Refused(written, "other words", frozenset()), "later")
    assert changed is not None
    assert changed.patch["status"]["conditions"][0]["lastTransitionTime"] == NOW, "it has been unschedulable since then"


def test_nominations_are_written_and_taken_back() -> None:
    pod = world.pod("p")
    patch = actions.refusal_status(decisions.Refused(pod, "m", frozenset(), nominated="n"), NOW)
    assert patch is not None
    assert patch.patch["status"]["nominatedNodeName"] == "n"
    pod["status"]["nominatedNodeName"] = "n"
    patch = actions.refusal_status(decisions.Refused(pod, "m", frozenset()), NOW)
    assert patch is not None
    assert patch.patch["status"]["nominatedNodeName"] is None


def test_a_victim_is_marked_and_then_deleted() -> None:
    mark, delete = actions.eviction(world.pod("v"), "default-scheduler", NOW)
    condition = mark.patch["status"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "PreemptionByScheduler")
    assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    assert (delete.name, delete.uid, delete.grace_seconds) == ("v", "uid-default-v", None)
