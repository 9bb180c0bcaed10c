"""The rules about volumes give every node the verdict that the plain rules give it."""

from typing import Any

from hypothesis import HealthCheck, given, settings

from reconciler.scheduler import roster, volumes
from tests.unit.scheduler import clusters_volumes, reference_volumes
from tests.unit.scheduler.test_equivalence import reasons
from tests.unit.scheduler.world import World

RULES = [(one, reference_volumes.FILTERS[one.name]) for one in roster.all_filters() if one.name in reference_volumes.FILTERS]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(clusters_volumes.cluster())
def test_filters(cluster: tuple[World, dict[str, Any]]) -> None:
    world, pod = cluster
    refused = reference_volumes.refused(world, pod)
    assert volumes.claims_of(world.case(pod)).problem == refused
    for rule, plain in RULES if not refused else ():
        expected = [plain(world, pod, node) for node in world.nodes]
        assert reasons(rule, world.case(pod), world.table.everything) == expected, rule.name


def test_every_rule_about_volumes_is_here() -> None:
    assert len(RULES) == 4
