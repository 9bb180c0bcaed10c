"""Decisions for one pod after another, and optimistic counting."""

from typing import Any

from reconciler.scheduler import plan as decisions
from tests.unit.scheduler import world


def cluster(*objects: dict[str, Any]) -> world.World:
    return world.World([world.namespace("default"), *objects])


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
