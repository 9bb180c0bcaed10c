"""StatefulSet: pods with stable names, started in order, each with volumes of its own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.kinds.rules import check, claims, pod_warnings, statuses, templates
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
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


def validate(stateful_set: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(stateful_set)
    yield from _validate_policies(spec)
    for field in ("replicas", "minReadySeconds"):
        yield from check.non_negative(f"spec.{field}", spec.get(field))
    yield from check.non_negative("spec.ordinals.start", first_ordinal(stateful_set))
    for index, claim in enumerate(claim_templates(stateful_set)):
        yield from claims.spec(f"spec.volumeClaimTemplates[{index}].spec", claim.get("spec") or {})
    chosen, made = spec.get("selector"), _with_claims(workload.template(stateful_set), claim_templates(stateful_set))
    yield from templates.label_selector("spec.selector", chosen, "statefulset")
    if templates.is_parseable(chosen):
        yield from templates.selected("spec.template", made, templates.parsed(chosen))
        yield from templates.template("spec.template", made)
    else:
        yield errors.invalid("spec.selector", check.shown_selector(chosen), "")
    yield from templates.always_restarting("spec.template", made, "StatefulSet")
    if spec.get("serviceName"):
        yield from check.label("spec.serviceName", spec["serviceName"])
    if old is not None:
        yield from _validate_update(spec, meta.spec(old))


def _validate_policies(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    policy = spec.get("podManagementPolicy", "")
    if policy not in ("OrderedReady", "Parallel"):
        yield errors.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    strategy = spec.get("updateStrategy") or {}
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is not None:
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            yield errors.invalid("spec.updateStrategy.rollingUpdate", _internal_rolling(rolling), detail)
    elif kind == "RollingUpdate":
        yield from _validate_rolling("spec.updateStrategy.rollingUpdate", rolling or {})
    else:
        shown = {"Type": kind, "RollingUpdate": _internal_rolling(rolling)}
        yield errors.invalid("spec.updateStrategy", shown, "must be 'RollingUpdate' or 'OnDelete'")
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        if retention.get(field) not in ("Retain", "Delete"):
            path = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
            yield errors.not_supported(path, retention.get(field, ""), ("Retain", "Delete"))


def _validate_rolling(path: str, rolling: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from check.non_negative(f"{path}.partition", rolling.get("partition"))
    unavailable = rolling.get("maxUnavailable")
    if unavailable is None:
        return
    yield from check.int_or_percent(f"{path}.maxUnavailable", unavailable)
    if templates.zero(unavailable):
        yield errors.invalid(f"{path}.maxUnavailable", unavailable, "cannot be 0")
    yield from check.not_above_100_percent(f"{path}.maxUnavailable", unavailable)


def _internal_rolling(rolling: Mapping[str, Any] | None) -> Any:
    return check.internal(rolling, Partition=0, MaxUnavailable=None)


def _with_claims(made: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The template with a volume for each claim, as its pods will have."""
    names = [meta.name(claim) for claim in found]
    own = [volume for volume in (made.get("spec") or {}).get("volumes") or () if volume.get("name") not in names]
    added = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
    return {**made, "spec": {**(made.get("spec") or {}), "volumes": [*own, *added]}}


def _validate_update(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[FieldError]:
    kept = {**new, **{field: old[field] for field in UPDATABLE if field in old}}
    if {k: v for k, v in kept.items() if k in old or k not in UPDATABLE} != dict(old):
        names = "', '".join(UPDATABLE[:-1])
        yield errors.forbidden("spec", f"updates to statefulset spec for fields other than '{names}' and '{UPDATABLE[-1]}' are forbidden")


UPDATABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def warn(stateful_set: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    spec = meta.spec(stateful_set)
    if old is not None and spec == meta.spec(old):
        return
    yield from pod_warnings.of_workload(stateful_set, old)
    for index, claim in enumerate(claim_templates(stateful_set)):
        yield from pod_warnings.of_claim(f"spec.volumeClaimTemplates[{index}].spec", meta.spec(claim))
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"


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
    metadata_on_update="changes",
    plural="statefulsets",
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.apps.v1.StatefulSet", default=default),),
    subresources=(scale(), status_of("StatefulSet")),
    name_rule="label",
    prepare=workload.empty_status(replicas=0, availableReplicas=0),
    prepare_status=workload.keep_spec,
    validate_status=statuses.stateful_set,
    validate=validate,
    warn=warn,
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
