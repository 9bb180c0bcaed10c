"""storage.k8s.io: classes of storage, the drivers that provide it, and what is attached where."""

from collections.abc import Iterator

from reconciler.kinds import columns, pod_defaults, storage_rules, workload
from reconciler.model import meta
from reconciler.model.kind import Column, Kind, Version, status_of

DEFAULT_CLASS_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
OLD_DEFAULT_CLASS_ANNOTATION = "storageclass.beta.kubernetes.io/is-default-class"
GROUP = "storage.k8s.io"


def is_default(storage_class: meta.Obj) -> bool:
    annotations = meta.annotations(storage_class)
    return "true" in (annotations.get(DEFAULT_CLASS_ANNOTATION), annotations.get(OLD_DEFAULT_CLASS_ANNOTATION))


def waits_for_consumer(storage_class: meta.Obj) -> bool:
    """Whether volumes are bound only when a pod that uses them is scheduled."""
    return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def default_class(storage_class: meta.Obj) -> meta.Obj:
    return pod_defaults.filled(storage_class, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


def default_driver(driver: meta.Obj) -> meta.Obj:
    wanted = {
        "attachRequired": True,
        "podInfoOnMount": False,
        "volumeLifecycleModes": ["Persistent"],
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "requiresRepublish": False,
        "seLinuxMount": False,
    }
    return pod_defaults.inside(driver, "spec", lambda spec: pod_defaults.filled(spec, wanted))


def _class_name_cell(storage_class: meta.Obj) -> str:
    return meta.name(storage_class) + (" (default)" if is_default(storage_class) else "")


def _requests_cell(driver: meta.Obj) -> str:
    requests = meta.spec(driver).get("tokenRequests")
    return ",".join(one.get("audience", "") for one in requests) if requests else columns.UNSET


def _volume_cell(attachment: meta.Obj) -> str:
    return str((meta.spec(attachment).get("source") or {}).get("persistentVolumeName") or "")


def warn_of_driver(driver: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    spec = meta.spec(driver)
    if old is None and spec.get("tokenRequests") and spec.get("serviceAccountTokenInSecrets") is None:
        yield (
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible"
            " logging of tokens in volume attributes"
        )


KINDS = (
    Kind(
        group=GROUP,
        kind="StorageClass",
        plural="storageclasses",
        singular="storageclass",
        short_names=("sc",),
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.storage.v1.StorageClass", default=default_class),),
        validate=storage_rules.storage_class,
        columns=(
            Column(name="Name", cell=lambda c, _: _class_name_cell(c), format="name", description="@metadata.name"),
            columns.column("Provisioner", lambda c: c.get("provisioner", ""), "@provisioner"),
            columns.column("ReclaimPolicy", lambda c: c.get("reclaimPolicy", "Delete"), "@reclaimPolicy"),
            columns.column("VolumeBindingMode", lambda c: c.get("volumeBindingMode", "Immediate"), "@volumeBindingMode"),
            columns.column("AllowVolumeExpansion", lambda c: bool(c.get("allowVolumeExpansion")), "@allowVolumeExpansion"),
            columns.AGE,
        ),
        order=20,
    ),
    Kind(
        group=GROUP,
        kind="CSIDriver",
        metadata_on_update="changes",
        plural="csidrivers",
        singular="csidriver",
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.storage.v1.CSIDriver", default=default_driver),),
        validate=storage_rules.driver,
        warn=warn_of_driver,
        columns=(
            columns.NAME,
            columns.column("AttachRequired", lambda d: meta.spec(d).get("attachRequired", True), "@spec.attachRequired", type="boolean"),
            columns.column("PodInfoOnMount", lambda d: bool(meta.spec(d).get("podInfoOnMount")), "@spec.podInfoOnMount", type="boolean"),
            columns.column("StorageCapacity", lambda d: bool(meta.spec(d).get("storageCapacity")), "@spec.storageCapacity", type="boolean"),
            columns.column("TokenRequests", _requests_cell, "@spec.tokenRequests"),
            columns.column(
                "RequiresRepublish", lambda d: bool(meta.spec(d).get("requiresRepublish")), "@spec.requiresRepublish", type="boolean"
            ),
            columns.column(
                "Modes",
                lambda d: columns.joined(meta.spec(d).get("volumeLifecycleModes") or ()),
                "@spec.volumeLifecycleModes",
            ),
            columns.AGE,
        ),
        order=20,
    ),
    Kind(
        group=GROUP,
        kind="CSINode",
        metadata_on_update="whole",
        plural="csinodes",
        singular="csinode",
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.storage.v1.CSINode"),),
        validate=storage_rules.csi_node,
        columns=(
            columns.NAME,
            columns.column(
                "Drivers",
                lambda n: len(meta.spec(n).get("drivers") or ()),
                "Drivers indicates the number of CSI drivers registered on the node",
                type="integer",
            ),
            columns.AGE,
        ),
        order=20,
    ),
    Kind(
        group=GROUP,
        kind="CSIStorageCapacity",
        plural="csistoragecapacities",
        singular="csistoragecapacity",
        versions=(Version(name="v1", schema="io.k8s.api.storage.v1.CSIStorageCapacity"),),
        validate=storage_rules.capacity,
        columns=(
            columns.NAME,
            columns.column("StorageClassName", lambda c: c.get("storageClassName", ""), "@storageClassName"),
            columns.column("Capacity", lambda c: c.get("capacity") or columns.UNSET, "@capacity"),
        ),
        order=20,
    ),
    Kind(
        group=GROUP,
        kind="VolumeAttachment",
        metadata_on_update="whole",
        plural="volumeattachments",
        singular="volumeattachment",
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.storage.v1.VolumeAttachment"),),
        validate=storage_rules.attachment,
        subresources=(status_of("VolumeAttachment"),),
        prepare=workload.empty_status(attached=False),
        prepare_status=workload.keep_spec,
        columns=(
            columns.NAME,
            columns.column("Attacher", lambda a: meta.spec(a).get("attacher", ""), "@spec.attacher"),
            columns.column("PV", _volume_cell, "@spec.source.persistentVolumeName"),
            columns.column("Node", lambda a: meta.spec(a).get("nodeName", ""), "@spec.nodeName"),
            columns.column("Attached", lambda a: bool(meta.status(a).get("attached")), "@status.attached", type="boolean"),
            columns.AGE,
        ),
        order=25,
    ),
    Kind(
        group=GROUP,
        kind="VolumeAttributesClass",
        metadata_on_update="whole",
        plural="volumeattributesclasses",
        singular="volumeattributesclass",
        short_names=("vac",),
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.storage.v1.VolumeAttributesClass"),),
        validate=storage_rules.attributes_class,
        columns=(columns.NAME, columns.column("DriverName", lambda c: c.get("driverName", ""), "@driverName"), columns.AGE),
        order=20,
    ),
)
