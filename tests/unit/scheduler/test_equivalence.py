"""The columns give every node the verdict and the score that the plain rules give it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.scheduler import roster, rules
from tests.unit.scheduler import clusters, reference
from tests.unit.scheduler.world import World

Cluster = tuple[World, dict[str, object]]
many = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def reasons(rule: rules.Filter, case: rules.Case, rows: rules.Rows) -> list[set[str]]:
    verdict = rule.check(case, rows)
    size = case.table.size if isinstance(rows, slice) else len(rows)
    if verdict is None:
        return [set() for _ in range(size)]
    return [{reason.text for bit, reason in enumerate(verdict.reasons) if int(bits) >> bit & 1} for bits in verdict.bits]


@pytest.mark.parametrize("name", reference.FILTERS)
def test_filter(name: str) -> None:
    rule = next(one for one in roster.all_filters() if one.name == name)

    @many
    @given(st.one_of(clusters.clusters(), clusters.focused(name), clusters.focused(name)))
    def check(cluster: Cluster) -> None:
        world, pod = cluster
        expected = [reference.FILTERS[name](world, pod, node) for node in world.nodes]
        assert reasons(rule, world.case(pod), world.table.everything) == expected
        rows = np.arange(world.table.size, dtype=np.intp)[::-1]
        assert reasons(rule, world.case(pod), rows) == expected[::-1]

    check()


@pytest.mark.parametrize("name", reference.SCORES)
def test_score(name: str) -> None:
    rule = next(one for one in roster.all_scores() if one.name == name)

    @many
    @given(st.one_of(clusters.clusters(), clusters.focused(name), clusters.focused(name)))
    def check(cluster: Cluster) -> None:
        world, pod = cluster
        rows = np.arange(world.table.size, dtype=np.intp)[::2]
        feasible = world.nodes[::2]
        raw = rule.rate(world.case(pod), rows)
        expected = reference.SCORES[name](world, pod, feasible)
        if raw is None:
            assert len(set(expected)) == 1, "only a score that is the same everywhere may be left out"
        else:
            assert list(raw if rule.normalise is None else rule.normalise(raw)) == expected

    check()


@many
@given(clusters.clusters())
def test_choice_is_a_best_feasible_node(cluster: Cluster) -> None:
    world, pod = cluster
    feasible = [node for node in world.nodes if not any(check(world, pod, node) for check in reference.FILTERS.values())]
    total = [0] * len(feasible)
    for rule in roster.all_scores():
        if feasible:
            total = [sum_ + rule.weight * one for sum_, one in zip(total, reference.SCORES[rule.name](world, pod, feasible), strict=True)]
    best = {node["metadata"]["name"] for node, value in zip(feasible, total, strict=True) if value == max(total)}
    placed = world.planner().place(pod)
    assert getattr(placed, "node", None) in (best or {None})
