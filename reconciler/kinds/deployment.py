"""Deployment: rolls pods from one template to the next through ReplicaSets."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.kinds.rules import check, pod_warnings, statuses, templates
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Health, Kind, Version, scale, status_of

PROGRESS_SECONDS = 600
REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
HISTORY_ANNOTATION = "deployment.kubernetes.io/revision-history"
DESIRED_ANNOTATION = "deployment.kubernetes.io/desired-replicas"
MAX_ANNOTATION = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"

replicas = workload.replicas
selector = workload.selector


def strategy(deployment: meta.Obj) -> str:
    return str((meta.spec(deployment).get("strategy") or {}).get("type") or "RollingUpdate")


def is_paused(deployment: meta.Obj) -> bool:
    return bool(meta.spec(deployment).get("paused"))


def progress_deadline_seconds(deployment: meta.Obj) -> int:
    wanted = meta.spec(deployment).get("progressDeadlineSeconds")
    return PROGRESS_SECONDS if wanted is None else int(wanted)


def revision_history_limit(deployment: meta.Obj) -> int:
    wanted = meta.spec(deployment).get("revisionHistoryLimit")
    return workload.HISTORY_LIMIT if wanted is None else int(wanted)


def default(deployment: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(pod_defaults.template(deployment), "spec", _default_spec)


def _default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = pod_defaults.filled(
        spec, {"replicas": 1, "revisionHistoryLimit": workload.HISTORY_LIMIT, "progressDeadlineSeconds": PROGRESS_SECONDS}
    )
    return {**spec, "strategy": _default_strategy(spec.get("strategy") or {})}


def _default_strategy(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted = pod_defaults.filled(wanted, {"type": "RollingUpdate"})
    if wanted["type"] != "RollingUpdate":
        return wanted
    rolling = pod_defaults.filled(wanted.get("rollingUpdate") or {}, {"maxUnavailable": "25%", "maxSurge": "25%"})
    return {**wanted, "rollingUpdate": rolling}


def validate(deployment: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(deployment)
    yield from check.non_negative("spec.replicas", spec.get("replicas"))
    chosen = spec.get("selector")
    yield from templates.label_selector("spec.selector", chosen, "deployment")
    if templates.is_parseable(chosen):
        yield from templates.replicated("spec.template", workload.template(deployment), templates.parsed(chosen))
    else:
        yield errors.invalid("spec.selector", check.shown_selector(chosen), "invalid label selector")
    yield from _validate_strategy(spec.get("strategy") or {})
    min_ready, deadline = spec.get("minReadySeconds", 0), spec.get("progressDeadlineSeconds")
    yield from check.non_negative("spec.minReadySeconds", min_ready)
    yield from check.non_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    yield from check.non_negative("spec.progressDeadlineSeconds", deadline)
    if deadline is not None and deadline <= min_ready:
        yield errors.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    yield from workload.selector_kept(deployment, old)


def _validate_strategy(wanted: Mapping[str, Any]) -> Iterator[FieldError]:
    kind, rolling = wanted.get("type", ""), wanted.get("rollingUpdate")
    path = "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            yield errors.forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate":
        unavailable, surge = (rolling or {}).get("maxUnavailable", 0), (rolling or {}).get("maxSurge", 0)
        yield from check.int_or_percent(f"{path}.maxUnavailable", unavailable)
        yield from check.int_or_percent(f"{path}.maxSurge", surge)
        if templates.zero(unavailable) and templates.zero(surge):
            yield errors.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
        yield from check.not_above_100_percent(f"{path}.maxUnavailable", unavailable)
    else:
        shown = check.internal(wanted, Type="", RollingUpdate=None) or {}
        shown["RollingUpdate"] = check.internal(rolling, MaxUnavailable=0, MaxSurge=0)
        yield errors.not_supported("spec.strategy", shown, ("Recreate", "RollingUpdate"))


def health(deployment: meta.Obj) -> Health:
    """As `kubectl rollout status` tells it."""
    progressing = workload.condition(deployment, "Progressing")
    if progressing is not None and progressing.get("reason") == "ProgressDeadlineExceeded":
        return Health("Degraded", str(progressing.get("message") or "it exceeded its progress deadline"))
    if is_paused(deployment):
        return Health("Suspended", "it is paused")
    wanted, updated = replicas(deployment), workload.count(deployment, "updatedReplicas")
    available, total = workload.count(deployment, "availableReplicas"), workload.count(deployment, "replicas")
    if not workload.observed(deployment):
        return Health("Progressing", "its controller has not seen the newest spec yet")
    if updated < wanted:
        return Health("Progressing", f"{updated} of {wanted} pods are updated")
    if total > updated:
        return Health("Progressing", f"{total - updated} old pods are still to end")
    if available < updated:
        return Health("Progressing", f"{available} of {updated} updated pods are available")
    return Health("Healthy")


def prepare_status(obj: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """Labels stay too, for those of its ReplicaSets follow them."""
    if old is None:
        return obj
    metadata = {name: value for name, value in meta.meta(obj).items() if name != "labels"}
    return {**workload.keep_spec(obj, old), "metadata": metadata | ({"labels": meta.labels(old)} if meta.labels(old) else {})}


KIND = Kind(
    group="apps",
    kind="Deployment",
    metadata_on_update="changes",
    plural="deployments",
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.apps.v1.Deployment", default=default),),
    subresources=(scale(), status_of("Deployment")),
    prepare=workload.keep_status,
    prepare_status=prepare_status,
    validate_status=statuses.deployment,
    validate=validate,
    warn=pod_warnings.of_workload,
    has_generation=True,
    columns=(
        columns.NAME,
        columns.column("Ready", lambda d: f"{workload.count(d, 'readyReplicas')}/{replicas(d)}", "Number of the pod with ready state"),
        columns.column("Up-to-date", lambda d: workload.count(d, "updatedReplicas"), "@status.updatedReplicas"),
        columns.column("Available", lambda d: workload.count(d, "availableReplicas"), "@status.availableReplicas"),
        columns.AGE,
        *columns.of_template(columns.template_spec),
        columns.column("Selector", lambda d: columns.selector_text(meta.spec(d).get("selector")), "@spec.selector", wide=True),
    ),
    health=health,
    order=60,
)
