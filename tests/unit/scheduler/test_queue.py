"""Who is next, who waits, and what wakes whom."""

from typing import Any

import pytest

from reconciler.model import meta
from reconciler.scheduler import roster
from reconciler.scheduler.queue import MAX_UNSCHEDULABLE_SECONDS, Place, Queue, Waiting
from reconciler.scheduler.shape import Shapes
from tests.unit.scheduler import world

FIT = frozenset(("NodeResourcesFit",))
TAINTS = frozenset(("TaintToleration",))


@pytest.fixture
def shapes() -> Shapes:
    return Shapes()


@pytest.fixture
def queue() -> Queue:
    return Queue(roster.all_filters())


def put(queue: Queue, shapes: Shapes, name: str, now: float = 0.0, **more: Any) -> dict[str, Any]:
    pod = world.pod(name, **more)
    queue.put(pod, shapes.of(pod), now)
    return pod


def names(queue: Queue, now: float = 0.0) -> list[str]:
    found = []
    while (waiting := queue.pop(now)) is not None:
        found.append(meta.name(waiting.pod))
    return found


def fail(queue: Queue, now: float, filters: frozenset[str] = FIT) -> Waiting:
    waiting = queue.pop(now)
    assert waiting is not None
    queue.sleep(waiting, filters)
    return waiting


def test_higher_priority_first_then_arrival(queue: Queue, shapes: Shapes) -> None:
    put(queue, shapes, "a", priority=1)
    put(queue, shapes, "b", priority=5)
    put(queue, shapes, "c", priority=1)
    assert names(queue) == ["b", "a", "c"]


def test_gates_hold(queue: Queue, shapes: Shapes) -> None:
    put(queue, shapes, "a", schedulingGates=[{"name": "g"}])
    assert names(queue) == []
    assert queue.count(Place.GATED) == 1
    put(queue, shapes, "a")
    assert names(queue) == ["a"]


def test_a_node_wakes_who_lacked_resources_but_not_who_met_taints(queue: Queue, shapes: Shapes) -> None:
    put(queue, shapes, "short", requests={"cpu": "6"})
    fail(queue, 0.0)
    put(queue, shapes, "tainted")
    fail(queue, 0.0, TAINTS)
    node = world.node("n", taints=[{"key": "k", "effect": "NoSchedule"}])
    bigger = world.node("n", cpu="8", taints=[{"key": "k", "effect": "NoSchedule"}])
    assert queue.change("nodes", node, bigger, 100.0)
    assert names(queue, 100.0) == ["short"]
    assert not queue.change("nodes", node, bigger, 100.0)
    assert queue.change("nodes", node, world.node("n", taints=[{"key": "k", "effect": "PreferNoSchedule"}]), 100.0)
    assert names(queue, 100.0) == ["tainted"]


def test_a_pod_that_leaves_wakes_and_one_that_starts_does_not(queue: Queue, shapes: Shapes) -> None:
    put(queue, shapes, "p")
    fail(queue, 0.0)
    other = world.pod("other", on="n")
    assert not queue.change("pods", other, world.pod("other", on="n", phase="Running"), 50.0)
    assert queue.change("pods", other, None, 50.0)
    assert names(queue, 50.0) == ["p"]


def test_backoff_doubles_and_is_cut_short_while_nothing_else_waits(queue: Queue, shapes: Shapes) -> None:
    put(queue, shapes, "p")
    fail(queue, 0.0)
    queue.change("nodes", None, world.node("n"), 0.5)
    assert queue.count(Place.BACKOFF) == 1
    assert queue.next_deadline() == 1.0
    fail(queue, 0.5)
    queue.change("nodes", None, world.node("m"), 1.0)
    assert queue.next_deadline() == 2.5


def test_early_ones_come_by_priority(queue: Queue, shapes: Shapes) -> None:
    for name, priority in (("low", 1), ("high", 9), ("mid", 5)):
        put(queue, shapes, name, priority=priority)
    for _ in range(3):
        fail(queue, 0.0)
    queue.change("nodes", None, world.node("n"), 0.1)
    assert names(queue, 0.1) == ["high", "mid", "low"]


