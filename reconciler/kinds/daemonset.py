"""DaemonSet: one pod on every node that fits."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.kinds.rules import check, pod_warnings, statuses, templates
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Health, Kind, Version, status_of

GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
EMPTY_STATUS = {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}

selector = workload.selector


def update_strategy(daemon_set: meta.Obj) -> str:
    return str((meta.spec(daemon_set).get("updateStrategy") or {}).get("type") or "RollingUpdate")


def default(daemon_set: meta.Obj) -> meta.Obj:
    daemon_set = pod_defaults.inside(pod_defaults.template(daemon_set), "spec", _default_spec)
    if GENERATION_ANNOTATION in meta.annotations(daemon_set):
        return daemon_set
    return meta.put(daemon_set, ("metadata", "annotations", GENERATION_ANNOTATION), "0")


def _default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = pod_defaults.filled(spec, {"revisionHistoryLimit": workload.HISTORY_LIMIT})
    strategy = pod_defaults.filled(spec.get("updateStrategy") or {}, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        rolling = pod_defaults.filled(strategy.get("rollingUpdate") or {}, {"maxUnavailable": 1, "maxSurge": 0})
        strategy = {**strategy, "rollingUpdate": rolling}
    return {**spec, "updateStrategy": strategy}


def prepare(daemon_set: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """An annotation counts the versions of the template, as clients of the first API version expect."""
    if old is None:
        daemon_set = {**daemon_set, "status": EMPTY_STATUS}
        return meta.put(daemon_set, ("metadata", "annotations", GENERATION_ANNOTATION), "1")
    count = int(meta.annotations(old).get(GENERATION_ANNOTATION) or 0)
    if workload.template(daemon_set) != workload.template(old):
        count += 1
    daemon_set = {**daemon_set, "status": old.get("status") or EMPTY_STATUS}
    return meta.put(daemon_set, ("metadata", "annotations", GENERATION_ANNOTATION), str(count)) if count else daemon_set


def validate(daemon_set: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec, template = meta.spec(daemon_set), workload.template(daemon_set)
    chosen = spec.get("selector")
    yield from check.label_selector("spec.selector", chosen)
    if templates.is_parseable(chosen):
        yield from templates.selected("spec.template", template, templates.parsed(chosen))
    if chosen is not None and not chosen.get("matchLabels") and not chosen.get("matchExpressions"):
        yield errors.invalid("spec.selector", check.shown_selector(chosen), "empty selector is invalid for daemonset")
    yield from templates.template("spec.template", template)
    yield from templates.always_restarting("spec.template", template, "DaemonSet")
    yield from check.non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    yield from _validate_strategy(spec.get("updateStrategy") or {})
    yield from check.non_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    yield from workload.selector_kept(daemon_set, old)


def _validate_strategy(wanted: Mapping[str, Any]) -> Iterator[FieldError]:
    kind, rolling = wanted.get("type", ""), wanted.get("rollingUpdate")
    path = "spec.updateStrategy.rollingUpdate"
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        shown = check.internal(wanted, Type="", RollingUpdate=None) or {}
        shown["RollingUpdate"] = check.internal(rolling, MaxUnavailable=0, MaxSurge=0)
        yield errors.not_supported("spec.updateStrategy", shown, ("RollingUpdate", "OnDelete"))
        return
    unavailable, surge = (rolling or {}).get("maxUnavailable", 0), (rolling or {}).get("maxSurge", 0)
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from check.int_or_percent(f"{path}.{name}", value)
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from check.not_above_100_percent(f"{path}.{name}", value)
    if not templates.zero(unavailable) and not templates.zero(surge):
        yield errors.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    if templates.zero(unavailable) and templates.zero(surge):
        yield errors.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def health(daemon_set: meta.Obj) -> Health:
    wanted = workload.count(daemon_set, "desiredNumberScheduled")
    if not workload.observed(daemon_set):
        return Health("Progressing", "its controller has not seen the newest spec yet")
    updated = workload.count(daemon_set, "updatedNumberScheduled")
    if update_strategy(daemon_set) == "RollingUpdate" and updated < wanted:
        return Health("Progressing", f"{updated} of {wanted} pods are updated")
    available = workload.count(daemon_set, "numberAvailable")
    if available < wanted:
        return Health("Progressing", f"{available} of {wanted} pods are available")
    return Health("Healthy")


def _number(name: str, field: str) -> Any:
    return columns.column(name, lambda ds: workload.count(ds, field), f"@status.{field}", type="integer")


KIND = Kind(
    group="apps",
    kind="DaemonSet",
    metadata_on_update="changes",
    plural="daemonsets",
    singular="daemonset",
    short_names=("ds",),
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.apps.v1.DaemonSet", default=default),),
    subresources=(status_of("DaemonSet"),),
    prepare=prepare,
    prepare_status=workload.keep_spec,
    validate_status=statuses.daemon_set,
    validate=validate,
    warn=pod_warnings.of_workload,
    has_generation=True,
    columns=(
        columns.NAME,
        _number("Desired", "desiredNumberScheduled"),
        _number("Current", "currentNumberScheduled"),
        _number("Ready", "numberReady"),
        _number("Up-to-date", "updatedNumberScheduled"),
        _number("Available", "numberAvailable"),
        columns.column(
            "Node Selector",
            lambda ds: columns.labels_text(columns.template_spec(ds).get("nodeSelector")),
            "@spec.template.spec.nodeSelector",
        ),
        columns.AGE,
        *columns.of_template(columns.template_spec),
        columns.column("Selector", lambda ds: columns.selector_text(meta.spec(ds).get("selector")), "@spec.selector", wide=True),
    ),
    health=health,
    order=60,
)
