"""One metric of an autoscaler: what to ask for, the replicas it calls for, and how the status shows it.

Upstream: computeReplicasForMetric in horizontal.go, with its wording.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.controllers.horizontalpodautoscaler import replicas
from reconciler.controllers.measures import Answer, Query, Sample
from reconciler.model import meta, quantity, selectors
from reconciler.model.scale import Scale, selector_text

DEFAULT_TOLERANCE = 0.1
NOT_MEASURED = "not measured yet"


@dataclass(frozen=True, slots=True)
class Around:
    """What every metric of one autoscaler is seen against."""

    namespace: str
    scale: Scale
    pods: Sequence[meta.Obj]
    answers: Mapping[Query, Answer]
    tolerance: replicas.Tolerance
    now: float


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one metric: a proposal, or `reason` and `error` of the condition and `wrapped` for the summary."""

    name: str = ""
    proposal: replicas.Proposal | None = None
    status: Mapping[str, Any] | None = None
    reason: str = ""
    error: str = ""
    wrapped: str = ""


def tolerance(autoscaler: meta.Obj) -> replicas.Tolerance:
    behavior = meta.spec(autoscaler).get("behavior") or meta.EMPTY

    def of(direction: str) -> float:
        given = (behavior.get(direction) or meta.EMPTY).get("tolerance")
        return DEFAULT_TOLERANCE if given is None else quantity.parse(str(given)).nano / 1e9

    return replicas.Tolerance(up=of("scaleUp"), down=of("scaleDown"))


def query(spec: Mapping[str, Any], namespace: str, selector: str) -> Query:
    source, given = _source(spec)
    if source in ("resource", "containerResource"):
        return Query(source="resource", namespace=namespace, metric=given["name"], container=given.get("container", ""), selector=selector)
    identity = given["metric"]
    wanted = identity.get("selector")
    metric_selector = selector_text(wanted) if wanted else ""
    if source == "pods":
        return Query(source="pods", namespace=namespace, metric=identity["name"], selector=selector, metric_selector=metric_selector)
    if source == "external":
        return Query(source="external", namespace=namespace, metric=identity["name"], metric_selector=metric_selector)
    about = given["describedObject"]
    described = (about.get("apiVersion", ""), about["kind"], about["name"])
    return Query(source="object", namespace=namespace, metric=identity["name"], metric_selector=metric_selector, described=described)


def evaluate(spec: Mapping[str, Any], around: Around) -> Found:
    source, given = _source(spec)
    answer = around.answers.get(query(spec, around.namespace, around.scale.selector)) or Answer(error=NOT_MEASURED)
    if source == "pods":
        return _of_pods(given, answer, around)
    if source == "object":
        return _of_object(given, answer, around)
    return _external(given, answer, around) if source == "external" else _of_resource(source, given, answer, around)


def _of_resource(source: str, given: Mapping[str, Any], answer: Answer, around: Around) -> Found:
    name, container, target = str(given["name"]), str(given.get("container", "")), given["target"]
    by_average = target.get("averageValue") is not None
    kind = "ContainerResource" if source == "containerResource" else "Resource"
    try:
        samples = _samples(answer, f"unable to get metrics for resource {name}: {{}}")
        if by_average:
            wanted = quantity.parse(str(target["averageValue"])).milli
            found = replicas.by_average(around.scale.wanted, wanted, name, around.pods, samples, around.tolerance, around.now)
        else:
            found = replicas.by_utilization(
                around.scale.wanted,
                int(target["averageUtilization"]),
                name,
                container,
                around.pods,
                samples,
                around.tolerance,
                around.now,
            )
    except replicas.Unknown as unknown:
        error = f"failed to get {name} {'usage' if by_average else 'utilization'}: {unknown}"
        subject = "container" if container else "resource"
        return Found(reason=f"FailedGet{kind}Metric", error=error, wrapped=f"failed to get {name} {subject} metric value: {error}")
    current: dict[str, Any] = {"averageValue": milli_text(found.milli)}
    if found.percent is not None:
        current["averageUtilization"] = found.percent
    shown = {"name": name, **({"container": container} if container else {}), "current": current}
    subject = f"{name} container resource" if container else f"{name} resource"
    label = f"{name} resource" if by_average else f"{subject} utilization (percentage of request)"
    return Found(label, found, {"type": kind, source: shown})


