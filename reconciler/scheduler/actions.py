"""The scheduler's decisions as actions: what is written, and what is said about it, in kube-scheduler's words."""

from collections.abc import Mapping
from typing import Any

from reconciler.model import meta, plan
from reconciler.placement import pods as pod_facts
from reconciler.scheduler import preempt, volumes
from reconciler.scheduler.plan import Placed, Refused


def preparations(placed: Placed) -> list[plan.Patch]:
    """What has to be written before the pod is bound: its volumes, and for which node it waits meanwhile."""
    if not placed.choice:
        return []
    actions = [_status_patch(placed.pod, {"nominatedNodeName": placed.node}, "its volumes are being prepared for the node")]
    actions += [volumes.binding(volume, claim) for volume, claim in placed.choice.bindings]
    actions += [volumes.provisioning(claim, placed.node) for claim in placed.choice.provisions]
    return actions


def binding(placed: Placed) -> plan.Create:
    pod = placed.pod
    namespace, name = meta.key(pod)
    return plan.Create(
        kind="pods",
        subresource="binding",
        body={
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": meta.uid(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": placed.node},
        },
        why=f"{placed.node} is the best of the nodes that fit",
        announce=plan.Emit(
            regarding=pod, reason="Scheduled", message=f"Successfully assigned {namespace}/{name} to {placed.node}", action="Binding"
        ),
    )


def refusal_event(refused: Refused) -> plan.Emit:
    return plan.Emit(regarding=refused.pod, reason="FailedScheduling", message=refused.message, type="Warning", action="Scheduling")


def refusal_status(refused: Refused, now: str) -> plan.Patch | None:
    """The PodScheduled condition and the nomination, None where the pod says so already. `now` is RFC 3339."""
    pod = refused.pod
    wanted = {"type": "PodScheduled", "status": "False", "reason": refused.reason, "message": refused.message}
    current = condition(pod, "PodScheduled")
    status: dict[str, Any] = {}
    if current is None or any(current.get(name) != value for name, value in wanted.items()):
        since = current["lastTransitionTime"] if current is not None and current.get("status") == "False" else now
        status["conditions"] = [{**wanted, "observedGeneration": meta.generation(pod), "lastProbeTime": None, "lastTransitionTime": since}]
    nominated = pod_facts.nominated_node(pod)
    if refused.nominated is not None and refused.nominated != nominated:
        status["nominatedNodeName"] = refused.nominated or None
    return _status_patch(pod, status, "no node fits") if status else None


def withdrawal(pod: meta.Obj) -> plan.Patch:
    """Takes a nomination back."""
    return _status_patch(pod, {"nominatedNodeName": None}, "a pod of higher priority was nominated for the node")


def eviction(victim: meta.Obj, scheduler: str, now: str) -> tuple[plan.Patch, plan.Delete]:
    """What is done to a victim, one after the other."""
    message = f"{scheduler}: preempting to accommodate a higher priority pod"
    mark = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": preempt.BY_SCHEDULER,
        "message": message,
        "observedGeneration": meta.generation(victim),
        "lastProbeTime": None,
        "lastTransitionTime": now,
    }
    namespace, name = meta.key(victim)
    return (
        _status_patch(victim, {"conditions": [mark]}, message),
        plan.Delete(kind="pods", namespace=namespace, name=name, uid=meta.uid(victim), why=message),
    )


def eviction_event(victim: meta.Obj, preemptor: meta.Obj, node: str) -> plan.Emit:
    return plan.Emit(
        regarding=victim, reason="Preempted", message=f"Preempted by pod {meta.uid(preemptor)} on node {node}", action="Preempting"
    )


def condition(pod: meta.Obj, kind: str) -> Mapping[str, Any] | None:
    return next((one for one in meta.status(pod).get("conditions") or () if one.get("type") == kind), None)


def _status_patch(pod: meta.Obj, status: Mapping[str, Any], why: str) -> plan.Patch:
    namespace, name = meta.key(pod)
    return plan.Patch(
        kind="pods",
        namespace=namespace,
        name=name,
        uid=meta.uid(pod),
        type="strategic",
        subresource="status",
        patch={"status": status},
        why=why,
    )
