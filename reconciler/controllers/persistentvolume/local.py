"""Volumes made of folders on a node, for claims whose class names the provisioner reconciler.dev/local.

A volume is written down here; the node that it is for makes its folder, and removes it when the volume is deleted
(node/volumes/folders.py), before its finalizer goes. Capacity is what the claim asked for: nothing enforces it. The
class `local` is made where nodes make folders, as the default unless another class is.
"""

from collections.abc import Iterable

from reconciler.controllers import Facts
from reconciler.controllers.persistentvolume import names
from reconciler.kinds import node, storage
from reconciler.kinds import volume as volumes
from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View
from reconciler.placement import claims as matching

CLASS = "local"
FINALIZER = "reconciler.dev/folder"
HOSTNAME = "kubernetes.io/hostname"


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    """The planners; without a folder for volumes nothing is provisioned."""

    def class_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        if not facts.volumes_folder or key != ("", CLASS) or view.get(names.CLASSES, *key) is not None:
            return plan.NOTHING
        is_first = not any(map(storage.is_default, view.by(names.CLASSES, NAMESPACE, "")))
        return plan.plan_of([plan.Create(kind=names.CLASSES, body=_class(is_first), why="nodes can make folders")])

    def claim_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        claim = view.get(names.CLAIMS, *key)
        if claim is None or meta.is_deleting(claim) or volumes.volume_name(claim) or not facts.volumes_folder:
            return plan.NOTHING
        if meta.annotations(claim).get(names.PROVISIONER) != names.LOCAL:
            return plan.NOTHING
        return _provisioned(view, claim, facts.volumes_folder)

    return (
        plan.Controller(name="local-volume-controller/class", kind=names.CLASSES, plan=class_planned, follows={"nodes": _of_new_node}),
        plan.Controller(
            name="local-volume-controller",
            kind=names.CLAIMS,
            plan=claim_planned,
            reads=frozenset({names.VOLUMES, names.CLASSES, "nodes"}),
        ),
        plan.Controller(name="local-volume-controller/reclaim", kind=names.VOLUMES, plan=volume_planned),
    )


def _class(is_default: bool) -> meta.Obj:
    metadata = {"name": CLASS, **({"annotations": {storage.DEFAULT_CLASS_ANNOTATION: "true"}} if is_default else {})}
    how = {"provisioner": names.LOCAL, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": True}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata, **how}


def _provisioned(view: View, claim: meta.Obj, folder: str) -> plan.Plan:
    storage_class = view.get(names.CLASSES, "", volumes.storage_class(claim))
    name = f"pvc-{meta.uid(claim)}"
    if storage_class is None or view.get(names.VOLUMES, "", name) is not None:
        return plan.NOTHING
    if why := _impossible(claim):
        message = f'failed to provision volume with StorageClass "{meta.name(storage_class)}": {why}'
        emit = plan.Emit(regarding=claim, reason="ProvisioningFailed", message=message, type="Warning", component=names.LOCAL)
        return plan.plan_of([emit], waiting_on=[plan.Waiting(why)])
    where = _node(view, claim, storage_class)
    if where is None:
        return plan.plan_of(waiting_on=[plan.Waiting("a node for the volume")])
    done = plan.Emit(
        regarding=claim, reason="ProvisioningSucceeded", message=f"Successfully provisioned volume {name}", component=names.LOCAL
    )
    body = _volume(claim, storage_class, name, where, f"{folder}/{name}")
    why = f"claim {'/'.join(meta.key(claim))} wants a folder on node {meta.name(where)}"
    return plan.plan_of([plan.Create(kind=names.VOLUMES, body=body, why=why, announce=done)])


def _impossible(claim: meta.Obj) -> str:
    if matching.mode(claim) != matching.FILESYSTEM:
        return f"{names.LOCAL} makes folders, not block devices"
    if meta.spec(claim).get("dataSource") or meta.spec(claim).get("dataSourceRef"):
        return f"{names.LOCAL} cannot fill a volume from a data source"
    return ""


def _node(view: View, claim: meta.Obj, storage_class: meta.Obj) -> meta.Obj | None:
    """The node that the scheduler chose; for a class that binds at once, the first that takes pods."""
    if storage.waits_for_consumer(storage_class):
        return view.get("nodes", "", meta.annotations(claim).get(names.SELECTED_NODE, ""))
    return next(filter(node.is_schedulable, view.by("nodes", NAMESPACE, "")), None)


def _volume(claim: meta.Obj, storage_class: meta.Obj, name: str, where: meta.Obj, path: str) -> meta.Obj:
    reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": meta.namespace(claim), "name": meta.name(claim)}
    host = {"key": HOSTNAME, "operator": "In", "values": [meta.labels(where).get(HOSTNAME, meta.name(where))]}
    spec = {
        "capacity": {"storage": volumes.requested(claim)},
        "accessModes": meta.spec(claim).get("accessModes"),
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": meta.name(storage_class),
        "volumeMode": matching.mode(claim),
        "claimRef": {**reference, "uid": meta.uid(claim), "resourceVersion": meta.resource_version(claim)},
        "local": {"path": path},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [host]}]}},
    }
    metadata = {"name": name, "annotations": {names.PROVISIONED_BY: names.LOCAL}, "finalizers": [FINALIZER]}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def volume_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    """A folder whose claim is gone and that is not to be kept goes too."""
    volume = view.get(names.VOLUMES, *key)
    if volume is None or meta.is_deleting(volume) or meta.annotations(volume).get(names.PROVISIONED_BY) != names.LOCAL:
        return plan.NOTHING
    if volumes.phase(volume) != "Released" or meta.spec(volume).get("persistentVolumeReclaimPolicy") != "Delete":
        return plan.NOTHING
    why = "its claim is gone and its reclaim policy is Delete"
    delete = plan.Delete(kind=names.VOLUMES, namespace="", name=key[1], uid=meta.uid(volume), why=why)
    return plan.plan_of([delete])


def _of_new_node(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if old is None:
        yield "", CLASS
