"""Nodes and pods of a DaemonSet: where a pod belongs, what its body is, which nodes want one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.controllers import pods
from reconciler.kinds import daemonset, pod, workload
from reconciler.model import meta
from reconciler.model.view import NODE, View
from reconciler.placement import admission

HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
NODE_FIELD = "metadata.name"
TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
TOLERATED_BY_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


@dataclass(frozen=True, slots=True)
class Fit:
    node: meta.Obj
    wanted: bool  # a pod should be there
    may_stay: bool  # a pod that is there is left alone


def fitting(owner: meta.Obj, nodes: Iterable[meta.Obj]) -> dict[str, Fit]:
    """What each node is to the DaemonSet."""
    tried = probe(owner)
    found = {}
    for node in nodes:
        wanted = admission.is_wanted(tried, node)
        found[meta.name(node)] = Fit(node, wanted, wanted or admission.may_stay(tried, node))
    return found


def probe(owner: meta.Obj) -> meta.Obj:
    """A pod of the template as it would be on any node."""
    spec = workload.template(owner).get("spec") or meta.EMPTY
    return {"metadata": {}, "spec": {**spec, "tolerations": _tolerations(spec)}}


def made_pod(owner: meta.Obj, node: str, name: str, hash: str) -> dict[str, Any]:
    body = pods.from_template(owner, workload.template(owner), name, f"{meta.name(owner)}-")
    labels = {**body["metadata"].get("labels", {}), HASH_LABEL: hash}
    if generation := _generation(owner):
        labels[GENERATION_LABEL] = generation
    spec = {**body["spec"], "tolerations": _tolerations(body["spec"]), "affinity": _affinity(body["spec"], node)}
    return {**body, "metadata": {**body["metadata"], "labels": labels}, "spec": spec}


def by_node(owned: Iterable[meta.Obj]) -> dict[str, list[meta.Obj]]:
    """Pods by the node they are on or meant for, without those that ended and are being deleted."""
    found: dict[str, list[meta.Obj]] = {}
    for one in owned:
        if not (pod.is_terminal(one) and meta.is_deleting(one)):
            found.setdefault(target(one), []).append(one)
    return found


def target(one: meta.Obj) -> str:
    """The node that a pod is on or, by its affinity, meant for."""
    if pod.is_scheduled(one):
        return pod.node_name(one)
    affinity = (meta.spec(one).get("affinity") or meta.EMPTY).get("nodeAffinity") or meta.EMPTY
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or meta.EMPTY
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == NODE_FIELD and len(field.get("values") or ()) == 1:
                return str(field["values"][0])
    return ""


def is_updated(owner: meta.Obj, one: meta.Obj, hash: str) -> bool:
    """Whether a pod has the present template, by its hash or by the older counter."""
    labels = meta.labels(one)
    return labels.get(HASH_LABEL) == hash or (bool(_generation(owner)) and labels.get(GENERATION_LABEL) == _generation(owner))


def age(one: meta.Obj) -> tuple[bool, str, str]:
    """Sorts pods that are on a node first, then the oldest."""
    return not pod.is_scheduled(one), str(meta.meta(one).get("creationTimestamp") or ""), meta.name(one)


def owners_on(view: View, node: str) -> set[str]:
    """UIDs of the controllers that have pods on `node`."""
    references = (meta.controller(one) for one in view.by(pods.PODS, NODE, node))
    return {str(reference["uid"]) for reference in references if reference is not None}


def next_available(owner: meta.Obj, owned: Iterable[meta.Obj], now: float) -> float | None:
    seconds = workload.min_ready_seconds(owner)
    times = [since + seconds for one in owned if (since := pod.ready_since(one)) is not None] if seconds else []
    return min((time for time in times if time > now), default=None)


def _generation(owner: meta.Obj) -> str:
    return str(meta.annotations(owner).get(daemonset.GENERATION_ANNOTATION, ""))


def _tolerations(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The template's own, and those by which daemons stay on nodes in trouble."""
    keys = (*TOLERATED, TOLERATED_BY_HOST_NETWORK) if spec.get("hostNetwork") else TOLERATED
    added: list[Mapping[str, Any]] = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in keys]
    own = [one for one in spec.get("tolerations") or () if (one.get("key"), one.get("effect")) not in set(keys)]
    return [*own, *added]


def _affinity(spec: Mapping[str, Any], node: str) -> Mapping[str, Any]:
    """The template's affinity with its required node terms replaced: they were asked before the node was chosen."""
    term = {"matchFields": [{"key": NODE_FIELD, "operator": "In", "values": [node]}]}
    affinity = spec.get("affinity") or meta.EMPTY
    return meta.put(affinity, ("nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"), {"nodeSelectorTerms": [term]})
