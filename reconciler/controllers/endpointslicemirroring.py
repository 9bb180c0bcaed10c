"""EndpointSlices of Endpoints that somebody wrote by hand for a Service without a selector.

Upstream: pkg/controller/endpointslicemirroring.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.controllers import pods, slices
from reconciler.controllers.endpointslice import of_slice, own_slices
from reconciler.controllers.serving import SERVICES, TRIGGER_ANNOTATION
from reconciler.kinds import endpoints, service
from reconciler.model import meta, plan
from reconciler.model.view import View

ENDPOINTS = "endpoints"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader"
NOT_COPIED = {TRIGGER_ANNOTATION, "kubectl.kubernetes.io/last-applied-configuration"}
MAX_ENDPOINTS = 1000  # per subset


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    source, one = view.get(ENDPOINTS, *key), view.get(SERVICES, *key)
    present = own_slices(view, key, MANAGER)
    if source is None or one is None or service.has_selector(one) or not _is_mirrored(source):
        return plan.plan_of(_deletion(slice) for slice in present)
    labels = {**meta.labels(source), endpoints.SERVICE_LABEL: key[1], endpoints.MANAGED_BY_LABEL: MANAGER}
    annotations = {name: text for name, text in meta.annotations(source).items() if name not in NOT_COPIED}
    frame = slices.Frame(source, labels, annotations, MAX_ENDPOINTS)
    names = pods.free_names(view, slices.SLICES, source, f"{key[1]}-")
    return plan.plan_of(slices.fitted(frame, list(_groups(source)), present, names))


def _is_mirrored(source: meta.Obj) -> bool:
    return meta.labels(source).get(SKIP_LABEL) != "true" and LEADER_ANNOTATION not in meta.annotations(source)


def _groups(source: meta.Obj) -> Iterable[slices.Group]:
    """Subsets with equal ports share their slices."""
    found: dict[str, tuple[str, tuple[slices.Endpoint, ...], list[slices.Endpoint]]] = {}
    for subset in source.get("subsets") or ():
        ports: tuple[slices.Endpoint, ...] = tuple(_port(port) for port in subset.get("ports") or ())
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                family = "IPv6" if ":" in address["ip"] else "IPv4"
                key = slices.group_key(family, ports)
                found.setdefault(key, (family, ports, []))[2].append(_endpoint(address, ready))
    for family, ports, filled in found.values():
        yield slices.Group(family, ports, tuple(filled[:MAX_ENDPOINTS]))


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    known = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": port["port"]}
    return known | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})


def _endpoint(address: Mapping[str, Any], ready: bool) -> dict[str, Any]:
    endpoint: dict[str, Any] = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for name in ("hostname", "nodeName", "targetRef"):
        if address.get(name):
            endpoint[name] = address[name]
    return endpoint


def _deletion(slice: meta.Obj) -> plan.Action:
    namespace, name = meta.key(slice)
    return plan.Delete(kind=slices.SLICES, namespace=namespace, name=name, uid=meta.uid(slice), why="nothing is mirrored any more")


def _same_name(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    obj = new if new is not None else old
    if obj is not None:
        yield meta.key(obj)


CONTROLLER = plan.Controller(
    name="endpointslice-mirroring-controller",
    kind=ENDPOINTS,
    plan=planned,
    follows={SERVICES: _same_name, slices.SLICES: of_slice(MANAGER)},
)
