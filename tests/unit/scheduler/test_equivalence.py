"""The columns give every node the verdict and the score that the plain rules give it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from reconciler.scheduler import roster, rules
from tests.unit.scheduler import clusters, reference
from tests.unit.scheduler.world import World

Cluster = tuple[World, dict[str, Any]]
FILTERS = {one.name: one for one in roster.all_filters()}
SCORES = {one.name: one for one in roster.all_scores()}
slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
many = settings(max_examples=100, deadline=None, suppress_health_check=slow)
some = settings(max_examples=50, deadline=None, suppress_health_check=slow)


def reasons(rule: rules.Filter, case: rules.Case, rows: rules.Rows) -> list[set[str]]:
    verdict = rule.check(case, rows)
    size = case.table.size if isinstance(rows, slice) else len(rows)
    if verdict is None:
        return [set() for _ in range(size)]
    return [{reason.text for bit, reason in enumerate(verdict.reasons) if int(bits) >> bit & 1} for bits in verdict.bits]


def check_filter(name: str, world: World, pod: dict[str, Any]) -> None:
    expected = [reference.FILTERS[name](world, pod, node) for node in world.nodes]
    assert reasons(FILTERS[name], world.case(pod), world.table.everything) == expected, name
    rows = np.arange(world.table.size, dtype=np.intp)[::-1]
    assert reasons(FILTERS[name], world.case(pod), rows) == expected[::-1], name


def check_score(name: str, world: World, pod: dict[str, Any]) -> None:
    rule, rows = SCORES[name], np.arange(world.table.size, dtype=np.intp)[::2]
    raw = rule.rate(world.case(pod), rows)
    expected = reference.SCORES[name](world, pod, world.nodes[::2])
    if raw is None:
        assert len(set(expected)) == 1, f"{name}: only a score that is the same everywhere may be left out"
    else:
        assert list(raw if rule.normalise is None else rule.normalise(raw)) == expected, name


@many
@given(clusters.clusters())
def test_every_rule_and_the_choice(cluster: Cluster) -> None:
    world, pod = cluster
    for name in reference.FILTERS:
        check_filter(name, world, pod)
    for name in reference.SCORES:
        check_score(name, world, pod)
    feasible = [node for node in world.nodes if not any(check(world, pod, node) for check in reference.FILTERS.values())]
    total = [0] * len(feasible)
    for rule in roster.all_scores():
        if feasible:
            total = [sum_ + rule.weight * one for sum_, one in zip(total, reference.SCORES[rule.name](world, pod, feasible), strict=True)]
    best = {node["metadata"]["name"] for node, value in zip(feasible, total, strict=True) if value == max(total)}
    placed = world.planner().place(pod)
    assert getattr(placed, "node", None) in (best or {None})


@pytest.mark.parametrize("name", ["NodeAffinity", "InterPodAffinity", "PodTopologySpread", "ImageLocality", "TaintToleration"])
def test_many_pods_around_one_rule(name: str) -> None:
    @some
    @given(clusters.focused(name))
    def check(cluster: Cluster) -> None:
        if name in reference.FILTERS:
            check_filter(name, *cluster)
        if name in reference.SCORES:
            check_score(name, *cluster)

    check()


def test_every_rule_has_a_plain_one() -> None:
    assert set(reference.SCORES) == set(SCORES)
    assert set(FILTERS) - set(reference.FILTERS) == {"VolumeBinding", "VolumeZone", "VolumeRestrictions", "NodeVolumeLimits"}
