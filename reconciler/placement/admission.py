"""One pod against one node: what the node re-checks before it starts a pod, and where a DaemonSet wants its pods.

The scheduler's columns give the same answers for many nodes at once; the hypothesis tests hold the two together.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.model import meta
from reconciler.placement import affinity, ports, requests, taints


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node fails a pod: the pod's status.reason and status.message, in kubelet's words."""

    reason: str  # OutOfcpu, OutOfpods, NodeAffinity, NodePorts, TaintToleration, ...
    message: str


def is_wanted(pod: meta.Obj, node: meta.Obj) -> bool:
    """Whether a DaemonSet should have `pod` on `node`: selector and affinity match and no NoSchedule taint keeps it out."""
    if not matches_node(pod, node):
        return False
    return taints.untolerated(taints.of_node(node), taints.of_pod(pod)) is None


def may_stay(pod: meta.Obj, node: meta.Obj) -> bool:
    """Whether a DaemonSet leaves a running `pod` on `node`: only NoExecute taints drive it out."""
    if not matches_node(pod, node):
        return False
    return taints.untolerated(taints.of_node(node), taints.of_pod(pod), (taints.NO_EXECUTE,)) is None


def matches_node(pod: meta.Obj, node: meta.Obj) -> bool:
    """Node name, nodeSelector and required node affinity."""
    wanted = meta.spec(pod).get("nodeName") or ""
    if wanted and wanted != meta.name(node):
        return False
    return affinity.required(pod).matches(meta.labels(node), meta.name(node))


def refusal(pod: meta.Obj, node: meta.Obj, others: Iterable[meta.Obj]) -> Refusal | None:
    """None if the node can run `pod` beside `others`, the pods on it that have not ended."""
    others = list(others)
    if not matches_node(pod, node):
        return Refusal("NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")
    if taints.untolerated(taints.of_node(node), taints.of_pod(pod), (taints.NO_EXECUTE,)) is not None:
        return Refusal("TaintToleration", "Pod was rejected: Predicate TaintToleration failed: node(s) had untolerated taint(s)")
    wanted = ports.of_pod(pod)
    if wanted and ports.collide(wanted, (port for other in others for port in ports.of_pod(other))):
        return Refusal(
            "NodePorts", "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        )
    return _short(pod, node, others)


def _short(pod: meta.Obj, node: meta.Obj, others: list[meta.Obj]) -> Refusal | None:
    capacity = requests.allocatable(node)
    allowed = capacity.get(requests.PODS, 0)
    if len(others) + 1 > allowed:
        return _out_of(requests.PODS, 1, len(others), allowed)
    used: requests.Amounts = {}
    for other in others:
        for resource, asked in requests.of_pod(other).items():
            used[resource] = used.get(resource, 0) + asked
    for resource, asked in sorted(requests.of_pod(pod).items()):
        if requests.is_extended(resource) and resource not in capacity:
            continue  # as the kubelet does: a resource that its node never had is the scheduler's business
        if asked > 0 and asked > capacity.get(resource, 0) - used.get(resource, 0):
            return _out_of(resource, asked, used.get(resource, 0), capacity.get(resource, 0))
    return None


def _out_of(resource: str, asked: int, used: int, capacity: int) -> Refusal:
    message = f"Pod was rejected: Node didn't have enough resource: {resource}, requested: {asked}, used: {used}, capacity: {capacity}"
    return Refusal(f"OutOf{resource}", message)
