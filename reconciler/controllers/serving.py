"""Which pods serve a Service, and what of a pod's change its endpoints notice.

Shared by the EndpointSlice and the Endpoints controller (upstream: endpointslice/util).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.kinds import pod, service
from reconciler.model import meta
from reconciler.model.view import NAMESPACE, View

SERVICES = "services"
PODS = "pods"
TRIGGER_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS_LABEL = "service.kubernetes.io/headless"


def pods_of(view: View, one: meta.Obj, *, terminating: bool) -> list[meta.Obj]:
    """Pods that the Service selects and that can have endpoints; with `terminating` also those on their way out."""
    selected = view.select(PODS, meta.namespace(one), service.selector(one))
    return [each for each in selected if not pod.is_terminal(each) and pod.ips(each) and (terminating or not meta.is_deleting(each))]


def families(one: meta.Obj) -> Sequence[str]:
    return meta.spec(one).get("ipFamilies") or ("IPv4",)


def address(one: meta.Obj, family: str) -> str:
    """The pod's address of `family`, "" when it has none."""
    return next((ip for ip in pod.ips(one) if (":" in ip) == (family == "IPv6")), "")


def hostname(one: meta.Obj, of: meta.Obj) -> str:
    """The name that the pod has in the DNS of a Service which is its subdomain."""
    spec = meta.spec(one)
    return str(spec.get("hostname") or "") if spec.get("subdomain") == meta.name(of) else ""


def ports(of: meta.Obj, one: meta.Obj) -> list[dict[str, Any]]:
    """The Service's ports as numbers on this pod; a named port that the pod does not have is left out."""
    found = []
    for port in service.ports(of):
        number = _number(port, one)
        if number:
            known = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": number}
            found.append(known | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {}))
    return found


def trigger(of: meta.Obj, pods: Iterable[meta.Obj], before: Sequence[meta.Obj]) -> str:
    """When what changed since `before` was written came about: the Service's birth, else the earliest new readiness.

    Empty when neither is new; then what changed was the Service's spec, which has no time.
    """
    born = str(meta.meta(of).get("creationTimestamp") or "")
    if not before:
        return born
    known = max((meta.annotations(one).get(TRIGGER_ANNOTATION, "") for one in before), default="") or born
    return min((time for time in map(_ready_changed, pods) if time > known), default="")


def touched_services(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """Services for which a change of a pod matters: not each of its updates does."""
    obj = new if new is not None else old
    assert obj is not None
    services = view.by(SERVICES, NAMESPACE, meta.namespace(obj))
    if not services or (old is not None and new is not None and _looks(old) == _looks(new)):
        return
    for one in services:
        selector = service.selector(one)
        if any(each is not None and selector.matches(meta.labels(each)) for each in (old, new)):
            yield meta.key(one)


def _looks(one: meta.Obj) -> tuple[Any, ...]:
    spec, status = meta.spec(one), meta.status(one)
    return (
        pod.is_ready(one),
        meta.is_deleting(one),
        status.get("podIPs") or status.get("podIP"),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
        meta.labels(one),
    )


def _ready_changed(one: meta.Obj) -> str:
    condition = pod.condition(one, "Ready")
    return str((condition or meta.EMPTY).get("lastTransitionTime") or "")


def _number(port: Mapping[str, Any], one: meta.Obj) -> int:
    target = port.get("targetPort") or port.get("port") or 0
    if isinstance(target, int) or str(target).isdecimal():
        return int(target)
    for container in (*pod.containers(one), *filter(pod.is_sidecar, pod.init_containers(one))):
        for declared in container.get("ports") or ():
            if declared.get("name") == target and declared.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(declared["containerPort"])
    return 0
