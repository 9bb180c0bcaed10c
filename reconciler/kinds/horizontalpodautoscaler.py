"""HorizontalPodAutoscaler: keeps a workload's size in step with metrics. Stored as autoscaling/v2.

autoscaling/v1 knows only a CPU target; what else v2 has travels in annotations of the v1 form, as in Kubernetes.
"""

import json
from collections.abc import Mapping
from typing import Any

from reconciler.kinds import autoscaler_rules, columns, pod_defaults, workload
from reconciler.kinds.rules import statuses
from reconciler.model import meta
from reconciler.model.kind import Health, Kind, Version, status_of

METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_ANNOTATION = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS_ANNOTATION = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR_ANNOTATION = "autoscaling.alpha.kubernetes.io/behavior"
ANNOTATIONS = (METRICS_ANNOTATION, CURRENT_ANNOTATION, CONDITIONS_ANNOTATION, BEHAVIOR_ANNOTATION)
CPU_PERCENT = 80
DEFAULT_METRICS = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": CPU_PERCENT}}}]
SCALE_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}],
}
SCALE_DOWN = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


def min_replicas(autoscaler: meta.Obj) -> int:
    wanted = meta.spec(autoscaler).get("minReplicas")
    return 1 if wanted is None else int(wanted)


def max_replicas(autoscaler: meta.Obj) -> int:
    return int(meta.spec(autoscaler).get("maxReplicas") or 0)


def target(autoscaler: meta.Obj) -> Mapping[str, Any]:
    return meta.spec(autoscaler).get("scaleTargetRef") or meta.EMPTY


def default_v1(autoscaler: meta.Obj) -> meta.Obj:
    wanted: dict[str, Any] = {"minReplicas": 1}
    if not _parsed(meta.annotations(autoscaler).get(METRICS_ANNOTATION)):
        wanted["targetCPUUtilizationPercentage"] = CPU_PERCENT
    return pod_defaults.inside(autoscaler, "spec", lambda spec: pod_defaults.filled(spec, wanted))


def default_v2(autoscaler: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(autoscaler, "spec", _default_spec)


def _default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = pod_defaults.filled(spec, {"minReplicas": 1, "metrics": DEFAULT_METRICS})
    return pod_defaults.inside(spec, "behavior", _default_behavior)


def _default_behavior(behavior: Mapping[str, Any]) -> Mapping[str, Any]:
    up = pod_defaults.filled(behavior.get("scaleUp") or {}, SCALE_UP)
    return {**behavior, "scaleUp": up, "scaleDown": pod_defaults.filled(behavior.get("scaleDown") or {}, SCALE_DOWN)}


def to_v2(old: meta.Obj) -> meta.Obj:
    """The v1 form as v2; annotations that carry v2's fields are consumed."""
    spec = dict(meta.spec(old))
    status = dict(old.get("status") or {})
    carried = {name: _lower_first(_parsed(meta.annotations(old).get(name))) for name in ANNOTATIONS}
    percent, current = spec.pop("targetCPUUtilizationPercentage", None), status.pop("currentCPUUtilizationPercentage", None)
    metrics = [_metric_to_v2(one, "target") for one in carried[METRICS_ANNOTATION] or ()]
    if percent is not None:
        metrics.insert(0, _cpu(target={"type": "Utilization", "averageUtilization": percent}))
    if metrics:
        spec["metrics"] = metrics
    if carried[BEHAVIOR_ANNOTATION]:
        spec["behavior"] = carried[BEHAVIOR_ANNOTATION]
    measured = [_metric_to_v2(one, "current") for one in carried[CURRENT_ANNOTATION] or ()]
    if current is not None:
        measured.insert(0, _cpu(current={"averageUtilization": current}))
    status["currentMetrics"] = measured or None
    if carried[CONDITIONS_ANNOTATION]:
        status["conditions"] = carried[CONDITIONS_ANNOTATION]
    kept = {name: value for name, value in meta.annotations(old).items() if name not in ANNOTATIONS}
    return default_v2({**_annotated(old, kept), "apiVersion": "autoscaling/v2", "spec": spec, "status": status})


def from_v2(new: meta.Obj) -> meta.Obj:
    """The v2 form as v1; what v1 has no field for goes into annotations."""
    spec, status = dict(meta.spec(new)), dict(new.get("status") or {})
    metrics, behavior = spec.pop("metrics", None) or [], spec.pop("behavior", None)
    measured, conditions = status.pop("currentMetrics", None) or [], status.pop("conditions", None)
    carried: dict[str, Any] = {BEHAVIOR_ANNOTATION: behavior and _behavior_to_v1(behavior), CONDITIONS_ANNOTATION: conditions}
    percent = next((p for one in metrics if (p := _cpu_percent(one, "target")) is not None), None)
    current = next((p for one in measured if (p := _cpu_percent(one, "current")) is not None), None)
    if percent is not None:
        spec["targetCPUUtilizationPercentage"] = percent
    if current is not None:
        status["currentCPUUtilizationPercentage"] = current
    carried[METRICS_ANNOTATION] = [_metric_to_v1(one, "target") for one in metrics if _cpu_percent(one, "target") is None]
    carried[CURRENT_ANNOTATION] = [_metric_to_v1(one, "current") for one in measured]
    texts = {name: json.dumps(value, separators=(",", ":")) for name, value in carried.items() if value}
    annotated = _annotated(new, {**meta.annotations(new), **texts})
    always = pod_defaults.filled(status, {"currentReplicas": 0, "desiredReplicas": 0})
    return {**annotated, "apiVersion": "autoscaling/v1", "spec": spec, "status": always}


def _annotated(obj: meta.Obj, annotations: Mapping[str, str]) -> meta.Obj:
    if not annotations:
        return meta.without(obj, ("metadata", "annotations"))
    return meta.put(obj, ("metadata", "annotations"), annotations)


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _lower_first(value: Any) -> Any:
    """Kubernetes reads the annotations without regard to case, and writes some of them in the capitals of its Go fields."""
    if isinstance(value, list):
        return [_lower_first(one) for one in value]
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _lower_first(one) for key, one in value.items() if one is not None}
    return value


