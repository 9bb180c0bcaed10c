"""Node lifecycle: a node whose lease and status grow old is Unknown; taints and labels follow its conditions.

Upstream: pkg/controller/nodelifecycle. Whether a node lives is asked when its last sign of life has become too old, so
that heartbeats wake nobody; whoever has just begun to listen gives every node its grace first, for leases do not outlive
the process. Evicting pods is tainteviction.py's part.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.controllers import Facts
from reconciler.kinds import lease, node, pod
from reconciler.kit import clock as clocks
from reconciler.model import conditions, meta, plan
from reconciler.model.view import NODE, View

NODES = "nodes"
LEASES = "leases.coordination.k8s.io"
PODS = "pods"
GRACE_SECONDS = 50.0  # --node-monitor-grace-period
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
COMPONENT = "node-controller"
# (condition, its status, taint): effect NoSchedule
SCHEDULING_TAINTS = (
    ("Ready", "False", node.NOT_READY_TAINT),
    ("Ready", "Unknown", node.UNREACHABLE_TAINT),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
)
EXECUTION_TAINTS = SCHEDULING_TAINTS[:2]
# kubernetes.io/os and arch are what counts; their older names follow.
LABELS = (("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch"))


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        one = view.get(NODES, *key)
        if one is None or meta.is_deleting(one):
            return plan.NOTHING
        return _planned(view, one, max(_last_sign(view, one), facts.began), now)

    return (
        plan.Controller(name="node-lifecycle-controller", kind=NODES, plan=planned, follows={LEASES: _of_beat}, reads=frozenset({PODS})),
    )


def _planned(view: View, one: meta.Obj, last_sign: float, now: float) -> plan.Plan:
    stale_at = last_sign + GRACE_SECONDS
    if stale_at <= now:
        status = _unknown(one, now)
        if status != meta.status(one):
            return _lost(view, one, status, now)
    changed = _labelled(_tainted(one, now))
    update = [] if changed is one else [plan.Update(kind=NODES, body=changed, why="its taints and labels follow its conditions")]
    waiting = [] if node.is_ready(one) else [plan.Waiting("the node to say that it is ready, and to renew its lease")]
    return plan.plan_of(update, again_at=stale_at if stale_at > now else now + GRACE_SECONDS, waiting_on=waiting)


def _last_sign(view: View, one: meta.Obj) -> float:
    """When the node last said that it lives, or was made."""
    beat = view.get(LEASES, node.LEASE_NAMESPACE, meta.name(one))
    ready = node.condition(one, "Ready") or meta.EMPTY
    signs = [lease.renewed_at(beat) if beat is not None else None]
    signs += [clocks.parse_rfc3339(str(text)) for text in (ready.get("lastHeartbeatTime"), meta.meta(one).get("creationTimestamp")) if text]
    return max((sign for sign in signs if sign is not None), default=0.0)


def _unknown(one: meta.Obj, now: float) -> Mapping[str, Any]:
    """The status with every watched condition Unknown."""
    listed: Sequence[conditions.Condition] = meta.status(one).get("conditions") or ()
    for type in WATCHED:
        known = conditions.find(listed, type)
        if known is not None and known.get("status") == "Unknown":
            continue
        if known is None:
            new = conditions.made(type, "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status.", now)
            new["lastHeartbeatTime"] = meta.meta(one).get("creationTimestamp")
        else:
            new = conditions.made(type, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.", now)
            new["lastHeartbeatTime"] = known.get("lastHeartbeatTime")
        listed = conditions.updated(listed, new)
    return {**meta.status(one), "conditions": listed}


def _lost(view: View, one: meta.Obj, status: Mapping[str, Any], now: float) -> plan.Plan:
    """Say that the node is not ready, and so are its pods."""
    update = plan.Update(kind=NODES, body=meta.put(one, ("status",), status), subresource="status", why="it gave no sign of life")
    emits: list[plan.Action] = []
    if node.is_ready(one):
        message = f"Node {meta.name(one)} status is now: NodeNotReady"
        emits.append(plan.Emit(regarding=one, reason="NodeNotReady", message=message, component=COMPONENT))
    pods = [_unready(each, now) for each in view.by(PODS, NODE, meta.name(one)) if pod.is_ready(each)]
    return plan.plan_of([update], emits, pods)


def _unready(each: meta.Obj, now: float) -> plan.Action:
    listed = meta.status(each).get("conditions") or ()
    known = pod.condition(each, "Ready") or meta.EMPTY
    new = {**known, "type": "Ready", "status": "False", "lastTransitionTime": clocks.rfc3339(now)}
    body = meta.put(each, ("status", "conditions"), conditions.updated(listed, new))
    return plan.Update(kind=PODS, body=body, subresource="status", why="its node gives no sign of life")


def _tainted(one: meta.Obj, now: float) -> meta.Obj:
    wanted = {(taint, "NoSchedule") for type, status, taint in SCHEDULING_TAINTS if _has(one, type, status)}
    wanted |= {(taint, "NoExecute") for type, status, taint in EXECUTION_TAINTS if _has(one, type, status)}
    if node.is_unschedulable(one):
        wanted.add((node.UNSCHEDULABLE_TAINT, "NoSchedule"))
    ours = {(taint, "NoSchedule") for _, _, taint in SCHEDULING_TAINTS} | {(taint, "NoExecute") for _, _, taint in EXECUTION_TAINTS}
    ours.add((node.UNSCHEDULABLE_TAINT, "NoSchedule"))
    present = [(taint.get("key"), taint.get("effect")) for taint in node.taints(one)]
    if {taint for taint in present if taint in ours} == wanted:
        return one
    kept = [taint for taint, name in zip(node.taints(one), present, strict=True) if name not in ours or name in wanted]
    added = [
        {"key": key, "effect": effect, "timeAdded": clocks.rfc3339(now)} for key, effect in sorted(wanted) if (key, effect) not in present
    ]
    return meta.put(one, ("spec", "taints"), [*kept, *added])


def _has(one: meta.Obj, type: str, status: str) -> bool:
    known = node.condition(one, type)
    return known is not None and known.get("status") == status


def _labelled(one: meta.Obj) -> meta.Obj:
    labels = meta.labels(one)
    missing = {old: labels[name] for name, old in LABELS if name in labels and labels.get(old) != labels[name]}
    return meta.put(one, ("metadata", "labels"), {**labels, **missing}) if missing else one


def _of_beat(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """Only the first heartbeat and a lost lease; the others are asked for when they are due."""
    obj = new if new is not None else old
    if obj is not None and meta.namespace(obj) == node.LEASE_NAMESPACE and (old is None or new is None):
        yield "", meta.name(obj)