def test_errors_wait_their_time(queue: Queue, shapes: Shapes) -> None:
    put(queue, shapes, "p")
    waiting = queue.pop(10.0)
    assert waiting is not None
    queue.retry(waiting)
    assert names(queue, 10.5) == []
    assert not queue.is_ready(10.5)
    assert names(queue, 11.0) == ["p"]


def test_backoff_ends_at_its_maximum(shapes: Shapes) -> None:
    queue = Queue(roster.all_filters(), initial_backoff_seconds=1.0, max_backoff_seconds=4.0)
    put(queue, shapes, "p")
    now = 0.0
    for _ in range(6):
        waiting = queue.pop(now)
        assert waiting is not None
        queue.retry(waiting)
        deadline = queue.next_deadline()
        assert deadline is not None
        assert deadline - now <= 4.0
        now = deadline


def test_new_status_wakes_nobody_new_labels_do(queue: Queue, shapes: Shapes) -> None:
    pod = put(queue, shapes, "p")
    fail(queue, 0.0)
    changed = {**pod, "status": {"phase": "Pending", "conditions": []}}
    queue.put(changed, shapes.of(changed), 0.0)
    assert names(queue) == []
    put(queue, shapes, "p", labels={"k": "v"})
    assert names(queue) == ["p"]


def test_overdue_pods_are_tried_again(queue: Queue, shapes: Shapes) -> None:
    put(queue, shapes, "p")
    fail(queue, 0.0)
    queue.wake_overdue(MAX_UNSCHEDULABLE_SECONDS - 1)
    assert names(queue, MAX_UNSCHEDULABLE_SECONDS - 1) == []
    queue.wake_overdue(MAX_UNSCHEDULABLE_SECONDS)
    assert names(queue, MAX_UNSCHEDULABLE_SECONDS) == ["p"]


def test_removed_and_replaced_pods(queue: Queue, shapes: Shapes) -> None:
    pod = put(queue, shapes, "p")
    queue.remove(("default", "p"))
    assert names(queue) == []
    put(queue, shapes, "p")
    fail(queue, 0.0)
    again = meta.put(pod, ("metadata", "uid"), "another")
    queue.put(again, shapes.of(again), 0.0)
    assert names(queue) == ["p"]
    assert [queue.count(place) for place in Place] == [0, 0, 0, 0]


def test_preemptors_are_activated(queue: Queue, shapes: Shapes) -> None:
    put(queue, shapes, "p")
    fail(queue, 0.0)
    queue.activate(("default", "p"))
    assert queue.count(Place.ACTIVE) == 1
    assert names(queue) == ["p"]


def test_an_attempt_that_goes_on_comes_first_again(queue: Queue, shapes: Shapes) -> None:
    for name in "ab":
        put(queue, shapes, name)
    waiting = queue.pop(0.0)
    assert waiting is not None
    queue.resume(waiting)
    assert waiting.attempts == 0
    put(queue, shapes, "urgent", priority=5)
    assert names(queue) == ["urgent", "a", "b"]
    assert [queue.count(place) for place in Place] == [0, 0, 0, 0]


SELECTED = {"nodeSelector": {"disk": "ssd"}}
NEAR = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}
WHEN = "requiredDuringSchedulingIgnoredDuringExecution"
SPREAD = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "db"}}}


