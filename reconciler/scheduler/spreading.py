"""Which spread constraints hold for a shape: its own, or else the profile's defaults, and which nodes they count."""

from collections.abc import Mapping
from typing import Any

from reconciler.model import meta, selectors, view
from reconciler.scheduler import match
from reconciler.scheduler import shape as shapes
from reconciler.scheduler.columns import Mask
from reconciler.scheduler.rules import Case
from reconciler.scheduler.shape import Spread

NAME = "PodTopologySpread"
HOSTNAME = "kubernetes.io/hostname"
REQUIRED = "DoNotSchedule"
PREFERRED = "ScheduleAnyway"
SYSTEM_DEFAULTS: tuple[Mapping[str, Any], ...] = (
    {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 5, "whenUnsatisfiable": PREFERRED},
    {"topologyKey": HOSTNAME, "maxSkew": 3, "whenUnsatisfiable": PREFERRED},
)
OWNERS = {"ReplicaSet": "replicasets.apps", "StatefulSet": "statefulsets.apps", "ReplicationController": "replicationcontrollers"}


def uses_system_defaults(case: Case) -> bool:
    return case.args(NAME).get("defaultingType") != "List"


def constraints(case: Case, when: str) -> tuple[Spread, ...]:
    shape = case.shape
    if shape.spread or shape.preferred_spread:
        return shape.spread if when == REQUIRED else shape.preferred_spread
    return case.once(f"default spread {when}", lambda: _defaults(case, when))


def _defaults(case: Case, when: str) -> tuple[Spread, ...]:
    every = SYSTEM_DEFAULTS if uses_system_defaults(case) else case.args(NAME).get("defaultConstraints") or ()
    wanted = [one for one in every if one["whenUnsatisfiable"] == when]
    selector = default_selector(case) if wanted else selectors.NOTHING
    if selector.nothing:
        return ()
    return tuple(shapes.spread(one, case.shape.namespace, case.shape.labels, selector) for one in wanted)


def default_selector(case: Case) -> selectors.Selector:
    """What the pod's services and its owner select, all together; nothing where there are none."""
    shape, around = case.shape, case.view
    wanted: dict[str, str] = {}
    for service in around.by("services", view.NAMESPACE, shape.namespace):
        selected = meta.spec(service).get("selector")
        if selected and selectors.from_labels(selected).matches(shape.labels):
            wanted.update(selected)
    kind, name = shape.owner
    owner = around.get(OWNERS[kind], shape.namespace, name) if kind in OWNERS else None
    more: tuple[selectors.Requirement, ...] = ()
    if owner is not None and kind == "ReplicationController":
        wanted.update(meta.spec(owner).get("selector") or {})
    elif owner is not None:
        more = selectors.from_label_selector(meta.spec(owner).get("selector")).requirements
    requirements = (*selectors.from_labels(wanted).requirements, *more)
    return selectors.Selector(requirements) if requirements else selectors.NOTHING


def included(case: Case, spread: Spread) -> Mask | None:
    """Rows that the constraint's nodeAffinityPolicy and nodeTaintsPolicy count; None for all."""
    nodes = match.required_nodes(case) if spread.honor_affinity else None
    tolerable = match.tolerable(case) if spread.honor_taints else None
    if nodes is None or tolerable is None:
        return tolerable if nodes is None else nodes
    return nodes & tolerable
