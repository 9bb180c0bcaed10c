"""What PersistentVolumes and PersistentVolumeClaims must fulfil, and what may change of them."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds.rules import check, claims, scheduling, volumes
from reconciler.model import errors, meta, quantity
from reconciler.model.errors import FieldError

Spec = Mapping[str, Any]

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
CLAIM_CHANGES = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def volume(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    yield from volume_spec("spec", spec, inline=False)
    if old is None:
        return
    before = meta.spec(old)
    if any(spec.get(name) != before.get(name) for name in SOURCES):
        detail = "spec.persistentvolumesource is immutable after creation"
        yield errors.changed("spec.persistentvolumesource", detail, "io.k8s.api.core.v1.PersistentVolumeSource", spec, before)
    yield from check.immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity") is not None:
        yield from check.immutable("spec.nodeAffinity", spec.get("nodeAffinity"), before["nodeAffinity"])


def volume_spec(path: str, spec: Spec, *, inline: bool) -> Iterator[FieldError]:
    """`inline`: in a VolumeAttachment, where only a CSI source makes sense."""
    if inline:
        yield from _inline(path, spec)
    yield from _access_modes(f"{path}.accessModes", spec)
    if not inline:
        yield from _capacity(f"{path}.capacity", spec.get("capacity") or {})
        policy = spec.get("persistentVolumeReclaimPolicy", "")
        if policy:
            yield from check.one_of(f"{path}.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES)
    yield from _node_affinity(path, spec)
    yield from volumes.persistent_source(path, spec, SOURCES)
    root = spec.get("hostPath") is not None and posixpath.normpath(spec["hostPath"].get("path", "") or ".") == "/"
    if root and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield errors.forbidden(f"{path}.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")
    if spec.get("storageClassName"):
        yield from check.subdomain(f"{path}.storageClassName", spec["storageClassName"])
    if spec.get("volumeMode") is not None:
        yield from check.one_of(f"{path}.volumeMode", spec["volumeMode"], claims.VOLUME_MODES)
    yield from _attributes_class(path, spec)


def _inline(path: str, spec: Spec) -> Iterator[FieldError]:
    context = "may not be specified in the context of inline volumes"
    for field in ("claimRef", "capacity"):
        if spec.get(field):
            yield errors.forbidden(f"{path}.{field}", context)
    if spec.get("csi") is None:
        yield errors.required(f"{path}.csi", "has to be specified in the context of inline volumes")


def _access_modes(path: str, spec: Spec) -> Iterator[FieldError]:
    modes = spec.get("accessModes") or ()
    if not modes:
        yield errors.required(path)
    for mode in modes:
        yield from check.one_of(path, mode, claims.ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        yield errors.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def _capacity(path: str, capacity: Mapping[str, str]) -> Iterator[FieldError]:
    if not capacity:
        yield errors.required(path)
    if "storage" not in capacity or len(capacity) > 1:
        yield errors.not_supported(path, check.shown_labels(capacity) or None, ("storage",))
    for name, amount in capacity.items():
        if quantity.parse(amount).nano < 0:
            yield errors.invalid(f"{path}[{name}]", quantity.parse(amount).value, "must be a valid resource quantity")
        yield from check.positive_quantity(f"{path}[{name}]", amount)


def _node_affinity(path: str, spec: Spec) -> Iterator[FieldError]:
    affinity = spec.get("nodeAffinity")
    if affinity is None:
        if spec.get("local") is not None:
            yield errors.required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    elif affinity.get("required") is None:
        yield errors.required(f"{path}.nodeAffinity.required", "must specify required node constraints")
    else:
        yield from scheduling.node_selector(f"{path}.nodeAffinity.required", affinity["required"])


def _attributes_class(path: str, spec: Spec) -> Iterator[FieldError]:
    name = spec.get("volumeAttributesClassName")
    if name is None:
        return
    if not name:
        yield errors.required(f"{path}.volumeAttributesClassName", "an empty string is disallowed")
    else:
        yield from check.subdomain(f"{path}.volumeAttributesClassName", name)
    if spec.get("csi") is None:
        yield errors.required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def _csi(path: str, source: Spec) -> Iterator[FieldError]:
    yield from volumes.driver_name(f"{path}.driver", source.get("driver", ""))
    yield from check.required(f"{path}.volumeHandle", source.get("volumeHandle"))
    for field in ("controllerPublishSecretRef", "nodePublishSecretRef", "controllerExpandSecretRef", "nodeExpandSecretRef"):
        reference = source.get(field)
        if reference is not None:
            yield from check.required(f"{path}.{field}.name", reference.get("name"))
            yield from check.required(f"{path}.{field}.namespace", reference.get("namespace"))


def _local(path: str, source: Spec) -> Iterator[FieldError]:
    if not source.get("path"):
        yield errors.required(f"{path}.path")
    else:
        yield from check.no_backsteps(f"{path}.path", source["path"])


def _azure_file(path: str, source: Spec) -> Iterator[FieldError]:
    yield from check.required(f"{path}.secretName", source.get("secretName"))
    yield from check.required(f"{path}.shareName", source.get("shareName"))
    if source.get("secretNamespace") == "":
        yield errors.required(f"{path}.secretNamespace")


def _storage_os(path: str, source: Spec) -> Iterator[FieldError]:
    yield from volumes.storage_os(path, {name: value for name, value in source.items() if name != "secretRef"})


SOURCES: Mapping[str, volumes.Rule] = {
    **{
        name: volumes.SOURCES[name]
        for name in (
            "hostPath",
            "gcePersistentDisk",
            "awsElasticBlockStore",
            "glusterfs",
            "flocker",
            "nfs",
            "rbd",
            "quobyte",
            "cephfs",
            "iscsi",
            "cinder",
            "fc",
            "flexVolume",
        )
    },
    "azureFile": _azure_file,
    "vsphereVolume": volumes.SOURCES["vsphereVolume"],
    "photonPersistentDisk": volumes.SOURCES["photonPersistentDisk"],
    "portworxVolume": volumes.SOURCES["portworxVolume"],
    "azureDisk": volumes.SOURCES["azureDisk"],
    "scaleIO": volumes.SOURCES["scaleIO"],
    "local": _local,
    "storageos": _storage_os,
    "csi": _csi,
}


def claim(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    yield from claims.spec("spec", spec)
    if old is None:
        return
    before = meta.spec(old)
    if (settled := _settled(spec, before, old)) != before:
        yield errors.changed("spec", CLAIM_CHANGES, "io.k8s.api.core.v1.PersistentVolumeClaimSpec", settled, before)
    yield from check.immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
    now, was = _requested(spec), _requested(before)
    capacity = (meta.status(old).get("capacity") or {}).get("storage", "0")
    if quantity.compare(now, was) < 0 and quantity.compare(now, capacity) <= 0:  # what it has: an expansion may be taken back
        yield errors.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def _settled(new: Spec, old: Spec, claim_before: meta.Obj) -> Spec:
    """`new` with what may change as it was: the volume and class a binder sets, the size of a bound claim."""
    spec = dict(new)
    may_change = [field for field in ("volumeName", "storageClassName") if not old.get(field)]
    if meta.status(claim_before).get("phase") == "Bound":
        may_change += ["resources", "volumeAttributesClassName"]
    for field in may_change:
        spec.pop(field, None)
        if field in old:
            spec[field] = old[field]
    return spec


def _requested(spec: Spec) -> str:
    return str(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))