def _behavior_to_v1(behavior: Mapping[str, Any]) -> dict[str, Any]:
    return {"ScaleUp": _rules_to_v1(behavior.get("scaleUp")), "ScaleDown": _rules_to_v1(behavior.get("scaleDown"))}


def _rules_to_v1(rules: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if rules is None:
        return None
    policies = [{"Type": one["type"], "Value": one["value"], "PeriodSeconds": one["periodSeconds"]} for one in rules.get("policies") or ()]
    return {
        "StabilizationWindowSeconds": rules.get("stabilizationWindowSeconds"),
        "SelectPolicy": rules.get("selectPolicy"),
        "Policies": policies or None,
        "Tolerance": rules.get("tolerance"),
    }


def _cpu(**value: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": "cpu", **value}}


def _cpu_percent(metric: Mapping[str, Any], side: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    percent = (resource.get(side) or {}).get("averageUtilization")
    return None if percent is None else int(percent)


# The annotations hold metrics in the form of the first autoscaling/v2 alpha: (source, its fields there and here).
_V1_FIELDS = {
    "resource": (("targetAverageUtilization", "averageUtilization"), ("targetAverageValue", "averageValue")),
    "containerResource": (("targetAverageUtilization", "averageUtilization"), ("targetAverageValue", "averageValue")),
    "pods": (("targetAverageValue", "averageValue"),),
    "object": (("targetValue", "value"), ("averageValue", "averageValue")),
    "external": (("targetValue", "value"), ("targetAverageValue", "averageValue")),
}
# The order in which Kubernetes writes the fields of a metric into the annotation.
_V1_ORDER = (
    *("target", "name", "metricName", "metricSelector", "targetValue", "currentValue"),
    *("targetAverageUtilization", "currentAverageUtilization", "targetAverageValue", "currentAverageValue"),
    *("selector", "averageValue", "container"),
)
_TYPES = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}


def _v1_name(field: str, side: str) -> str:
    return field.replace("target", "current", 1) if side == "current" else field


def _metric_to_v2(metric: Mapping[str, Any], side: str) -> dict[str, Any]:
    source = _source_of(metric)
    old = dict(metric.get(source) or {})
    found = {here: old.pop(_v1_name(there, side)) for there, here in _V1_FIELDS[source] if _v1_name(there, side) in old}
    found = {here: value for here, value in found.items() if value not in ("0", None) or len(found) == 1}
    if side == "target":
        found = {"type": next((_TYPES[here] for here in found), "Value"), **found}
    for there, here in (("metricName", "name"), ("metricSelector", "selector"), ("selector", "selector")):
        if source in ("pods", "object", "external") and there in old:
            old.setdefault("metric", {})[here] = old.pop(there)
    if source == "object" and "target" in old:
        old["describedObject"] = old.pop("target")
    return {"type": metric.get("type", ""), source: {**old, side: found}}


def _metric_to_v1(metric: Mapping[str, Any], side: str) -> dict[str, Any]:
    source = _source_of(metric)
    new = dict(metric.get(source) or {})
    found = new.pop(side, None) or {}
    identity = new.pop("metric", None) or {}
    named = {"metricName": identity["name"]} if "name" in identity else {}
    if "selector" in identity:
        named["metricSelector" if source == "external" else "selector"] = identity["selector"]
    if source == "object" and "describedObject" in new:
        reference = new.pop("describedObject")
        new["target"] = {field: reference[field] for field in ("kind", "name", "apiVersion") if field in reference}
    values = {_v1_name(there, side): found[here] for there, here in _V1_FIELDS[source] if here in found}
    fields = {**new, **named, **values}
    return {"type": metric.get("type", ""), source: {field: fields[field] for field in _V1_ORDER if field in fields}}


def _source_of(metric: Mapping[str, Any]) -> str:
    kind = str(metric.get("type", ""))
    name = kind[:1].lower() + kind[1:]
    return name if name in _V1_FIELDS else "resource"


def health(autoscaler: meta.Obj) -> Health:
    for type in ("AbleToScale", "ScalingActive"):
        found = workload.condition(autoscaler, type)
        if found is not None and found.get("status") == "False" and found.get("reason") != "ScalingDisabled":
            return Health("Degraded", str(found.get("message", "")))
    return Health("Healthy") if meta.status(autoscaler).get("conditions") else Health("Progressing", "it has no metrics yet")


def is_measurement(old: meta.Obj | None, new: meta.Obj) -> bool:
    """Whether only the measured values changed: they are measured again anyway."""
    return old is not None and _without_values(old) == _without_values(new)


def _without_values(autoscaler: meta.Obj) -> Any:
    metadata = {k: v for k, v in meta.meta(autoscaler).items() if k not in ("resourceVersion", "managedFields")}
    return metadata, autoscaler.get("spec"), {k: v for k, v in meta.status(autoscaler).items() if k != "currentMetrics"}


def _targets_cell(autoscaler: meta.Obj) -> str:
    wanted = meta.spec(autoscaler).get("metrics") or ()
    measured = meta.status(autoscaler).get("currentMetrics") or ()
    texts = [_target_text(one, measured[index] if index < len(measured) else {}) for index, one in enumerate(wanted)]
    return columns.first_few(texts, most=2, separator=", ")


def _target_text(metric: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    source = _source_of(metric)
    goal = (metric.get(source) or {}).get("target") or {}
    now = (measured.get(source) or {}).get("current") or {}
    name = (metric.get(source) or {}).get("name", "")
    prefix = f"{name}: " if source in ("resource", "containerResource") else ""
    if "averageValue" in goal:
        suffix = " (avg)" if source in ("object", "external") else ""
        return f"{prefix}{now.get('averageValue') or columns.UNKNOWN}/{goal['averageValue']}{suffix}"
    if "averageUtilization" in goal:
        current = now.get("averageUtilization")
        return f"{prefix}{columns.UNKNOWN if current is None else f'{current}%'}/{goal['averageUtilization']}%"
    return f"{now.get('value') or columns.UNKNOWN}/{goal.get('value', '<auto>')}"


KIND = Kind(
    group="autoscaling",
    kind="HorizontalPodAutoscaler",
    metadata_on_update="changes",
    plural="horizontalpodautoscalers",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    versions=(
        Version(name="v2", schema="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", default=default_v2),
        Version(
            name="v1",
            schema="io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
            default=default_v1,
            to_hub=to_v2,
            from_hub=from_v2,
        ),
    ),
    subresources=(status_of("HorizontalPodAutoscaler"),),
    prepare=workload.empty_status(desiredReplicas=0, currentMetrics=None),
    prepare_status=workload.keep_spec,
    validate_status=statuses.autoscaler,
    validate=autoscaler_rules.validate,
    columns=(
        columns.NAME,
        columns.column("Reference", lambda h: f"{target(h).get('kind', '')}/{target(h).get('name', '')}", "@spec.scaleTargetRef"),
        columns.column("Targets", _targets_cell, "@spec.metrics"),
        columns.column("MinPods", lambda h: str(meta.spec(h).get("minReplicas", columns.UNSET)), "@spec.minReplicas"),
        columns.column("MaxPods", max_replicas, "@spec.maxReplicas"),
        columns.column("Replicas", lambda h: workload.count(h, "currentReplicas"), "@status.currentReplicas"),
        columns.AGE,
    ),
    health=health,
    volatile=is_measurement,
    order=65,
)
