"""Decisions as actions, optimistic counting, explanations and what-if."""

from typing import Any

from reconciler.scheduler import explain
from reconciler.scheduler import plan as decisions
from tests.unit.scheduler import world

NOW = "2026-01-01T00:00:00Z"


def cluster(*objects: dict[str, Any]) -> world.World:
    return world.World([world.namespace("default"), *objects])


def test_binding_names_pod_uid_and_node() -> None:
    placed = cluster(world.node("n")).planner().place(world.pod("p"))
    assert isinstance(placed, decisions.Placed)
    action = decisions.binding(placed)
    assert (action.kind, action.subresource) == ("pods", "binding")
    assert action.body["metadata"] == {"name": "p", "namespace": "default", "uid": "uid-default-p"}
    assert action.body["target"]["name"] == "n"
    assert action.announce is not None
    assert action.announce.message == "Successfully assigned default/p to n"


def test_refusal_is_written_once() -> None:
    pod = world.pod("p", {"cpu": "9"})
    refused = cluster(world.node("n")).planner().place(pod)
    assert isinstance(refused, decisions.Refused)
    patch = decisions.refusal_status(refused, NOW)
    assert patch is not None
    condition = patch.patch["status"]["conditions"][0]
    assert condition["reason"] == "Unschedulable"
    assert condition["lastTransitionTime"] == NOW
    written = {**pod, "status": {**pod["status"], "conditions": [condition]}}
    again = decisions.Refused(written, refused.message, refused.filters)
    assert decisions.refusal_status(again, "later") is None
    changed = decisions.refusal_status(decisions.Refused(written, "other words", frozenset()), "later")
    assert changed is not None
    assert changed.patch["status"]["conditions"][0]["lastTransitionTime"] == NOW, "it has been unschedulable since then"


def test_nominations_are_written_and_taken_back() -> None:
    pod = world.pod("p")
    patch = decisions.refusal_status(decisions.Refused(pod, "m", frozenset(), nominated="n"), NOW)
    assert patch is not None
    assert patch.patch["status"]["nominatedNodeName"] == "n"
    pod["status"]["nominatedNodeName"] = "n"
    patch = decisions.refusal_status(decisions.Refused(pod, "m", frozenset()), NOW)
    assert patch is not None
    assert patch.patch["status"]["nominatedNodeName"] is None


def test_a_victim_is_marked_and_then_deleted() -> None:
    mark, delete = decisions.eviction(world.pod("v"), "default-scheduler", NOW)
    condition = mark.patch["status"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "PreemptionByScheduler")
    assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    assert (delete.name, delete.uid, delete.grace_seconds) == ("v", "uid-default-v", None)


def test_no_nodes() -> None:
    refused = cluster().planner().place(world.pod("p"))
    assert isinstance(refused, decisions.Refused)
    assert refused.message == "no nodes available to schedule pods"


def test_placed_pods_count_at_once_and_can_be_taken_back() -> None:
    made = cluster(world.node("n", "1"))
    planner = made.planner()
    first = planner.place(world.pod("a", {"cpu": "1"}))
    assert isinstance(first, decisions.Placed)
    assert isinstance(planner.place(world.pod("b", {"cpu": "1"})), decisions.Refused)
    planner.take_back(first)
    assert isinstance(planner.place(world.pod("b", {"cpu": "1"})), decisions.Placed)


def test_a_confirmed_pod_is_not_taken_back() -> None:
    made = cluster(world.node("n", "1"))
    planner = made.planner()
    placed = planner.place(world.pod("a", {"cpu": "1"}))
    assert isinstance(placed, decisions.Placed)
    made.add(world.pod("a", {"cpu": "1"}, on="n"))
    planner.take_back(placed)
    assert made.table.pod_count[0] == 1


def test_equal_nodes_are_chosen_by_lot_with_a_seed() -> None:
    def nodes_of(seed: int) -> list[str]:
        made = cluster(*(world.node(f"n{number}") for number in range(8)))
        planner = made.planner(seed=seed)
        placed = [planner.place(world.pod(f"p{number}", {"cpu": "1"})) for number in range(8)]
        return [one.node for one in placed if isinstance(one, decisions.Placed)]

    assert nodes_of(1) == nodes_of(1)
    assert nodes_of(1) != nodes_of(2)
    assert len(set(nodes_of(3))) == 8


