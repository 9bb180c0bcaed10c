"""VolumeRestrictions: disks that one node cannot attach twice, and claims that one pod at a time may use.

A GCE disk, an iSCSI target or a Ceph image may be shared if everybody reads only; an EBS volume never. A claim with
ReadWriteOncePod is closed on every node while any pod uses it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reconciler.model import meta
from reconciler.scheduler import volumes
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.filters.volume_binding import concerns
from reconciler.scheduler.rules import Case, Filter, Reason, Scope, Verdict, added, frees, has_volumes

DISK = Reason("node(s) had no available disk")
IN_USE = Reason("node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod")
DISKS = ("gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd")


def check(case: Case, rows: Rows) -> Verdict | None:
    shape, table = case.shape, case.table
    if not shape.volumes:
        return None
    disks = [volume for volume in shape.volumes if any(kind in volume for kind in DISKS)]
    alone = any(table.claim_users.get((shape.namespace, name)) for name, _ in shape.claims if _is_for_one_pod(case, name))
    if not disks and not alone:
        return None
    bits = np.full(table.size, 2 if alone else 0, dtype=np.uint64)
    for row, users in table.volume_users.items() if disks else ():
        if any(collide(ours, theirs) for held in users.values() for theirs in held.shape.volumes for ours in disks):
            bits[row] = 1
    return Verdict(bits[rows], (DISK, IN_USE))


def _is_for_one_pod(case: Case, name: str) -> bool:
    claim = case.view.get(volumes.CLAIMS, case.shape.namespace, name)
    return claim is not None and "ReadWriteOncePod" in (meta.spec(claim).get("accessModes") or ())


def collide(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether two volumes of two pods are one disk that the same node cannot have twice."""
    kind = next((kind for kind in DISKS if kind in ours and kind in theirs), None)
    if kind is None:
        return False
    one, other = ours[kind], theirs[kind]
    if kind == "awsElasticBlockStore":
        return bool(one.get("volumeID") == other.get("volumeID"))
    if one.get("readOnly") and other.get("readOnly"):
        return False
    if kind == "gcePersistentDisk":
        return bool(one.get("pdName") == other.get("pdName"))
    if kind == "iscsi":
        return bool(one.get("iqn") == other.get("iqn"))
    same = all((one.get(name) or usual) == (other.get(name) or usual) for name, usual in (("pool", "rbd"), ("image", "")))
    return same and bool(set(one.get("monitors") or ()) & set(other.get("monitors") or ()))


FILTER = Filter(
    name="VolumeRestrictions",
    scope=Scope.CLUSTER,
    check=check,
    concerns=has_volumes,
    helped_by={"nodes": added, "pods": frees, volumes.CLAIMS: concerns},
)
