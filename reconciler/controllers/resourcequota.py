"""ResourceQuotas: what the objects of a namespace take together, as status.used.

Upstream: pkg/controller/resourcequota. Whether a new object still fits is decided when it is written, by admission.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.kinds import pod, quota, quota_usage
from reconciler.model import meta, plan, quantity
from reconciler.model.kind import Kind
from reconciler.model.view import NAMESPACE, View

QUOTAS = "resourcequotas"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(QUOTAS, *key)
    if one is None or meta.is_deleting(one):
        return plan.NOTHING
    hard = quota.hard(one)
    status = {"hard": hard, "used": _used(view, one, hard, now)}
    again_at = _next_overdue(view, key[0], now)
    if status == meta.status(one):
        return plan.plan_of(again_at=again_at)
    body = meta.put(one, ("status",), status)
    return plan.plan_of([plan.Update(kind=QUOTAS, body=body, subresource="status", why="what it counts changed")], again_at=again_at)


def _next_overdue(view: View, namespace: str, now: float) -> float | None:
    """When the next pod that is being deleted stops counting though nobody ended it."""
    leaving = (quota_usage.overdue_at(one) for one in view.by(quota_usage.PODS, NAMESPACE, namespace) if meta.is_deleting(one))
    return min((at + 1 for at in leaving if now <= at < math.inf), default=None)


def _used(view: View, one: meta.Obj, hard: Mapping[str, str], now: float) -> dict[str, str]:
    used: dict[str, str] = {}
    for kind in view.roster:
        names = [name for name in hard if quota_usage.concerns(kind, name)] if _is_counted(kind) else []
        if not names:
            continue
        used.update(dict.fromkeys(names, "0"))
        for obj in view.by(kind.id, NAMESPACE, meta.namespace(one)):
            if quota_usage.is_counted(kind.id, obj, now) and quota_usage.in_scope(one, kind.id, obj):
                for name, amount in quota_usage.usage(kind.id, obj).items():
                    if name in used:
                        used[name] = quantity.add(used[name], amount)
    return used


def _is_counted(kind: Kind) -> bool:
    return kind.namespaced and kind.storage_id == kind.id and "watch" in kind.verbs


def _of_object(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    obj = new if new is not None else old
    if obj is None or not meta.namespace(obj):
        return
    quotas = view.by(QUOTAS, NAMESPACE, meta.namespace(obj))
    if quotas and (old is None or new is None or _takes(old) != _takes(new)):
        yield from map(meta.key, quotas)


def _takes(obj: meta.Obj) -> tuple[Any, ...]:
    """What can change how much a living object takes."""
    kind = obj.get("kind")
    if kind == "Pod":
        return (pod.is_terminal(obj), quota_usage.overdue_at(obj), obj.get("spec"))
    return (obj.get("spec"),) if kind in ("Service", "PersistentVolumeClaim") else ()


CONTROLLER = plan.Controller(name="resourcequota-controller", kind=QUOTAS, plan=planned, follows={plan.EVERY_KIND: _of_object})
