"""VolumeBinding: bound volumes must be usable from the node, unbound claims must find or get one there."""

import numpy as np

from reconciler.model import meta
from reconciler.scheduler import volumes
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.rules import Case, Filter, Reason, Scope, Verdict, always, has_volumes, node_differs
from reconciler.scheduler.shape import Shape

REASONS = (
    Reason("node(s) didn't match PersistentVolume's node affinity", is_final=True),
    Reason("node(s) didn't find available persistent volumes to bind", is_final=True),
    Reason("node(s) did not have enough free storage", is_final=True),
    Reason("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", is_final=True),
)


def check(case: Case, rows: Rows) -> Verdict | None:
    if not case.shape.claims:
        return None
    claims = volumes.claims_of(case)
    bits = np.zeros(case.table.size, dtype=np.uint64)
    for claim in claims.bound:
        volume = case.view.get(volumes.VOLUMES, "", str(meta.spec(claim)["volumeName"]))
        if volume is None:
            bits |= np.uint64(8)
            continue
        usable = volumes.reachable(case, volume)
        if usable is not None:
            bits[~usable] |= np.uint64(1)
    if claims.delayed:
        found, roomy = volumes.Search(case, claims.delayed).satisfiable()
        bits[~found] |= np.uint64(2)
        bits[found & ~roomy] |= np.uint64(4)
    return Verdict(bits[rows], REASONS)


def reject(case: Case) -> str:
    return volumes.claims_of(case).problem if case.shape.claims else ""


def concerns(shape: Shape, _: meta.Obj | None, new: meta.Obj | None) -> bool:
    """A claim of the pod itself was made or changed."""
    return new is not None and meta.namespace(new) == shape.namespace and any(name == meta.name(new) for name, _ in shape.claims)


FILTER = Filter(
    name="VolumeBinding",
    scope=Scope.CLUSTER,
    check=check,
    concerns=has_volumes,
    reject=reject,
    helped_by={
        "nodes": node_differs(("metadata", "labels")),
        volumes.CLAIMS: concerns,
        volumes.VOLUMES: always,
        volumes.CLASSES: always,
        volumes.CAPACITIES: always,
        volumes.DRIVERS: always,
    },
)
