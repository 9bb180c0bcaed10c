"""What is kept and renewed is what judging everything afresh would give."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.scheduler import config, rules
from reconciler.scheduler import plan as decisions
from reconciler.scheduler.standing import Standing
from tests.unit.scheduler import clusters, world

SIZES = ({"cpu": "100m", "memory": "100Mi"}, {"cpu": "1"}, {"memory": "1Gi"}, {})


def fresh(made: world.World, pod: dict[str, Any]) -> Standing:
    standing = Standing(rules.Case(made.table, made, made.table.shapes.of(pod)), config.default_profile(), decisions.SEED)
    standing.refresh()
    return standing


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(st.sampled_from(range(len(SIZES))), max_size=30),
    st.integers(1, 6),
    st.lists(st.integers(0, 29), max_size=6),
)
def test_renewed_equals_fresh(sizes: list[int], nodes: int, leaving: list[int]) -> None:
    made = world.World([world.node(f"n{number}", "4", "4Gi", pods="12") for number in range(nodes)])
    planner = made.planner()
    for number, size in enumerate(sizes):
        pod = world.pod(f"p{number}", SIZES[size], labels={"size": str(size)})
        decision = planner.place(pod)
        standing, _ = planner._standing(made.table.shapes.of(pod), config.default_profile())
        standing.refresh()
        expected = fresh(made, pod)
        assert standing.feasible().tolist() == expected.feasible().tolist()
        feasible = standing.feasible()
        assert standing.worth[feasible].tolist() == expected.worth[feasible].tolist()
        assert standing.choose() == expected.choose(), "equal nodes come in the same order whoever asks"
        if isinstance(decision, decisions.Placed):
            made.add({**pod, "spec": {**pod["spec"], "nodeName": decision.node}})
        if number in leaving:
            made.table.remove_pod(("default", f"p{number // 2}"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(clusters.clusters(), st.data())
def test_table_follows_changes(cluster: tuple[world.World, dict[str, Any]], data: st.DataObject) -> None:
    """A table that saw changes equals one that saw only the end."""
    made, pod = cluster
    for node in made.nodes:
        action = data.draw(st.sampled_from(("keep", "replace", "remove")))
        if action == "replace":
            made.add(data.draw(clusters.nodes(node["metadata"]["name"])))
        elif action == "remove":
            made.remove(node)
    for other in list(made.objects["pods"].values()):
        if data.draw(st.booleans()):
            made.remove(other)
    rebuilt = world.World([obj for objects in made.objects.values() for obj in objects.values()])
    for one in (made, rebuilt):
        one.table.labels("zone")
    ours, theirs = fresh(made, pod), fresh(rebuilt, pod)
    names = [name for name in rebuilt.table.names if name in rebuilt.table.row_of]
    by_name = [made.table.row_of[name] for name in names]
    rows = [rebuilt.table.row_of[name] for name in names]
    feasible = theirs.feasible()[rows]
    assert ours.feasible()[by_name].tolist() == feasible.tolist()
    assert ours.worth[by_name][feasible].tolist() == theirs.worth[rows][feasible].tolist()
