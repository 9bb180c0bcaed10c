"""VolumeZone: a bound volume with zone or region labels is used only from nodes with one of those zones.

Nodes without any zone or region label take every volume, as in a cluster of a single zone. A label of a volume may
name several zones, joined by a double underscore; one with an empty zone is ignored.
"""

import numpy as np

from reconciler.model import meta
from reconciler.scheduler import volumes
from reconciler.scheduler.columns import MISSING, Rows
from reconciler.scheduler.filters.volume_binding import concerns
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, always, has_volumes, node_differs, verdict

BETA_ZONE, ZONE = "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"
BETA_REGION, REGION = "failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"
GENERAL = {BETA_ZONE: ZONE, BETA_REGION: REGION}
KEYS = (BETA_ZONE, BETA_REGION, ZONE, REGION)


def check(case: Case, rows: Rows) -> Verdict | None:
    if not case.shape.claims:
        return None
    table = case.table
    bad = np.zeros(table.size, dtype=np.bool_)
    for name, ephemeral in case.shape.claims:
        claim = None if ephemeral else case.view.get(volumes.CLAIMS, case.shape.namespace, name)
        volume = case.view.get(volumes.VOLUMES, "", meta.spec(claim).get("volumeName") or "") if claim is not None else None
        for key, value in (meta.labels(volume) if volume is not None else meta.EMPTY).items():
            zones = {zone.strip() for zone in value.split("__")}
            if key in KEYS and "" not in zones:
                own = table.labels(key)
                general = table.labels(GENERAL.get(key, key))
                codes = own.codes[: table.size]
                bad |= ~np.where(codes != MISSING, own.among(zones)[: table.size], general.among(zones)[: table.size])
    if not bad.any():
        return None
    zoned = np.logical_or.reduce([table.labels(key).codes[: table.size] != MISSING for key in KEYS])
    return verdict((bad & zoned)[rows], "node(s) had no available volume zone", is_final=True)


def reject(case: Case) -> str:
    """A claim that names a volume which is not there."""
    for name, ephemeral in case.shape.claims:
        claim = None if ephemeral else case.view.get(volumes.CLAIMS, case.shape.namespace, name)
        volume = meta.spec(claim).get("volumeName") if claim is not None else None
        if volume and case.view.get(volumes.VOLUMES, "", volume) is None:
            return f'persistentvolume "{volume}" not found'
    return ""


FILTER = Filter(
    name="VolumeZone",
    scope=Scope.CLUSTER,
    check=check,
    reject=reject,
    concerns=has_volumes,
    helped_by={
        "nodes": node_differs(("metadata", "labels")),
        volumes.CLAIMS: concerns,
        volumes.VOLUMES: always,
        volumes.CLASSES: always,
    },
)