def _of_pods(given: Mapping[str, Any], answer: Answer, around: Around) -> Found:
    name = str(given["metric"]["name"])
    try:
        samples = _samples(answer, f"unable to get metric {name}: {{}}")
        wanted = quantity.parse(str(given["target"]["averageValue"])).milli
        found = replicas.by_average(around.scale.wanted, wanted, "", around.pods, samples, around.tolerance, around.now)
    except replicas.Unknown as unknown:
        return Found(reason="FailedGetPodsMetric", error=str(unknown), wrapped=f"failed to get pods metric value: {unknown}")
    shown = {"metric": given["metric"], "current": {"averageValue": milli_text(found.milli)}}
    return Found(f"pods metric {name}", found, {"type": "Pods", "pods": shown})


def _of_object(given: Mapping[str, Any], answer: Answer, around: Around) -> Found:
    name, about = str(given["metric"]["name"]), given["describedObject"]
    per_pod = given["target"].get("type") == "AverageValue"
    try:
        value = _sum(_samples(answer, f"unable to get metric {name}: {{}} on {about['kind']} {around.namespace}/{about['name']}"))
        found, current = _shared(given["target"], value, around)
    except replicas.Unknown as unknown:
        error = f"failed to get {name} object metric: {unknown}" if per_pod else str(unknown)
        return Found(reason="FailedGetObjectMetric", error=str(unknown), wrapped=f"failed to get object metric value: {error}")
    shown = {"metric": given["metric"], "describedObject": about, "current": current}
    label = f"external metric {name}({selectors.shown(given['metric'].get('selector'))})" if per_pod else f"{about['kind']} metric {name}"
    return Found(label, found, {"type": "Object", "object": shown})


def _external(given: Mapping[str, Any], answer: Answer, around: Around) -> Found:
    name = str(given["metric"]["name"])
    selector = selectors.shown(given["metric"].get("selector"))
    try:
        value = _sum(_samples(answer, f"unable to get external metric {around.namespace}/{name}/{selector}: {{}}"))
        found, current = _shared(given["target"], value, around)
    except replicas.Unknown as unknown:
        per_pod = given["target"].get("averageValue") is not None
        inner = f"failed to get {name} external metric: {unknown}" if per_pod else f"failed to get external metric {name}: {unknown}"
        wrapped = f"failed to get {name} external metric value: {inner}"
        return Found(reason="FailedGetExternalMetric", error=str(unknown), wrapped=wrapped)
    shown = {"metric": given["metric"], "current": current}
    return Found(f"external metric {name}({selector})", found, {"type": "External", "external": shown})


def _shared(target: Mapping[str, Any], value: int, around: Around) -> tuple[replicas.Proposal, dict[str, Any]]:
    """A value that is nobody's own, against a whole or against a share for each replica."""
    if target.get("averageValue") is not None:
        wanted = quantity.parse(str(target["averageValue"])).milli
        found = replicas.by_value_per_pod(around.scale.present, wanted, value, around.tolerance)
        return found, {"averageValue": milli_text(found.milli)}
    wanted = quantity.parse(str(target["value"])).milli
    found = replicas.by_value(around.scale.wanted, wanted, value, around.pods, around.tolerance)
    return found, {"value": milli_text(found.milli)}


def _samples(answer: Answer, failed: str) -> Mapping[str, Sample]:
    """Raises Unknown with `failed` around the reason why there is no answer."""
    if answer.error:
        raise replicas.Unknown(failed.replace("{}", answer.error))
    return answer.samples


def _sum(samples: Mapping[str, Sample]) -> int:
    return sum(sample.milli for sample in samples.values())


def _source(spec: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    kind = str(spec.get("type", ""))
    source = kind[:1].lower() + kind[1:]
    return source, spec.get(source) or meta.EMPTY


def milli_text(milli: int) -> str:
    return str(quantity.Quantity(milli * 10**6))
