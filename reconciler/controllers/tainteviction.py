"""Pods that do not tolerate a NoExecute taint of their node are deleted, those that tolerate it for a time in time.

Upstream: pkg/controller/tainteviction. A taint without timeAdded is stamped first where that time matters: it is the
only memory of when it came.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.kinds import node, pod
from reconciler.kit import clock as clocks
from reconciler.model import conditions, meta, plan
from reconciler.model.view import NODE, View
from reconciler.placement import taints

NODES = "nodes"
PODS = "pods"
FOR_EVER = float("inf")
MESSAGE = "Taint manager: deleting due to NoExecute taint"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(NODES, *key)
    if one is None:
        return plan.NOTHING
    present = [taint for taint in node.taints(one) if taint.get("effect") == taints.NO_EXECUTE]
    if not present:
        return plan.NOTHING
    due = [(each, _due_seconds(each, present)) for each in view.by(PODS, NODE, key[1]) if not meta.is_deleting(each)]
    waits = any(0 < seconds < FOR_EVER for _, seconds in due)
    if waits and any(not taint.get("timeAdded") for taint in present):
        return plan.plan_of([plan.Update(kind=NODES, body=_stamped(one, now), why="pods tolerate its taint for a time only")])
    since = max((clocks.parse_rfc3339(str(taint["timeAdded"])) for taint in present if taint.get("timeAdded")), default=now)
    doomed = [each for each, seconds in due if since + seconds <= now]
    later = [since + seconds for _, seconds in due if now < since + seconds < FOR_EVER]
    return plan.plan_of(
        [_eviction_event(each) for each in doomed],
        [_marked(each, now) for each in doomed if not pod.is_terminal(each)],
        [_deletion(each) for each in doomed],
        again_at=min(later, default=None),
    )


def _due_seconds(each: meta.Obj, present: Sequence[Mapping[str, Any]]) -> float:
    """How long the pod tolerates all of `present` together."""
    least = FOR_EVER
    for taint in present:
        wanted = taints.Taint(taint.get("key", ""), taint.get("value") or "", taints.NO_EXECUTE)
        covering = [spec for spec in meta.spec(each).get("tolerations") or () if taints.toleration(spec).tolerates(wanted)]
        if not covering:
            return 0.0
        seconds = [max(0.0, float(spec["tolerationSeconds"])) for spec in covering if spec.get("tolerationSeconds") is not None]
        least = min([least, *seconds])
    return least


def _stamped(one: meta.Obj, now: float) -> meta.Obj:
    stamped = [
        {**taint, "timeAdded": clocks.rfc3339(now)} if taint.get("effect") == taints.NO_EXECUTE and not taint.get("timeAdded") else taint
        for taint in node.taints(one)
    ]
    return meta.put(one, ("spec", "taints"), stamped)


def _eviction_event(each: meta.Obj) -> plan.Action:
    message = f"Marking for deletion Pod {meta.namespace(each)}/{meta.name(each)}"
    return plan.Emit(regarding=each, reason="TaintManagerEviction", message=message)


def _marked(each: meta.Obj, now: float) -> plan.Action:
    condition = conditions.made("DisruptionTarget", "True", "DeletionByTaintManager", MESSAGE, now)
    condition["observedGeneration"] = meta.generation(each)
    body = meta.put(each, ("status", "conditions"), conditions.updated(meta.status(each).get("conditions") or (), condition))
    return plan.Update(kind=PODS, body=body, subresource="status", why=MESSAGE)


def _deletion(each: meta.Obj) -> plan.Action:
    namespace, name = meta.key(each)
    return plan.Delete(kind=PODS, namespace=namespace, name=name, uid=meta.uid(each), why=MESSAGE)


def _of_pod(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """A pod that comes to a tainted node, or whose tolerations changed."""
    if new is None or not pod.is_scheduled(new):
        return
    if old is not None and meta.spec(old) == meta.spec(new):
        return
    one = view.get(NODES, "", pod.node_name(new))
    if one is not None and any(taint.get("effect") == taints.NO_EXECUTE for taint in node.taints(one)):
        yield "", pod.node_name(new)


CONTROLLER = plan.Controller(name="taint-eviction-controller", kind=NODES, plan=planned, follows={PODS: _of_pod})