@pytest.mark.parametrize(
    ("rule", "spec", "kind", "old", "new", "helps"),
    [
        ("NodeUnschedulable", {}, "nodes", None, world.node("n", unschedulable=True), False),
        ("NodeUnschedulable", {}, "nodes", world.node("n", unschedulable=True), world.node("n"), True),
        ("NodeUnschedulable", {}, "nodes", world.node("n"), None, False),
        ("TaintToleration", {}, "nodes", None, world.node("n", taints=[{"key": "k", "effect": "NoExecute"}]), False),
        ("NodeAffinity", SELECTED, "nodes", None, world.node("n"), False),
        ("NodeAffinity", SELECTED, "nodes", world.node("n"), world.node("n", labels={"disk": "ssd"}), True),
        ("NodeAffinity", SELECTED, "nodes", world.node("n", labels={"disk": "ssd"}), world.node("n", "8", labels={"disk": "ssd"}), False),
        ("NodeResourcesFit", {"requests": {"cpu": "2"}}, "nodes", None, world.node("n", "1"), False),
        ("NodeResourcesFit", {"requests": {"cpu": "2"}}, "nodes", world.node("n", "3"), world.node("n", "4"), True),
        ("NodeResourcesFit", {"requests": {"cpu": "2"}}, "nodes", world.node("n"), world.node("n", memory="64Gi"), False),
        ("NodePorts", {"ports": [{"hostPort": 80}]}, "pods", world.pod("f", on="n", ports=[{"hostPort": 80}]), None, True),
        ("NodePorts", {"ports": [{"hostPort": 80}]}, "pods", world.pod("f", on="n", ports=[{"hostPort": 81}]), None, False),
        (
            "InterPodAffinity",
            {"affinity": {"podAffinity": {WHEN: [NEAR]}}},
            "pods",
            None,
            world.pod("f", on="n", labels={"app": "db"}),
            True,
        ),
        ("InterPodAffinity", {"affinity": {"podAffinity": {WHEN: [NEAR]}}}, "pods", None, world.pod("f", on="n"), False),
        ("InterPodAffinity", {"affinity": {"podAffinity": {WHEN: [NEAR]}}}, "pods", None, world.pod("f", labels={"app": "db"}), False),
        ("InterPodAffinity", {}, "pods", world.pod("f", on="n", affinity={"podAntiAffinity": {WHEN: [NEAR]}}), None, True),
        ("InterPodAffinity", {"affinity": {"podAffinity": {WHEN: [NEAR]}}}, "nodes", world.node("n"), world.node("n", "8"), False),
        (
            "InterPodAffinity",
            {"affinity": {"podAffinity": {WHEN: [NEAR]}}},
            "nodes",
            world.node("n"),
            world.node("n", labels={"zone": "a"}),
            True,
        ),
        ("PodTopologySpread", {"topologySpreadConstraints": [SPREAD]}, "pods", world.pod("f", on="n", labels={"app": "db"}), None, True),
        ("PodTopologySpread", {"topologySpreadConstraints": [SPREAD]}, "pods", world.pod("f", on="n"), None, False),
        ("PodTopologySpread", {"topologySpreadConstraints": [SPREAD]}, "nodes", world.node("n", labels={"zone": "a"}), None, True),
    ],
)
def test_only_what_can_help_wakes(queue: Queue, shapes: Shapes, rule: str, spec: Any, kind: str, old: Any, new: Any, helps: bool) -> None:
    put(queue, shapes, "p", **spec)
    fail(queue, 0.0, frozenset((rule,)))
    assert queue.change(kind, old, new, 100.0) is helps


def test_a_pod_that_asks_for_less_wakes(queue: Queue, shapes: Shapes) -> None:
    put(queue, shapes, "p")
    fail(queue, 0.0)
    large, small = (world.pod("f", {"cpu": cpu}, on="n") for cpu in "21")
    assert not queue.change("pods", small, large, 100.0)
    assert queue.change("pods", large, small, 100.0)


def test_nobody_starves(queue: Queue, shapes: Shapes) -> None:
    """A pod of low rank that backs off has its turn as soon as those above it do not fit, whatever else arrives."""
    put(queue, shapes, "low")
    fail(queue, 0.0)
    for number in range(50):
        put(queue, shapes, f"high-{number}", priority=9)
        fail(queue, 0.0)
    assert queue.change("pods", world.pod("f", {"cpu": "1"}, on="n"), None, 0.5)
    assert names(queue, 0.5)[-1] == "low"