def test_daemon_pods_look_at_their_node_only() -> None:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = world.pod("p", {"cpu": "2"}, affinity={"nodeAffinity": required})
    made = cluster(world.node("a", "8"), world.node("b", "1"))
    refused = made.planner().place(pod)
    assert isinstance(refused, decisions.Refused)
    assert refused.message.startswith("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity].")


def test_explain_gives_every_filter_and_score() -> None:
    made = cluster(
        world.node("good"),
        world.node("busy"),
        world.node("bad", "1", taints=[{"key": "k", "effect": "NoSchedule"}]),
        world.pod("f", {"cpu": "2"}, on="busy"),
    )
    found = explain.explain(made, world.pod("p", {"cpu": "2"}), table=made.table)
    assert [report.node for report in found.nodes] == ["good", "busy", "bad"]
    assert found.nodes[2].reasons == {
        "TaintToleration": ("node(s) had untolerated taint(s)",),
        "NodeResourcesFit": ("Insufficient cpu",),
    }
    assert found.nodes[0].total > found.nodes[1].total
    assert found.lines()[0].startswith("good: fits, score ")


def test_explain_where_nothing_fits() -> None:
    made = cluster(world.node("a"), world.node("b", "1"), world.pod("f", {"cpu": "1"}, on="a"))
    found = explain.explain(made, world.pod("p", {"cpu": "9"}), table=made.table)
    assert found.lines()[0] == "0/2 nodes are available: 2 Insufficient cpu."
    assert found.lines()[1].startswith("b: NodeResourcesFit: Insufficient cpu; it would have the score ")
    assert all(report.scores for report in found.nodes)


def test_explain_a_pod_that_is_turned_away_as_such() -> None:
    made = cluster(world.node("n"))
    pod = world.pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
    lines = explain.explain(made, pod, table=made.table).lines()
    assert lines[0] == '0/1 nodes are available: persistentvolumeclaim "c" not found.'
    assert lines[1] == 'VolumeBinding turns it away: persistentvolumeclaim "c" not found'


def test_explain_tells_of_the_best_nodes_only() -> None:
    made = cluster(*(world.node(f"n{number:03}", "1" if number % 2 else "4") for number in range(200)))
    found = explain.explain(made, world.pod("p", {"cpu": "2"}), table=made.table)
    assert len(found.nodes) == explain.MAX_NODES
    assert all(report.is_feasible for report in found.nodes)
    assert found.lines()[-1] == "and 150 more nodes"
    assert explain.explain(cluster(), world.pod("p")).lines() == ["no nodes available to schedule pods"]


def test_explain_nodes_that_no_filter_looks_at() -> None:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    made = cluster(world.node("a"), world.node("b"))
    found = explain.explain(made, world.pod("p", affinity={"nodeAffinity": required}), table=made.table)
    assert [report.node for report in found.nodes if report.is_feasible] == ["b"]
    assert found.nodes[1].reasons == {"NodeAffinity": ("node(s) didn't match Pod's node affinity/selector",)}


def test_explain_a_placed_pod_without_counting_it_twice() -> None:
    pod = world.pod("p", {"cpu": "4"}, on="n")
    made = cluster(world.node("n"), pod)
    assert explain.explain(made, pod, table=made.table).nodes[0].is_feasible
    assert made.table.pod_count[0] == 1


def test_what_if_writes_nothing() -> None:
    made = cluster(world.node("n", "1"))
    wanted = [world.pod("low", {"cpu": "1"}), world.pod("high", {"cpu": "1"}, priority=5)]
    first, second = explain.what_if(Indexed(made), wanted)
    assert isinstance(first, decisions.Placed)
    assert first.pod["metadata"]["name"] == "high"
    assert isinstance(second, decisions.Refused)
    assert made.table.pod_count[0] == 0


class Indexed(world.World):
    """The same world with the index of pods by node."""

    def __init__(self, inner: world.World) -> None:
        super().__init__(obj for objects in inner.objects.values() for obj in objects.values())

    def by(self, kind: str, index: str, value: str) -> Any:
        if index == "node":
            return [pod for pod in self.objects["pods"].values() if pod["spec"].get("nodeName") == value]
        return super().by(kind, index, value)
