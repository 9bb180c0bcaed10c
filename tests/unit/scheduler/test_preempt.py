"""Who is evicted, where, and when not."""

from typing import Any

from reconciler.scheduler import plan as decisions
from tests.unit.scheduler import world

ONE = {"cpu": "1"}


def budget(name: str, allowed: int, **labels: str) -> dict[str, Any]:
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}},
        "status": {"disruptionsAllowed": allowed},
    }


def cluster(*objects: dict[str, Any]) -> world.World:
    return world.World([world.namespace("default"), *objects])


def refused(made: world.World, pod: dict[str, Any]) -> decisions.Refused:
    decision = made.planner().place(pod)
    assert isinstance(decision, decisions.Refused)
    return decision


def victims(decision: decisions.Refused) -> list[str]:
    return [victim["metadata"]["name"] for victim in decision.victims]


def test_the_least_important_victim() -> None:
    made = cluster(
        world.node("a", "1"), world.node("b", "1"), world.pod("v", ONE, on="a", priority=100), world.pod("w", ONE, on="b", priority=10)
    )
    decision = refused(made, world.pod("p", ONE, priority=1000))
    assert (decision.nominated, victims(decision)) == ("b", ["w"])
    assert decision.message == "0/2 nodes are available: 2 Insufficient cpu."


def test_fewest_victims_and_none_in_vain() -> None:
    small = [world.pod(f"s{number}", {"cpu": "500m"}, on="a", priority=1) for number in range(4)]
    made = cluster(world.node("a", "2"), world.node("b", "2"), *small, world.pod("big", {"cpu": "2"}, on="b", priority=1))
    decision = refused(made, world.pod("p", {"cpu": "2"}, priority=10))
    assert (decision.nominated, victims(decision)) == ("b", ["big"])
    decision = refused(made, world.pod("q", {"cpu": "3"}, priority=10))
    assert victims(decision) == []
    assert decision.message.endswith("preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.")


def test_pods_that_need_not_go_stay() -> None:
    made = cluster(
        world.node("a", "3"),
        world.pod("low", ONE, on="a", priority=1),
        world.pod("mid", ONE, on="a", priority=5),
        world.pod("old", ONE, on="a", priority=1, started="2026-01-01T00:00:00Z"),
    )
    assert victims(refused(made, world.pod("p", ONE, priority=10))) == ["low"]  # it has not started, so it is the newest


def test_budgets_come_before_priority() -> None:
    made = cluster(
        world.node("a", "1"),
        world.node("b", "1"),
        world.pod("v", ONE, on="a", priority=100),
        world.pod("w", ONE, on="b", priority=10, labels={"app": "x"}),
        budget("b", 0, app="x"),
    )
    assert victims(refused(made, world.pod("p", ONE, priority=1000))) == ["v"]


def test_budgets_are_broken_where_nothing_else_helps() -> None:
    made = cluster(world.node("b", "1"), world.pod("w", ONE, on="b", labels={"app": "x"}), budget("b", 0, app="x"))
    assert victims(refused(made, world.pod("p", ONE, priority=1))) == ["w"]


def test_started_last_goes_first() -> None:
    early, late = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    made = cluster(
        world.node("a", "1"), world.node("b", "1"), world.pod("v", ONE, on="a", started=early), world.pod("w", ONE, on="b", started=late)
    )
    assert victims(refused(made, world.pod("p", ONE, priority=1))) == ["w"]


def test_anti_affinity_is_a_reason_to_evict() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"}
    against = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    made = cluster(world.node("a"), world.pod("v", on="a", labels={"app": "x"}), world.pod("w", on="a", labels={"app": "y"}))
    assert victims(refused(made, world.pod("p", priority=1, affinity=against))) == ["v"]
    assert made.table.pod_count[0] == 3, "thoughts leave no trace: two pods and the nominated one"


def test_equal_priority_is_left_alone() -> None:
    made = cluster(world.node("a", "1"), world.pod("v", ONE, on="a", priority=5))
    decision = refused(made, world.pod("p", ONE, priority=5))
    assert victims(decision) == []
    assert decision.message.endswith("preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.")


def test_never() -> None:
    made = cluster(world.node("a", "1"), world.pod("v", ONE, on="a"))
    decision = refused(made, world.pod("p", ONE, priority=5, preemptionPolicy="Never"))
    assert victims(decision) == []
    assert decision.message.endswith("preemption: not eligible due to preemptionPolicy=Never.")


def test_nominated_room_is_kept_from_equals_and_the_preemptor_waits() -> None:
    made = cluster(world.node("a", "1"), world.pod("v", ONE, on="a"))
    planner = made.planner()
    pod = world.pod("p", ONE, priority=5)
    first = planner.place(pod)
    assert isinstance(first, decisions.Refused)
    assert first.nominated == "a"
    marked = world.pod("v", ONE, on="a", deleting=True)
    marked["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]
    made.add(marked)
    second = planner.place(pod)
    assert isinstance(second, decisions.Refused)
    assert second.message.endswith("preemption: not eligible due to a terminating pod on the nominated node.")
    assert second.nominated is None
    made.remove(marked)
    other = planner.place(world.pod("q", ONE, priority=5))
    assert isinstance(other, decisions.Refused), "the room belongs to p"
    third = planner.place(pod)
    assert isinstance(third, decisions.Placed)
    assert third.node == "a"


def test_higher_rank_takes_nominated_room_over() -> None:
    made = cluster(world.node("a", "1"), world.pod("v", ONE, on="a"))
    planner = made.planner()
    planner.place(world.pod("p", ONE, priority=5))
    higher = planner.place(world.pod("h", ONE, priority=9))
    assert isinstance(higher, decisions.Refused)
    assert [pod["metadata"]["name"] for pod in higher.displaced] == ["p"]
    assert list(made.table.nominations) == [("default", "h")]
