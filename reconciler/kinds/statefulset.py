"""StatefulSet: pods with stable names, started in order, each with volumes of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.model import meta
from reconciler.model.kind import Health, Kind, Version, scale, status_of

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
RETAIN = {"whenDeleted": "Retain", "whenScaled": "Retain"}

replicas = workload.replicas
selector = workload.selector


def is_parallel(stateful_set: meta.Obj) -> bool:
    return meta.spec(stateful_set).get("podManagementPolicy") == "Parallel"


def first_ordinal(stateful_set: meta.Obj) -> int:
    return int((meta.spec(stateful_set).get("ordinals") or {}).get("start") or 0)


def update_strategy(stateful_set: meta.Obj) -> str:
    return str((meta.spec(stateful_set).get("updateStrategy") or {}).get("type") or "RollingUpdate")


def partition(stateful_set: meta.Obj) -> int:
    """Pods with a lower ordinal keep the old template."""
    rolling = (meta.spec(stateful_set).get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def claim_templates(stateful_set: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return meta.spec(stateful_set).get("volumeClaimTemplates") or ()


def default(stateful_set: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(pod_defaults.template(stateful_set), "spec", _default_spec)


def _default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = pod_defaults.filled(spec, {"podManagementPolicy": "OrderedReady", "replicas": 1, "revisionHistoryLimit": workload.HISTORY_LIMIT})
    strategy = pod_defaults.filled(spec.get("updateStrategy") or {}, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        strategy = {**strategy, "rollingUpdate": pod_defaults.filled(strategy.get("rollingUpdate") or {}, {"partition": 0})}
    retention = pod_defaults.filled(spec.get("persistentVolumeClaimRetentionPolicy") or {}, RETAIN)
    spec = {**spec, "updateStrategy": strategy, "persistentVolumeClaimRetentionPolicy": retention}
    return pod_defaults.mapped(spec, "volumeClaimTemplates", _default_claim)


def _default_claim(claim: Mapping[str, Any]) -> Mapping[str, Any]:
    claim = {**claim, "apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": claim.get("status") or {"phase": "Pending"}}
    return pod_defaults.inside(claim, "spec", pod_defaults.persistent_claim_spec)


def health(stateful_set: meta.Obj) -> Health:
    wanted, ready = replicas(stateful_set), workload.count(stateful_set, "readyReplicas")
    if not workload.observed(stateful_set):
        return Health("Progressing", "its controller has not seen the newest spec yet")
    if ready < wanted:
        return Health("Progressing", f"{ready} of {wanted} pods are ready")
    status = meta.status(stateful_set)
    updated = workload.count(stateful_set, "updatedReplicas")
    expected = max(0, wanted - partition(stateful_set))
    if update_strategy(stateful_set) == "RollingUpdate" and status.get("updateRevision") != status.get("currentRevision"):
        return Health("Healthy") if updated >= expected else Health("Progressing", f"{updated} of {expected} pods are updated")
    return Health("Healthy")


KIND = Kind(
    group="apps",
    kind="StatefulSet",
    plural="statefulsets",
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.apps.v1.StatefulSet", default=default),),
    subresources=(scale(), status_of("StatefulSet")),
    prepare=workload.empty_status(replicas=0, availableReplicas=0),
    prepare_status=workload.keep_spec,
    has_generation=True,
    columns=(
        columns.NAME,
        columns.column("Ready", lambda s: f"{workload.count(s, 'readyReplicas')}/{replicas(s)}", "Number of the pod with ready state"),
        columns.AGE,
        *columns.of_template(columns.template_spec),
    ),
    health=health,
    order=60,
)
