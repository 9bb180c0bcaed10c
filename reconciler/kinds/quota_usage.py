"""What objects take of a ResourceQuota, by the names that quotas use (k8s.io/apiserver's quota evaluators).

The controller counts with it what is there; whoever decides on a new object asks it what that would add.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import pod, pod_resources
from reconciler.kit import clock
from reconciler.model import meta, quantity
from reconciler.model.kind import Kind

PODS = "pods"
CLAIMS = "persistentvolumeclaims"
SERVICES = "services"
# Kinds that quotas count by their bare names, too.
COUNTED = frozenset({PODS, CLAIMS, SERVICES, "secrets", "configmaps", "replicationcontrollers", "resourcequotas"})
COMPUTE = ("cpu", "memory", "ephemeral-storage")
STORAGE_SUFFIX = ".storageclass.storage.k8s.io"


def usage(kind_id: str, obj: meta.Obj) -> dict[str, str]:
    """What one object takes."""
    found = {f"count/{kind_id}": "1"}
    if kind_id in COUNTED:
        found[kind_id] = "1"
    if kind_id == PODS:
        found.update(_of_pod(obj))
    elif kind_id == CLAIMS:
        found.update(_of_claim(obj))
    elif kind_id == SERVICES:
        found.update(_of_service(obj))
    return found


def is_counted(kind_id: str, obj: meta.Obj, now: float) -> bool:
    """Pods that have ended take nothing any more, nor do those whose node has not ended them in their time."""
    if kind_id != PODS:
        return True
    return not pod.is_terminal(obj) and now <= overdue_at(obj)


def overdue_at(obj: meta.Obj) -> float:
    """When a pod that is being deleted counts as lost, in seconds since the epoch: a grace period after it is due."""
    metadata = meta.meta(obj)
    due, grace_seconds = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    return math.inf if not due or grace_seconds is None else clock.parse_rfc3339(str(due)) + float(grace_seconds)


def concerns(kind: Kind, name: str) -> bool:
    """Whether objects of `kind` can take of what a quota calls `name`."""
    if name == f"count/{kind.id}" or (name == kind.id and kind.id in COUNTED):
        return True
    if kind.id == PODS:
        return name in COMPUTE or (name.startswith(("requests.", "limits.", "hugepages-")) and name != "requests.storage")
    if kind.id == CLAIMS:
        return name == "requests.storage" or name.partition("/")[0].endswith(STORAGE_SUFFIX)
    return kind.id == SERVICES and name.startswith("services.")


def in_scope(quota: meta.Obj, kind_id: str, obj: meta.Obj) -> bool:
    """Whether a quota's scopes let it count an object."""
    return all(_has_scope(scope, operator, values, kind_id, obj) for scope, operator, values in _scopes(quota))


def _of_pod(one: meta.Obj) -> dict[str, str]:
    spec = meta.spec(one)
    found: dict[str, str] = {}
    for name, amount in pod_resources.requests(spec).items():
        found[f"requests.{name}"] = amount
        if name in COMPUTE or name.startswith("hugepages-"):
            found[name] = amount
    limited = {**spec, **{group: [_limits_as_requests(one) for one in spec.get(group) or ()] for group in ("containers", "initContainers")}}
    found.update({f"limits.{name}": amount for name, amount in pod_resources.requests(limited).items()})
    return found


def _limits_as_requests(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**container, "resources": {"requests": (container.get("resources") or meta.EMPTY).get("limits") or {}}}


def _of_claim(claim: meta.Obj) -> dict[str, str]:
    spec = meta.spec(claim)
    storage = str(((spec.get("resources") or meta.EMPTY).get("requests") or meta.EMPTY).get("storage", "0"))
    found = {"requests.storage": storage}
    if storage_class := spec.get("storageClassName"):
        prefix = f"{storage_class}{STORAGE_SUFFIX}"
        found.update({f"{prefix}/requests.storage": storage, f"{prefix}/persistentvolumeclaims": "1"})
    return found


def _of_service(service: meta.Obj) -> dict[str, str]:
    spec = meta.spec(service)
    type, ports = spec.get("type", ""), len(spec.get("ports") or ())
    has_ports = type == "NodePort" or (type == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))
    return {"services.loadbalancers": "1" if type == "LoadBalancer" else "0", "services.nodeports": str(ports) if has_ports else "0"}


def _scopes(quota: meta.Obj) -> Iterator[tuple[str, str, list[str]]]:
    spec = meta.spec(quota)
    for scope in spec.get("scopes") or ():
        yield scope, "Exists", []
    for one in (spec.get("scopeSelector") or meta.EMPTY).get("matchExpressions") or ():
        yield one["scopeName"], one["operator"], one.get("values") or []


def _has_scope(scope: str, operator: str, values: list[str], kind_id: str, obj: meta.Obj) -> bool:
    if kind_id != PODS:
        return False
    spec = meta.spec(obj)
    if scope in ("BestEffort", "NotBestEffort"):
        return _is_best_effort(spec) == (scope == "BestEffort")
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    if scope == "PriorityClass":
        name = spec.get("priorityClassName", "")
        is_in = name in values if values else bool(name)
        return bool(is_in != (operator in ("NotIn", "DoesNotExist")))
    return scope == "CrossNamespacePodAffinity" and _crosses_namespaces(spec)


def _is_best_effort(spec: Mapping[str, Any]) -> bool:
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or ():
            resources = container.get("resources") or meta.EMPTY
            for quantities in (resources.get("requests"), resources.get("limits")):
                if any(quantity.parse(str(amount)).nano for name, amount in (quantities or {}).items() if name in ("cpu", "memory")):
                    return False
    return True


def _crosses_namespaces(spec: Mapping[str, Any]) -> bool:
    affinity = spec.get("affinity") or meta.EMPTY
    for group in (affinity.get("podAffinity") or meta.EMPTY, affinity.get("podAntiAffinity") or meta.EMPTY):
        required = group.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        preferred = group.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        for term in (*required, *(one["podAffinityTerm"] for one in preferred)):
            if term.get("namespaces") or term.get("namespaceSelector") is not None:
                return True
    return False
