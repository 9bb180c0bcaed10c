"""ResourceQuota: what all objects of a namespace ask for together stays within its quotas.

Usage is counted from the objects themselves, not from a quota's status, which a controller writes later. Two writes
that are decided on at the same moment may together exceed a quota by one object.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.kinds import pod_resources
from reconciler.model import meta, quantity

COUNTED = frozenset(
    {
        "pods", "services", "secrets", "configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas",
    }
)  # fmt: skip
COMPUTE = ("cpu", "memory", "ephemeral-storage")
MUST_SPECIFY = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


def validate(attributes: Attributes, obj: meta.Obj) -> None:
    """Raises StatusError 403 for what would exceed a quota."""
    call = attributes.call
    if attributes.operation != "CREATE" or call.subresource or not call.namespace:
        return
    shelf = attributes.cache.shelf("resourcequotas")
    if not shelf.items:
        return
    for _, item in shelf.in_order(call.namespace):
        if _in_scope(item.obj, call.kind.id, obj):
            _check(attributes, item.obj, obj)


def _check(attributes: Attributes, quota: meta.Obj, obj: meta.Obj) -> None:
    call = attributes.call
    hard: Mapping[str, str] = meta.spec(quota).get("hard") or {}
    if call.kind.id == "pods":
        missing = _unspecified(hard, meta.spec(obj))
        if missing:
            raise call.forbidden(f"failed quota: {meta.name(quota)}: must specify {missing}")
    asked = {name: amount for name, amount in usage(call.kind.id, obj).items() if name in hard}
    if not asked:
        return
    used = _used(attributes, quota, asked)
    over = [name for name in sorted(asked) if quantity.compare(quantity.add(used[name], asked[name]), hard[name]) > 0]
    if over:
        texts = (",".join(f"{name}={amounts[name]}" for name in over) for amounts in (asked, used, hard))
        requested, now, limited = texts
        raise call.forbidden(f"exceeded quota: {meta.name(quota)}, requested: {requested}, used: {now}, limited: {limited}")


def _used(attributes: Attributes, quota: meta.Obj, asked: Mapping[str, str]) -> dict[str, str]:
    kind = attributes.call.kind
    used = dict.fromkeys(asked, "0")
    for _, item in attributes.cache.shelf(kind.storage_id).in_order(attributes.call.namespace):
        if not _in_scope(quota, kind.id, item.obj) or (kind.id == "pods" and _is_over(item.obj)):
            continue
        for name, amount in usage(kind.id, item.obj).items():
            if name in used:
                used[name] = quantity.add(used[name], amount)
    return used


def usage(kind_id: str, obj: meta.Obj) -> dict[str, str]:
    """What one object takes, by the names that quotas use."""
    spec = meta.spec(obj)
    found = {f"count/{kind_id}": "1"}
    if kind_id in COUNTED:
        found[kind_id] = "1"
    if kind_id == "pods":
        found.update(_of_pod(spec))
    elif kind_id == "persistentvolumeclaims":
        found.update(_of_claim(obj))
    elif kind_id == "services":
        kind, ports = spec.get("type", ""), len(spec.get("ports") or ())
        found["services.loadbalancers"] = "1" if kind == "LoadBalancer" else "0"
        found["services.nodeports"] = str(ports) if kind in ("LoadBalancer", "NodePort") else "0"
    return found


def _of_pod(spec: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, amount in pod_resources.requests(spec).items():
        found[f"requests.{name}"] = amount
        if name in COMPUTE:
            found[name] = amount
    limited = {**spec, **{group: [_limits_as_requests(one) for one in spec.get(group) or ()] for group in ("containers", "initContainers")}}
    found.update({f"limits.{name}": amount for name, amount in pod_resources.requests(limited).items()})
    return found


def _limits_as_requests(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**container, "resources": {"requests": (container.get("resources") or {}).get("limits") or {}}}


def _of_claim(claim: meta.Obj) -> dict[str, str]:
    spec = meta.spec(claim)
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
    found = {"requests.storage": storage}
    if storage_class := spec.get("storageClassName"):
        prefix = f"{storage_class}.storageclass.storage.k8s.io"
        found.update({f"{prefix}/requests.storage": storage, f"{prefix}/persistentvolumeclaims": "1"})
    return found


def _unspecified(hard: Mapping[str, str], spec: Mapping[str, Any]) -> str:
    """What a quota on compute resources asks every container to say, and some do not."""
    missing = []
    for name in sorted(set(hard) & set(MUST_SPECIFY)):
        part, _, resource = name.rpartition(".")
        without = sorted(
            container["name"]
            for group in ("containers", "initContainers")
            for container in spec.get(group) or ()
            if resource not in ((container.get("resources") or {}).get(part or "requests") or {})
        )
        if without:
            missing.append(f"{name} for: {','.join(without)}")
    return "; ".join(missing)


def _in_scope(quota: meta.Obj, kind_id: str, obj: meta.Obj) -> bool:
    return all(_has_scope(scope, operator, values, kind_id, obj) for scope, operator, values in _scopes(quota))


def _scopes(quota: meta.Obj) -> Iterator[tuple[str, str, list[str]]]:
    spec = meta.spec(quota)
    for scope in spec.get("scopes") or ():
        yield scope, "Exists", []
    for one in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        yield one["scopeName"], one["operator"], one.get("values") or []


def _has_scope(scope: str, operator: str, values: list[str], kind_id: str, obj: meta.Obj) -> bool:
    if kind_id != "pods":
        return False
    spec = meta.spec(obj)
    if scope in ("BestEffort", "NotBestEffort"):
        resources = (container.get("resources") or {} for group in ("containers", "initContainers") for container in spec.get(group) or ())
        is_best_effort = not any(one.get("requests") or one.get("limits") for one in resources)
        return is_best_effort == (scope == "BestEffort")
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    if scope == "PriorityClass":
        name = spec.get("priorityClassName", "")
        is_in = bool(name) if not values else name in values
        return is_in != (operator in ("NotIn", "DoesNotExist"))
    return True


def _is_over(pod: meta.Obj) -> bool:
    return meta.status(pod).get("phase") in ("Succeeded", "Failed")


PLUGIN = Plugin(name="ResourceQuota", looks_at_each_with=("resourcequotas",), validate=validate)
