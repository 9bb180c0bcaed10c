"""Hypothesis strategies: small clusters with volumes, claims, classes and drivers."""

from typing import Any

from hypothesis import strategies as st

from tests.unit.scheduler import clusters, world

ZONE = "topology.kubernetes.io/zone"
ZONE_LABELS = (ZONE, "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/region")
SIZES = ("1Gi", "2Gi", "3Gi")
CLASSES = ("fast", "slow", "static", "")
DRIVER = "csi.example.com"
NAMES = ("c0", "c1", "c2", "p-scratch", "p-other")


@st.composite
def volume(draw: st.DrawFn, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "capacity": {"storage": draw(st.sampled_from(SIZES))},
        "accessModes": draw(st.sampled_from((["ReadWriteOnce"], ["ReadWriteOnce", "ReadOnlyMany"]))),
        "storageClassName": draw(st.sampled_from(CLASSES)),
    }
    if draw(st.booleans()):
        term = draw(clusters.node_term([]).filter(bool)) if draw(st.booleans()) else {"matchExpressions": [draw(clusters.expression())]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    if draw(st.booleans()):
        spec["csi"] = {"driver": DRIVER, "volumeHandle": draw(st.sampled_from("xyz"))}
    if draw(st.integers(0, 3)) == 0:
        spec["claimRef"] = {"namespace": "default", "name": draw(st.sampled_from(NAMES))}
    zones = st.dictionaries(st.sampled_from(ZONE_LABELS), st.sampled_from(("a", "b", "a__b", "b__")), max_size=1)
    labels = draw(st.one_of(st.just({}), zones, st.just({"kind": "ssd"})))
    metadata = {"name": name, "uid": name, "labels": labels}
    return {
        "kind": "PersistentVolume",
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": draw(st.sampled_from(("Available", "Bound")))},
    }


@st.composite
def claim(draw: st.DrawFn, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "resources": {"requests": {"storage": draw(st.sampled_from(SIZES))}},
        "accessModes": draw(st.sampled_from((["ReadWriteOnce"], ["ReadWriteOncePod"], ["ReadOnlyMany"]))),
        "storageClassName": draw(st.sampled_from(CLASSES)),
    }
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"claim-{name}", "annotations": {}}
    kind = draw(st.sampled_from(("bound", "bound", "free", "free", "free", "named", "deleted", "lost")))
    if kind in ("bound", "named"):
        spec["volumeName"] = draw(st.sampled_from(("v0", "v1", "v2", "gone")))
    if kind == "bound":
        metadata["annotations"]["pv.kubernetes.io/bind-completed"] = "yes"
    elif kind == "deleted":
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    elif draw(st.integers(0, 3)) == 0:
        metadata["annotations"]["volume.kubernetes.io/selected-node"] = "n0"
    if name.startswith("p-") and draw(st.integers(0, 4)):
        metadata["ownerReferences"] = [{"kind": "Pod", "name": "p", "uid": "uid-default-p", "controller": True}]
    if draw(st.integers(0, 4)) == 0:
        spec["selector"] = {"matchLabels": {"kind": "ssd"}}
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec, "status": {"phase": "Lost" if kind == "lost" else "Bound"}}


@st.composite
def source(draw: st.DrawFn) -> dict[str, Any]:
    read_only = draw(st.booleans())
    return draw(
        st.sampled_from(
            (
                *({"persistentVolumeClaim": {"claimName": name}} for name in ("c0", "c1", "c2")),
                {"ephemeral": {}},
                {"emptyDir": {}},
                {"gcePersistentDisk": {"pdName": "d", "readOnly": read_only}},
                {"awsElasticBlockStore": {"volumeID": "d", "readOnly": read_only}},
                {"iscsi": {"iqn": "d", "readOnly": read_only}},
                {"rbd": {"monitors": draw(st.sampled_from((["m"], ["m", "n"], ["o"]))), "image": "d", "readOnly": read_only}},
            )
        )
    )


@st.composite
def pod(draw: st.DrawFn, name: str, on: str = "") -> dict[str, Any]:
    sources = draw(st.lists(source(), min_size=1, max_size=3))
    names = ("scratch", "other", "third")
    volumes = [{"name": each, **one} for each, one in zip(names, sources, strict=False)]
    return world.pod(name, volumes=volumes, **({"on": on} if on else {}))


@st.composite
def drivers(draw: st.DrawFn, made: world.World, names: list[str]) -> None:
    made.add({"kind": "CSIDriver", "metadata": {"name": DRIVER}, "spec": {"storageCapacity": draw(st.booleans())}})
    for number in range(draw(st.integers(0, 2))):
        offered = {"capacity": draw(st.sampled_from(SIZES)), **({"maximumVolumeSize": "1Gi"} if draw(st.booleans()) else {})}
        topology = draw(st.sampled_from(({}, {"matchLabels": {"zone": "a"}})))
        metadata = {"name": f"k{number}", "namespace": "default"}
        made.add({"kind": "CSIStorageCapacity", "metadata": metadata, "storageClassName": "fast", "nodeTopology": topology, **offered})
    for name in names:
        if draw(st.booleans()):
            count = draw(st.sampled_from(({}, {"allocatable": {"count": 1}}, {"allocatable": {"count": 2}})))
            made.add({"kind": "CSINode", "metadata": {"name": name}, "spec": {"drivers": [{"name": DRIVER, **count}]}})
        if draw(st.integers(0, 3)) == 0:
            where = {"nodeName": name, "source": {"persistentVolumeName": draw(st.sampled_from(("v0", "v1", "gone")))}}
            made.add({"kind": "VolumeAttachment", "metadata": {"name": f"at-{name}"}, "spec": where})


@st.composite
def cluster(draw: st.DrawFn) -> tuple[world.World, dict[str, Any]]:
    """A world with volumes and a pending pod that uses some."""
    names = [f"n{number}" for number in range(draw(st.integers(1, 3)))]
    made = world.World([world.namespace("default")])
    for name in names:
        zones = draw(st.dictionaries(st.sampled_from(ZONE_LABELS), st.sampled_from("ab"), max_size=2))
        made.add(world.node(name, labels={**draw(clusters.labels), **zones}))
    delayed = {"kind": "StorageClass", "volumeBindingMode": "WaitForFirstConsumer"}
    topology = [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}]
    fast = {**delayed, "metadata": {"name": "fast"}, "provisioner": DRIVER}
    made.add({**fast, "allowedTopologies": topology} if draw(st.booleans()) else fast)
    made.add({**delayed, "metadata": {"name": "static"}, "provisioner": "kubernetes.io/no-provisioner"})
    made.add({"kind": "StorageClass", "metadata": {"name": "slow"}, "provisioner": DRIVER, "volumeBindingMode": "Immediate"})
    for name in ("v0", "v1", "v2"):
        if draw(st.booleans()):
            made.add(draw(volume(name)))
    for name in NAMES:
        if draw(st.integers(0, 4)):
            made.add(draw(claim(name)))
    draw(drivers(made, names))
    for number in range(draw(st.integers(0, 4))):
        made.add(draw(pod(f"e{number}", draw(st.sampled_from(names)))))
    return made, draw(pod("p"))
