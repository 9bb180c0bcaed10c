"""One pod against one node: what the node re-checks before it starts a pod, and where a DaemonSet wants its pods.

The scheduler's columns give the same answers for many nodes at once; the hypothesis tests hold the two together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.kinds import node as nodes
from reconciler.kinds import pod as pods
from reconciler.model import meta
from reconciler.placement import affinity, ports, requests, taints


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node fails a pod, in kubelet's words."""

    reason: str  # Evicted, OutOfcpu, OutOfpods, NodeAffinity, NodePorts, TaintToleration, ...
    message: str  # as its Event says it; the status puts "Pod was rejected: " before


@dataclass(frozen=True, slots=True)
class Share:
    """What a pod takes of its node."""

    amounts: Mapping[str, int]
    ports: tuple[ports.HostPort, ...]


EVICTED = "Evicted"
MEMORY_TAINT = taints.Taint("node.kubernetes.io/memory-pressure", "", taints.NO_SCHEDULE)


def share(pod: meta.Obj) -> Share:
    return Share(requests.of_pod(pod), ports.of_pod(pod))


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


def refusal(pod: meta.Obj, node: meta.Obj, others: Iterable[Share]) -> Refusal | None:
    """The first reason by kubelet's order; None if the node can run `pod` beside `others`, of the pods on it that have not ended."""
    short = under_pressure(pod, node)
    if short is not None:
        return short
    others = list(others)
    short = _short(pod, node, others)
    if short is not None:
        return short
    if not matches_node(pod, node):
        return _failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    wanted = ports.of_pod(pod)
    if wanted and ports.collide(wanted, (port for other in others for port in other.ports)):
        return _failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    if taints.untolerated(taints.of_node(node), taints.of_pod(pod), (taints.NO_EXECUTE,)) is not None:
        return _failed("TaintToleration", "node(s) had untolerated taint(s)")
    return None


def under_pressure(pod: meta.Obj, node: meta.Obj) -> Refusal | None:
    """A node that is short of something takes no more, but critical pods; for memory only BestEffort ones stay out."""
    true = nodes.pressures(node)
    if not true or pods.is_critical(pod):
        return None
    may_cope = pods.qos_class(pod) != "BestEffort" or taints.is_tolerated(MEMORY_TAINT, taints.of_pod(pod))
    if true == ("MemoryPressure",) and may_cope:
        return None
    return Refusal(EVICTED, f"The node had condition: [{' '.join(true)}]. ")


def _failed(predicate: str, words: str) -> Refusal:
    return Refusal(predicate, f"Predicate {predicate} failed: {words}")


def _short(pod: meta.Obj, node: meta.Obj, others: list[Share]) -> Refusal | None:
    capacity = requests.allocatable(node)
    allowed = capacity.get(requests.PODS, 0)
    if len(others) + 1 > allowed:
        return _out_of(requests.PODS, 1, len(others), allowed)
    used: requests.Amounts = {}
    for other in others:
        for resource, asked in other.amounts.items():
            used[resource] = used.get(resource, 0) + asked
    for resource, asked in sorted(requests.of_pod(pod).items(), key=_rank):
        if requests.is_extended(resource) and resource not in capacity:
            continue  # as the kubelet does: a resource that its node never had is the scheduler's business
        if asked > 0 and asked > capacity.get(resource, 0) - used.get(resource, 0):
            return _out_of(resource, asked, used.get(resource, 0), capacity.get(resource, 0))
    return None


def _rank(asked: tuple[str, int]) -> tuple[int, str]:
    """The kubelet names CPU first, then memory and storage, then whatever else."""
    own = (requests.CPU, requests.MEMORY, requests.EPHEMERAL_STORAGE)
    return own.index(asked[0]) if asked[0] in own else len(own), asked[0]


def _out_of(resource: str, asked: int, used: int, capacity: int) -> Refusal:
    message = f"Node didn't have enough resource: {resource}, requested: {asked}, used: {used}, capacity: {capacity}"
    return Refusal(f"OutOf{resource}", message)
