"""Pods that nobody will end: on nodes that are gone, and unscheduled ones on their way out that a finalizer holds.

Upstream: pkg/controller/podgc. A node that comes back within 40 seconds keeps its pods. Finished pods are not counted
against a threshold here; their owners and namespaces clean them up.
"""

from collections.abc import Iterable

from reconciler.kinds import pod
from reconciler.model import conditions, meta, plan
from reconciler.model.view import NODE, View

PODS = "pods"
NODES = "nodes"
QUARANTINE_SECONDS = 40.0
UNSCHEDULED_SECONDS = 5.0


def orphan_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(PODS, *key)
    if one is None or not pod.is_scheduled(one) or view.get(NODES, "", pod.node_name(one)) is not None:
        return plan.NOTHING
    condition = conditions.made("DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists", now)
    return _end(one, "its node no longer exists", condition)


def unscheduled_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(PODS, *key)
    if one is None or not meta.is_deleting(one) or pod.is_scheduled(one) or pod.is_terminal(one):
        return plan.NOTHING
    return _end(one, "it is deleted and was never given to a node", None)


def _end(one: meta.Obj, why: str, condition: conditions.Condition | None) -> plan.Plan:
    """Call it failed, as its node would have done, then delete it without grace."""
    failing: list[plan.Action] = []
    if not pod.is_terminal(one):
        status = {**meta.status(one), "phase": "Failed"}
        if condition is not None:
            status["conditions"] = conditions.updated(status.get("conditions") or (), condition)
        failing.append(plan.Update(kind=PODS, body=meta.put(one, ("status",), status), subresource="status", why=why))
    delete = plan.Delete(kind=PODS, namespace=meta.namespace(one), name=meta.name(one), uid=meta.uid(one), grace_seconds=0, why=why)
    return plan.plan_of(failing, [delete])


def _on_missing_node(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is None or (old is not None and pod.node_name(old) == pod.node_name(new)):
        return
    if pod.is_scheduled(new) and view.get(NODES, "", pod.node_name(new)) is None:
        yield meta.key(new)


def _of_gone_node(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is None and old is not None:
        yield from (meta.key(one) for one in view.by(PODS, NODE, meta.name(old)))


def _leaving_unscheduled(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is not None and meta.is_deleting(new) and not pod.is_scheduled(new):
        yield meta.key(new)


CONTROLLERS = (
    plan.Controller(
        name="pod-garbage-collector-controller/orphans",
        kind="",
        plan=orphan_planned,
        follows={PODS: _on_missing_node, NODES: _of_gone_node},
        delay_seconds=QUARANTINE_SECONDS,
    ),
    plan.Controller(
        name="pod-garbage-collector-controller/unscheduled",
        kind="",
        plan=unscheduled_planned,
        follows={PODS: _leaving_unscheduled},
        delay_seconds=UNSCHEDULED_SECONDS,
    ),
)
