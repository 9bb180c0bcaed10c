"""NodeVolumeLimits: a CSI driver attaches at most so many volumes to a node, as its CSINode says.

A volume that is on the node already, for whichever pod, does not count again.
"""

import numpy as np

from reconciler.model import meta, view
from reconciler.scheduler import volumes
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.filters.volume_binding import concerns
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, always, frees, has_volumes, verdict
from reconciler.scheduler.shape import Shape

CSI_NODES = "csinodes.storage.k8s.io"
ATTACHMENTS = "volumeattachments.storage.k8s.io"

Attached = tuple[str, str]  # driver and what tells its volumes apart


def check(case: Case, rows: Rows) -> Verdict | None:
    table = case.table
    wanted = _attached(case, case.shape)
    if not wanted:
        return None
    full = np.zeros(table.size, dtype=np.bool_)
    elsewhere = _attachments(case)
    for csi_node in case.view.by(CSI_NODES, view.NAMESPACE, ""):
        row = table.row_of.get(meta.name(csi_node))
        limits = _limits(csi_node)
        if row is None or not any(driver in limits for driver, _ in wanted):
            continue
        there = set(elsewhere.get(meta.name(csi_node), ()))
        for held in table.volume_users.get(row, {}).values():
            there |= _attached(case, held.shape)
        for driver in {driver for driver, _ in wanted} & limits.keys():
            new = sum(one[0] == driver and one not in there for one in wanted)
            if new and new + sum(one[0] == driver for one in there) > limits[driver]:
                full[row] = True
    return verdict(full[rows], "node(s) exceed max volume count")


def _limits(csi_node: meta.Obj) -> dict[str, int]:
    found = {}
    for driver in meta.spec(csi_node).get("drivers") or ():
        count = (driver.get("allocatable") or meta.EMPTY).get("count")
        if count is not None:
            found[str(driver["name"])] = int(count)
    return found


def _attached(case: Case, shape: Shape) -> set[Attached]:
    """The CSI volumes behind a shape's claims; of an unbound claim the driver that will make one."""
    found: set[Attached] = set()
    for name, _ in shape.claims:
        claim = case.view.get(volumes.CLAIMS, shape.namespace, name)
        if claim is None:
            continue
        volume = case.view.get(volumes.VOLUMES, "", meta.spec(claim).get("volumeName") or "")
        if volume is not None:
            csi = meta.spec(volume).get("csi")
            if csi:
                found.add((str(csi.get("driver")), str(csi.get("volumeHandle"))))
            continue
        storage = case.view.get(volumes.CLASSES, "", volumes.class_of(claim))
        if storage is not None and storage.get("provisioner") != volumes.NO_PROVISIONER:
            found.add((str(storage.get("provisioner")), f"{shape.namespace}/{name}"))
    return found


def _attachments(case: Case) -> dict[str, set[Attached]]:
    """Per node what is attached though perhaps no pod uses it (any more)."""
    found: dict[str, set[Attached]] = {}
    for attachment in case.view.by(ATTACHMENTS, view.NAMESPACE, ""):
        spec = meta.spec(attachment)
        name = (spec.get("source") or meta.EMPTY).get("persistentVolumeName")
        volume = case.view.get(volumes.VOLUMES, "", str(name)) if name else None
        csi = meta.spec(volume).get("csi") if volume is not None else None
        if csi:
            found.setdefault(str(spec.get("nodeName")), set()).add((str(csi.get("driver")), str(csi.get("volumeHandle"))))
    return found


FILTER = Filter(
    name="NodeVolumeLimits",
    scope=Scope.CLUSTER,
    check=check,
    concerns=has_volumes,
    helped_by={
        CSI_NODES: always,
        ATTACHMENTS: always,
        "pods": frees,
        volumes.CLAIMS: concerns,
        volumes.VOLUMES: always,
        volumes.CLASSES: always,
    },
)
