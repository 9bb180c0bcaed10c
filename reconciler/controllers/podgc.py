"""Pods that nobody will end: on nodes that are gone, unscheduled ones on their way out, and finished ones beyond a threshold.

Upstream: pkg/controller/podgc. A node that comes back within 40 seconds keeps its pods. Of too many finished pods the
evicted go first, then the oldest; they are counted every 20 seconds at most.
"""

from collections.abc import Iterable

from reconciler.kinds import pod
from reconciler.model import conditions, meta, plan
from reconciler.model.view import NAMESPACE, NODE, View

PODS = "pods"
NODES = "nodes"
NAMESPACES = "namespaces"
QUARANTINE_SECONDS = 40.0
UNSCHEDULED_SECONDS = 5.0
COUNT_SECONDS = 20.0
FINISHED_MOST = 12_500  # kube-controller-manager's --terminated-pod-gc-threshold
EVERYWHERE: meta.Key = ("", "finished")


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


def finished_planned(view: View, _: meta.Key, now: float, most: int = FINISHED_MOST) -> plan.Plan:
    namespaces = [meta.name(one) for one in view.by(NAMESPACES, NAMESPACE, "")]
    if sum(view.count(PODS, NAMESPACE, namespace) for namespace in namespaces) <= most:
        return plan.NOTHING
    finished = sorted(fact for namespace in namespaces for fact in view.facts(PODS, NAMESPACE, namespace, _finished) if fact is not None)
    why = f"more than {most} pods have finished"
    gone = [view.get(PODS, namespace, name) for _, _, namespace, name in finished[: max(0, len(finished) - most)]]
    return plan.plan_of([action for one in gone if one is not None for action in _end(one, why, None).actions])


def _finished(one: meta.Obj) -> tuple[bool, str, str, str] | None:
    """In the order in which they go: what is not evicted later, then by age."""
    if not pod.is_terminal(one) or meta.is_deleting(one):
        return None
    return meta.status(one).get("reason") != "Evicted", str(meta.meta(one).get("creationTimestamp", "")), *meta.key(one)


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


def _ended(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is not None and pod.is_terminal(new) and (old is None or not pod.is_terminal(old)):
        yield EVERYWHERE


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
    plan.Controller(
        name="pod-garbage-collector-controller/finished",
        kind="",
        plan=finished_planned,
        follows={PODS: _ended},
        reads=frozenset({NAMESPACES}),
        delay_seconds=COUNT_SECONDS,
    ),
)
