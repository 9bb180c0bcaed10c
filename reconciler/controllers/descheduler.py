"""Pods that would be placed elsewhere today are evicted, a few of each node in each period. Off unless it is asked for.

Policies, as the users of sigs.k8s.io/descheduler know them: pods of failed phase, pods that do not tolerate a NoSchedule
taint or no longer match their node's labels, duplicates of one owner, spread constraints that do not hold, and
nodes with much to do while others have little. Only pods that somebody makes again are touched, none of DaemonSets, of
the system's priorities or with local data; evictions keep to disruption budgets.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import node as nodes
from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.model import meta, plan, selectors
from reconciler.model.view import NAMESPACE, NODE, View
from reconciler.placement import affinity, requests, taints

NODES, PODS = "nodes", "pods"
PERIOD_SECONDS = 300.0
EVICTIONS_A_PERIOD = 5
LOW, HIGH = 0.2, 0.5  # shares of what a node has: below it is idle, above it is busy
FAILED_SECONDS = 3600.0  # a failed pod is kept so long for whoever wants to look
KEEPS_OUT = (taints.NO_SCHEDULE,)

Doomed = tuple[meta.Obj, str]  # a pod and why


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    node = view.get(NODES, *key)
    if node is None:
        return plan.NOTHING
    here = [one for one in view.by(PODS, NODE, key[1]) if _is_movable(one)]
    gone = [_deletion(one) for one in here if _failed_long_ago(one, now)]
    running = [one for one in here if not pod.is_terminal(one)]
    others = [one for one in view.by(NODES, NAMESPACE, "") if nodes.is_schedulable(one) and meta.name(one) != key[1]]
    found: dict[str, Doomed] = {}
    if others:
        for one, why in _doomed(view, node, running, others):
            found.setdefault(meta.uid(one), (one, why))
    chosen = list(found.values())[:EVICTIONS_A_PERIOD]
    return plan.plan_of(gone, [_eviction(one, why) for one, why in chosen], again_at=now + PERIOD_SECONDS)


def _doomed(view: View, node: meta.Obj, running: Sequence[meta.Obj], others: Sequence[meta.Obj]) -> Iterator[Doomed]:
    for one in running:
        taint = taints.untolerated(taints.of_node(node), taints.of_pod(one), KEEPS_OUT)
        if taint is not None:
            yield one, f"it does not tolerate the taint {taint.key} of its node"
        elif not affinity.required(one).matches(meta.labels(node), meta.name(node)):
            yield one, "its node does not match its node affinity any more"
    yield from _duplicates(view, running, others)
    yield from _unbalanced(view, node, running, others)
    yield from _overloading(view, node, running, others)


def _duplicates(view: View, running: Sequence[meta.Obj], others: Sequence[meta.Obj]) -> Iterator[Doomed]:
    """A second pod of one owner here, while a node that could have it has none."""
    counts = [Counter(_owner(one) for one in view.by(PODS, NODE, meta.name(other)) if not pod.is_terminal(one)) for other in others]
    seen: set[str] = set()
    for one in running:
        owner = _owner(one)
        has_none = any(not count[owner] and _takes(other, one) for other, count in zip(others, counts, strict=True))
        if owner in seen and has_none:
            yield one, "another node has no pod of its owner"
        seen.add(owner)


def _unbalanced(view: View, node: meta.Obj, running: Sequence[meta.Obj], others: Sequence[meta.Obj]) -> Iterator[Doomed]:
    """A pod whose own hard spread constraint is broken in the domain of this node."""
    for one in running:
        for wanted in meta.spec(one).get("topologySpreadConstraints") or ():
            if wanted.get("whenUnsatisfiable") == "DoNotSchedule" and _skew(view, node, one, wanted, others) > int(wanted["maxSkew"]):
                yield one, f"its pods are spread unevenly over {wanted['topologyKey']}"
                return  # the next one is looked at when this one is gone


def _skew(view: View, node: meta.Obj, one: meta.Obj, wanted: Mapping[str, Any], others: Iterable[meta.Obj]) -> int:
    domains: Counter[str] = Counter()
    selector = selectors.from_label_selector(wanted.get("labelSelector"))
    where = {meta.name(each): str(meta.labels(each).get(wanted["topologyKey"], "")) for each in (node, *others)}
    domains.update({domain: 0 for domain in where.values() if domain})
    for each in view.select(PODS, meta.namespace(one), selector):
        domain = where.get(pod.node_name(each), "")
        if domain and not pod.is_terminal(each) and not meta.is_deleting(each):
            domains[domain] += 1
    own = where[meta.name(node)]
    return domains[own] - min(domains.values()) if own else 0


def _overloading(view: View, node: meta.Obj, running: Sequence[meta.Obj], others: Sequence[meta.Obj]) -> Iterator[Doomed]:
    """Pods of a busy node, those of least priority first, until it is busy no more; only while some node is idle."""
    idle = [other for other in others if max(_shares(view, other).values(), default=1.0) < LOW]
    shares = _shares(view, node)
    if not idle or max(shares.values(), default=0.0) <= HIGH:
        return
    has = requests.allocatable(node)
    for one in sorted(running, key=lambda each: (pod.priority(each), meta.name(each))):
        if max(shares.values()) <= HIGH:
            return
        if any(_takes(other, one) for other in idle):
            for resource, amount in requests.of_pod(one).items():
                if resource in shares:
                    shares[resource] -= amount / has[resource]
            yield one, "its node has much to do and another one little"


def _shares(view: View, node: meta.Obj) -> dict[str, float]:
    """What is requested of each resource that the node has."""
    has = requests.allocatable(node)
    used: Counter[str] = Counter()
    for one in view.by(PODS, NODE, meta.name(node)):
        if not pod.is_terminal(one):
            used.update(requests.of_pod(one))
    return {resource: used[resource] / has[resource] for resource in (requests.CPU, requests.MEMORY) if has.get(resource)}


def _takes(other: meta.Obj, one: meta.Obj) -> bool:
    if taints.untolerated(taints.of_node(other), taints.of_pod(one)) is not None:
        return False
    return affinity.required(one).matches(meta.labels(other), meta.name(other))


def _is_movable(one: meta.Obj) -> bool:
    owner = meta.controller(one)
    if owner is None or owner.get("kind") in ("DaemonSet", "Node") or meta.is_deleting(one):
        return False
    has_local_data = any("emptyDir" in volume or "hostPath" in volume for volume in meta.spec(one).get("volumes") or ())
    return not pod.is_critical(one) and (pod.is_terminal(one) or not has_local_data)


def _failed_long_ago(one: meta.Obj, now: float) -> bool:
    owner = meta.controller(one) or meta.EMPTY
    created = clocks.parse_rfc3339(str(meta.meta(one)["creationTimestamp"]))
    return pod.phase(one) == "Failed" and owner.get("kind") != "Job" and created + FAILED_SECONDS < now


def _owner(one: meta.Obj) -> str:
    return str((meta.controller(one) or meta.EMPTY).get("uid", meta.uid(one)))


def _eviction(one: meta.Obj, why: str) -> plan.Action:
    namespace, name = meta.key(one)
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": meta.uid(one)}},
    }
    done = plan.Emit(regarding=one, reason="Descheduled", message=f"Pod was evicted: {why}")
    return plan.Create(kind=PODS, subresource="eviction", body=body, why=why, announce=done)


def _deletion(one: meta.Obj) -> plan.Action:
    namespace, name = meta.key(one)
    return plan.Delete(kind=PODS, namespace=namespace, name=name, uid=meta.uid(one), why="it failed long ago and its owner has others")


CONTROLLER = plan.Controller(
    name="descheduler-controller", kind=NODES, plan=planned, reads=frozenset({PODS}), delay_seconds=PERIOD_SECONDS, enabled_by_default=False
)
