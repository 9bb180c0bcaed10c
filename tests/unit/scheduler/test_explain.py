"""What filters and scores say of the nodes, and where pods would go."""

from typing import Any

from reconciler.scheduler import explain
from reconciler.scheduler import plan as decisions
from tests.unit.scheduler import world


def cluster(*objects: dict[str, Any]) -> world.World:
    return world.World([world.namespace("default"), *objects])


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
