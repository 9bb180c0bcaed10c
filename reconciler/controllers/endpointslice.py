"""EndpointSlices of Services with a selector.

Upstream: pkg/controller/endpointslice and staging's endpointslice/reconciler.go. Pods on nodes that are unknown are
left out, unless the Service publishes addresses that are not ready.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.controllers import pods, serving, slices
from reconciler.kinds import endpoints, pod, service
from reconciler.model import meta, plan, selectors
from reconciler.model.view import NODE, View

NODES = "nodes"
MANAGER = "endpointslice-controller.k8s.io"
ZONE_LABEL = "topology.kubernetes.io/zone"
RESERVED_LABELS = {endpoints.SERVICE_LABEL, endpoints.MANAGED_BY_LABEL, serving.HEADLESS_LABEL}


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(serving.SERVICES, *key)
    if one is None or meta.is_deleting(one) or not service.has_selector(one) or service.is_external_name(one):
        return plan.NOTHING
    members = serving.pods_of(view, one, terminating=True)
    present = own_slices(view, key, MANAGER)
    groups = [group for family in serving.families(one) for group in _groups(view, one, members, family)]
    time = serving.trigger(one, members, present)
    frame = slices.Frame(one, _labels(one), {serving.TRIGGER_ANNOTATION: time} if time else {})
    names = pods.free_names(view, slices.SLICES, one, f"{meta.name(one)}-")
    return plan.plan_of(slices.fitted(frame, groups, present, names), waiting_on=_waiting(one, members))


def _waiting(one: meta.Obj, members: Sequence[meta.Obj]) -> Iterable[plan.Waiting]:
    """Why nobody answers for the Service."""
    if not members:
        yield plan.Waiting("pods that its selector names")
    elif not service.publishes_not_ready(one) and not any(map(pod.is_ready, members)):
        yield plan.Waiting(f"one of {len(members)} pods to become ready")


def own_slices(view: View, key: meta.Key, manager: str) -> list[meta.Obj]:
    """The slices of the Service `key` that `manager` keeps and nobody has deleted yet."""
    selector = selectors.from_labels({endpoints.SERVICE_LABEL: key[1]})
    found = view.select(slices.SLICES, key[0], selector)
    return [one for one in found if meta.labels(one).get(endpoints.MANAGED_BY_LABEL) == manager and not meta.is_deleting(one)]


def of_slice(manager: str) -> plan.Follow:
    """Wakes the Service of a slice that `manager` keeps, or kept."""

    def keys(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
        for one in (old, new):
            if one is not None and meta.labels(one).get(endpoints.MANAGED_BY_LABEL) == manager:
                yield meta.namespace(one), endpoints.service_name(one)

    return keys


def _groups(view: View, one: meta.Obj, members: Iterable[meta.Obj], family: str) -> Iterable[slices.Group]:
    """Endpoints by their ports; a Service without any keeps an empty slice."""
    found: dict[str, tuple[list[dict[str, Any]], list[slices.Endpoint]]] = {}
    for member in members:
        endpoint = _endpoint(view, one, member, family)
        if endpoint is not None:
            ports = serving.ports(one, member)
            found.setdefault(slices.group_key(family, ports), (ports, []))[1].append(endpoint)
    if not found:
        yield slices.Group(family, (), ())
    for ports, filled in found.values():
        yield slices.Group(family, tuple(ports), tuple(filled))


def _endpoint(view: View, one: meta.Obj, member: meta.Obj, family: str) -> slices.Endpoint | None:
    address, node_name = serving.address(member, family), pod.node_name(member)
    node = view.get(NODES, "", node_name) if node_name else None
    if not address or (node_name and node is None and not service.publishes_not_ready(one)):
        return None
    ready, leaving = pod.is_ready(member), meta.is_deleting(member)
    endpoint: dict[str, Any] = {
        "addresses": [address],
        "conditions": {
            "ready": service.publishes_not_ready(one) or (ready and not leaving),
            "serving": ready,
            "terminating": leaving,
        },
        "targetRef": {"kind": "Pod", "namespace": meta.namespace(member), "name": meta.name(member), "uid": meta.uid(member)},
    }
    if name := serving.hostname(member, one):
        endpoint["hostname"] = name
    if node_name:
        endpoint["nodeName"] = node_name
    if node is not None and (zone := meta.labels(node).get(ZONE_LABEL)):
        endpoint["zone"] = zone
    return endpoint


def _labels(one: meta.Obj) -> dict[str, str]:
    labels = {name: value for name, value in meta.labels(one).items() if name not in RESERVED_LABELS}
    labels |= {endpoints.SERVICE_LABEL: meta.name(one), endpoints.MANAGED_BY_LABEL: MANAGER}
    return labels | ({serving.HEADLESS_LABEL: ""} if service.is_headless(one) else {})


def _of_node(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """A node that comes, goes or changes its zone matters to the Services of its pods."""
    if old is not None and new is not None and meta.labels(old).get(ZONE_LABEL) == meta.labels(new).get(ZONE_LABEL):
        return
    obj = new if new is not None else old
    assert obj is not None
    for member in view.by(serving.PODS, NODE, meta.name(obj)):
        yield from serving.touched_services(view, None, member)


CONTROLLER = plan.Controller(
    name="endpointslice-controller",
    kind=serving.SERVICES,
    plan=planned,
    follows={serving.PODS: serving.touched_services, slices.SLICES: of_slice(MANAGER), NODES: _of_node},
)
