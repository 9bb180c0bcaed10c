"""A small cluster for scheduler tests: plain lists of objects, a view over them and a table filled from them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.model import meta, view
from reconciler.model.roster import Roster
from reconciler.model.selectors import Selector
from reconciler.model.view import T
from reconciler.placement import pods as pod_facts
from reconciler.scheduler import config, rules
from reconciler.scheduler import plan as decisions
from reconciler.scheduler.table import Table

KINDS = {
    "Node": "nodes",
    "Pod": "pods",
    "Namespace": "namespaces",
    "Service": "services",
    "ReplicaSet": "replicasets.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "StorageClass": "storageclasses.storage.k8s.io",
    "CSINode": "csinodes.storage.k8s.io",
    "CSIDriver": "csidrivers.storage.k8s.io",
    "CSIStorageCapacity": "csistoragecapacities.storage.k8s.io",
    "VolumeAttachment": "volumeattachments.storage.k8s.io",
    "PodDisruptionBudget": "poddisruptionbudgets.policy",
}


class World:
    """Implements model.view.View by looking at everything: slow and plain."""

    def __init__(self, objects: Iterable[meta.Obj] = ()) -> None:
        self.objects: dict[str, dict[meta.Key, meta.Obj]] = {kind: {} for kind in KINDS.values()}
        self.roster = Roster()
        self.table = Table()
        self.arguments: Mapping[str, Any] = {}  # of the profile: plugin -> its args
        for obj in objects:
            self.add(obj)

    def add(self, obj: meta.Obj) -> None:
        kind = KINDS[obj["kind"]]
        self.objects[kind][meta.key(obj)] = obj
        if kind == "nodes":
            self.table.set_node(obj)
        elif kind == "namespaces":
            self.table.set_namespace(meta.name(obj), meta.labels(obj))
        elif kind == "pods":
            self.table.set_pod(obj)
        else:
            self.table.spoil()

    def remove(self, obj: meta.Obj) -> None:
        kind = KINDS[obj["kind"]]
        del self.objects[kind][meta.key(obj)]
        if kind == "nodes":
            self.table.remove_node(meta.name(obj))
        elif kind == "pods":
            self.table.remove_pod(meta.key(obj))

    @property
    def nodes(self) -> list[meta.Obj]:
        return list(self.objects["nodes"].values())

    def pods_on(self, node: meta.Obj) -> list[meta.Obj]:
        here = meta.name(node)
        return [pod for pod in self.objects["pods"].values() if pod_facts.node_name(pod) == here and not pod_facts.is_over(pod)]

    def case(self, pod: meta.Obj) -> rules.Case:
        return rules.Case(self.table, self, self.table.shapes.of(pod), self.arguments, pod_facts.node_name(pod))

    def planner(self, profile: config.Profile | None = None, seed: int = decisions.SEED) -> decisions.Planner:
        chosen = profile or replace(config.default_profile(), arguments=self.arguments)
        return decisions.Planner(self.table, self, {chosen.name: chosen}, seed)

    def get(self, kind: str, namespace: str, name: str) -> meta.Obj | None:
        return self.objects[kind].get((namespace, name))

    def by(self, kind: str, index: str, value: str) -> Sequence[meta.Obj]:
        assert index == view.NAMESPACE
        return [obj for key, obj in sorted(self.objects[kind].items()) if key[0] == value]

    def count(self, kind: str, index: str, value: str) -> int:
        return len(self.by(kind, index, value))

    def facts(self, kind: str, index: str, value: str, fact: Callable[[meta.Obj], T]) -> Sequence[T]:
        return [fact(obj) for obj in self.by(kind, index, value)]

    def select(self, kind: str, namespace: str, selector: Selector) -> Sequence[meta.Obj]:
        return [obj for obj in self.by(kind, view.NAMESPACE, namespace) if selector.matches(meta.labels(obj))]

    def orphans(self, kind: str, namespace: str, selector: Selector) -> Sequence[meta.Obj]:
        return [obj for obj in self.select(kind, namespace, selector) if meta.controller(obj) is None]

    def revision(self, kind: str) -> int:
        return 0


def node(name: str, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **more: Any) -> dict[str, Any]:
    """`labels`, `taints`, `unschedulable`, `images`; further resources as `resources`."""
    labels = {"kubernetes.io/hostname": name, **more.get("labels", {})}
    allocatable = {"cpu": cpu, "memory": memory, "pods": pods, **more.get("resources", {})}
    spec = {key: more[key] for key in ("taints", "unschedulable") if key in more}
    status = {"allocatable": allocatable, "images": more.get("images", [])}
    return {"kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def pod(name: str = "p", requests: Mapping[str, str] = meta.EMPTY, namespace: str = "default", **more: Any) -> dict[str, Any]:
    """`labels`, `ports`, `on` (the node it is on), `priority`, `started`, `phase`, `deleting`; the rest goes to spec."""
    container = {"name": "c", "image": more.pop("image", "i"), "resources": {"requests": dict(requests)}, "ports": more.pop("ports", [])}
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}", "labels": more.pop("labels", {})}
    if more.pop("deleting", False):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if "owner" in more:
        kind, owner = more.pop("owner")
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": kind, "name": owner, "uid": owner, "controller": True}]
    status: dict[str, Any] = {"phase": more.pop("phase", "Pending")}
    if "started" in more:
        status["startTime"] = more.pop("started")
    spec = {"containers": [container], **more}
    if "on" in spec:
        spec["nodeName"] = spec.pop("on")
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"kind": "Namespace", "metadata": {"name": name, "labels": labels}}
