"""Who is evicted, where, and when not."""

from dataclasses import replace
from typing import Any

from reconciler.scheduler import config
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


def crowded(nodes: int) -> world.World:
    """Nodes full of pods, of which the one on the last node is the cheapest to evict."""
    made = cluster()
    for number in range(nodes):
        made.add(world.node(f"n{number:03}", "1", labels={"zone": f"z{number % 3}"}))
        made.add(world.pod(f"v{number:03}", ONE, on=f"n{number:03}", priority=1 if number == nodes - 1 else 2, labels={"app": "x"}))
    return made


def spreading(name: str) -> dict[str, Any]:
    constraint = {"topologyKey": "zone", "maxSkew": 9, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}}
    return world.pod(name, ONE, priority=10, labels={"app": "x"}, topologySpreadConstraints=[constraint])


def tries(planner: decisions.Planner, pod: dict[str, Any]) -> tuple[int, decisions.Refused]:
    for number in range(1, 1000):
        decision = planner.try_place(pod)
        if isinstance(decision, decisions.Refused):
            return number, decision
    raise AssertionError("the search does not end")


def test_a_search_goes_on_in_short_tries_until_it_has_enough() -> None:
    made = crowded(150)
    several, decision = tries(made.planner(), spreading("p"))
    assert several > 2
    assert decision.nominated is not None
    assert len(decision.victims) == 1
    made = crowded(90)  # fewer than are enough, so that all are looked at
    assert tries(made.planner(), spreading("p"))[1].nominated == "n089"
    assert tries(made.planner(), world.pod("p", ONE, priority=10))[1].nominated == "n089"


def test_a_search_that_finds_nobody_ends_with_everything_looked_at() -> None:
    made = crowded(40)
    pod = spreading("p")
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "900m"
    for number in range(40):
        made.add(world.pod(f"w{number:03}", {"cpu": "0"}, on=f"n{number:03}", priority=50, labels={"app": "x"}))
        made.add(world.pod(f"v{number:03}", {"cpu": "500m"}, on=f"n{number:03}", priority=20))
    _, decision = tries(made.planner(), pod)
    assert decision.victims == ()
    assert decision.message.endswith("preemption: 0/40 nodes are available: 40 No preemption victims found for incoming pod.")


def test_what_changes_between_the_tries_of_a_search_counts() -> None:
    made = crowded(60)
    planner, pod = made.planner(), spreading("p")
    assert isinstance(planner.try_place(pod), decisions.Searching)
    for number in range(60):  # nobody can be evicted any more but on one node, which was looked at first
        if number != 1:
            made.add(world.pod(f"v{number:03}", ONE, on=f"n{number:03}", priority=20, labels={"app": "x"}))
    made.add(world.node("late", "1", taints=[{"key": "k", "effect": "NoSchedule"}], labels={"zone": "z0"}))
    _, decision = tries(planner, pod)
    assert (decision.nominated, victims(decision)) == ("n001", ["v001"])


def test_a_budget_that_selects_everything_protects_nobody_here() -> None:
    made = cluster(world.node("a", "1"), world.pod("v", ONE, on="a", priority=1, labels={"k": "v"}))
    made.add(world.node("b", "1"))
    made.add(world.pod("w", ONE, on="b", priority=2, labels={"k": "v"}))
    empty = budget("all", 0)
    made.add({**empty, "spec": {"selector": {}}})
    assert victims(refused(made, world.pod("p", ONE, priority=10))) == ["v"]


def test_fewer_bids_are_enough_where_the_profile_says_so() -> None:
    args = {"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 1}
    profile = replace(config.default_profile(), arguments={"DefaultPreemption": args})
    several, decision = tries(crowded(50).planner(profile), spreading("p"))
    assert (several, decision.nominated) == (1, "n000")
