"""PersistentVolume and PersistentVolumeClaim: storage that outlives pods."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults, volume_rules, workload
from reconciler.kinds.rules import pod_warnings
from reconciler.model import meta
from reconciler.model.kind import Health, Kind, Version, status_of

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def phase(obj: meta.Obj) -> str:
    return str(meta.status(obj).get("phase") or "Pending")


def is_bound(obj: meta.Obj) -> bool:
    return phase(obj) == "Bound"


def storage_class(obj: meta.Obj) -> str:
    """The class of a volume or claim, "" for none."""
    return str(meta.annotations(obj).get(CLASS_ANNOTATION) or meta.spec(obj).get("storageClassName") or "")


def volume_name(claim: meta.Obj) -> str:
    return str(meta.spec(claim).get("volumeName") or "")


def claim_key(volume: meta.Obj) -> meta.Key | None:
    """(namespace, name) of the claim that a volume is bound or reserved for."""
    reference = meta.spec(volume).get("claimRef")
    return (str(reference.get("namespace", "")), str(reference.get("name", ""))) if reference else None


def requested(claim: meta.Obj) -> str:
    return str(((meta.spec(claim).get("resources") or {}).get("requests") or {}).get("storage") or "0")


def capacity(volume: meta.Obj) -> str:
    return str((meta.spec(volume).get("capacity") or {}).get("storage") or "0")


def default_volume(volume: meta.Obj) -> meta.Obj:
    def spec(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        wanted = pod_defaults.volume_source(wanted)
        return pod_defaults.filled(wanted, {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})

    volume = pod_defaults.inside(volume, "spec", spec)
    return {**volume, "status": pod_defaults.filled(volume.get("status") or {}, {"phase": "Pending"})}


def default_claim(claim: meta.Obj) -> meta.Obj:
    claim = pod_defaults.inside(claim, "spec", pod_defaults.persistent_claim_spec)
    return {**claim, "status": pod_defaults.filled(claim.get("status") or {}, {"phase": "Pending"})}


def prepare_volume(volume: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    if old is not None:
        return {**volume, "status": old.get("status") or {}}
    return {**volume, "status": {"phase": "Pending", "lastPhaseTransitionTime": meta.meta(volume).get("creationTimestamp")}}


def prepare_claim(claim: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """The old and the new field of the data source say the same."""
    spec = dict(meta.spec(claim))
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = source
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = reference
    return {**claim, "spec": spec, "status": {"phase": "Pending"} if old is None else old.get("status") or {}}


def health_of_claim(claim: meta.Obj) -> Health:
    if is_bound(claim):
        return Health("Healthy")
    if phase(claim) == "Lost":
        return Health("Degraded", f"its volume {volume_name(claim)} is gone")
    return Health("Progressing", "it waits for a volume")


def health_of_volume(volume: meta.Obj) -> Health:
    if phase(volume) == "Failed":
        return Health("Degraded", str(meta.status(volume).get("message", "")))
    return Health("Progressing") if phase(volume) == "Pending" else Health("Healthy")


def _modes_cell(modes: Sequence[str] | None) -> str:
    return ",".join(MODES[mode] for mode in MODES if mode in (modes or ()))


def _claim_cell(volume: meta.Obj) -> str:
    key = claim_key(volume)
    return "/".join(key) if key else ""


def _phase_cell(obj: meta.Obj) -> str:
    return "Terminating" if meta.is_deleting(obj) else phase(obj)


def _mode_cell(obj: meta.Obj) -> str:
    return str(meta.spec(obj).get("volumeMode") or columns.UNSET)


def _attributes_class_cell(obj: meta.Obj) -> str:
    return str(meta.spec(obj).get("volumeAttributesClassName") or columns.UNSET)


def warn_of_volume(volume: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    spec = meta.spec(volume)
    yield from _warn_of_class(volume)
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        instead = "Instead, the recommended approach is to use dynamic provisioning."
        yield f"spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. {instead}"
    required = (spec.get("nodeAffinity") or meta.EMPTY).get("required") or meta.EMPTY
    yield from pod_warnings.of_node_terms("spec.nodeAffinity.required.nodeSelectorTerms", required.get("nodeSelectorTerms") or ())
    yield from pod_warnings.of_volume("spec", spec)


def warn_of_claim(claim: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    yield from _warn_of_class(claim)
    yield from pod_warnings.of_claim("spec", meta.spec(claim))


def _warn_of_class(obj: meta.Obj) -> Iterator[str]:
    if CLASS_ANNOTATION in meta.annotations(obj):
        yield f'metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use "storageClassName" attribute instead'


KINDS = (
    Kind(
        group="",
        kind="PersistentVolume",
        metadata_on_update="whole",
        plural="persistentvolumes",
        singular="persistentvolume",
        short_names=("pv",),
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.PersistentVolume", default=default_volume),),
        subresources=(status_of("PersistentVolume"),),
        prepare=prepare_volume,
        validate=volume_rules.volume,
        warn=warn_of_volume,
        prepare_status=workload.keep_spec,
        columns=(
            columns.NAME,
            columns.column("Capacity", capacity, "@spec.capacity"),
            columns.column("Access Modes", lambda v: _modes_cell(meta.spec(v).get("accessModes")), "@spec.accessModes"),
            columns.column(
                "Reclaim Policy",
                lambda v: meta.spec(v).get("persistentVolumeReclaimPolicy", ""),
                "@spec.persistentVolumeReclaimPolicy",
            ),
            columns.column("Status", _phase_cell, "@status.phase"),
            columns.column("Claim", _claim_cell, "@spec.claimRef"),
            columns.column("StorageClass", storage_class, "StorageClass of the pv"),
            columns.column("VolumeAttributesClass", _attributes_class_cell, "VolumeAttributesClass of the pv"),
            columns.column("Reason", lambda v: meta.status(v).get("reason", ""), "@status.reason"),
            columns.AGE,
            columns.column("VolumeMode", _mode_cell, "@spec.volumeMode", wide=True),
        ),
        health=health_of_volume,
        order=25,
    ),
    Kind(
        group="",
        kind="PersistentVolumeClaim",
        plural="persistentvolumeclaims",
        singular="persistentvolumeclaim",
        short_names=("pvc",),
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.PersistentVolumeClaim", default=default_claim),),
        subresources=(status_of("PersistentVolumeClaim"),),
        prepare=prepare_claim,
        validate=volume_rules.claim,
        warn=warn_of_claim,
        prepare_status=workload.keep_spec,
        columns=(
            columns.NAME,
            columns.column("Status", _phase_cell, "@status.phase"),
            columns.column("Volume", volume_name, "@spec.volumeName"),
            columns.column("Capacity", lambda c: (meta.status(c).get("capacity") or {}).get("storage", ""), "@status.capacity"),
            columns.column("Access Modes", lambda c: _modes_cell(meta.status(c).get("accessModes")), "@status.accessModes"),
            columns.column("StorageClass", storage_class, "StorageClass of the pvc"),
            columns.column("VolumeAttributesClass", _attributes_class_cell, "VolumeAttributesClass of the pvc"),
            columns.AGE,
            columns.column("VolumeMode", _mode_cell, "@spec.volumeMode", wide=True),
        ),
        health=health_of_claim,
        order=30,
    ),
)
