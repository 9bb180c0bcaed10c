"""What a HorizontalPodAutoscaler must fulfil."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.kinds.rules import check, resources
from reconciler.model import errors, meta, names, quantity
from reconciler.model.errors import FieldError

Part = Mapping[str, Any]

TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
MOST_WINDOW_SECONDS = 3600
MOST_PERIOD_SECONDS = 1800


def validate(autoscaler: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(autoscaler)
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < 1:
        yield errors.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most == 0:
        yield errors.required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 1:
        yield errors.invalid("spec.maxReplicas", most, "must be greater than or equal to 1")
    if least is not None and most < least:
        yield errors.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    yield from _reference("spec.scaleTargetRef", target)
    yield from _api_version("spec.scaleTargetRef.apiVersion", target)
    metrics = spec.get("metrics") or ()
    for index, metric in enumerate(metrics):
        yield from _metric(f"spec.metrics[{index}]", metric)
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        yield errors.forbidden("spec.metrics", "must specify at least one Object or External metric to support scaling to zero replicas")
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        if rules is not None:
            yield from _scaling(f"spec.behavior.{direction}", rules)


def _reference(path: str, reference: Part) -> Iterator[FieldError]:
    for field in ("kind", "name"):
        if not reference.get(field):
            yield errors.required(f"{path}.{field}")
        else:
            yield from check.because(f"{path}.{field}", reference[field], names.path_segment(reference[field]))


def _api_version(path: str, reference: Part) -> Iterator[FieldError]:
    text = reference.get("apiVersion", "")
    if text.count("/") > 1:
        yield errors.invalid(path, text, f"unexpected GroupVersion string: {text}")
    elif "/" not in text and not (reference.get("kind") == "ReplicationController" and text == "v1"):
        yield errors.invalid(path, text, "apiVersion must specify API group")


def _metric(path: str, metric: Part) -> Iterator[FieldError]:
    kind = metric.get("type", "")
    if not kind:
        yield errors.required(f"{path}.type", "must specify a metric source type")
    if kind not in TYPES:
        yield errors.not_supported(f"{path}.type", kind, TYPES)
    given = [name for name in SOURCES if metric.get(name) is not None]
    for name in given[:1]:
        yield from SOURCES[name](f"{path}.{name}", metric[name])
    expected = kind[:1].lower() + kind[1:]
    if expected not in SOURCES:
        yield errors.not_supported(f"{path}.type", kind, TYPES)
    elif expected not in given:
        yield errors.required(f"{path}.{expected}", "must populate information for the given metric source")
    if len(given) > 1:
        for name in given:
            if name != expected:
                yield errors.forbidden(f"{path}.{name}", "must populate the given metric source only")


def _object(path: str, source: Part) -> Iterator[FieldError]:
    yield from _reference(f"{path}.describedObject", source.get("describedObject") or {})
    yield from _identifier(f"{path}.metric", source.get("metric") or {})
    target = source.get("target") or {}
    yield from _target(f"{path}.target", target)
    if target.get("value") is None and target.get("averageValue") is None:
        yield errors.required(f"{path}.target.averageValue", "must set either a target value or averageValue")


def _external(path: str, source: Part) -> Iterator[FieldError]:
    yield from _identifier(f"{path}.metric", source.get("metric") or {})
    target = source.get("target") or {}
    yield from _target(f"{path}.target", target)
    value, average = target.get("value"), target.get("averageValue")
    if value is None and average is None:
        yield errors.required(f"{path}.target.averageValue", "must set either a target value for metric or a per-pod target")
    if value is not None and average is not None:
        yield errors.forbidden(f"{path}.target.value", "may not set both a target value for metric and a per-pod target")


def _pods(path: str, source: Part) -> Iterator[FieldError]:
    yield from _identifier(f"{path}.metric", source.get("metric") or {})
    target = source.get("target") or {}
    yield from _target(f"{path}.target", target)
    if target.get("averageValue") is None:
        yield errors.required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def _resource(path: str, source: Part) -> Iterator[FieldError]:
    if not source.get("name"):
        yield errors.required(f"{path}.name", "must specify a resource name")
    yield from _resource_target(path, source)


def _container_resource(path: str, source: Part) -> Iterator[FieldError]:
    name, container = source.get("name", ""), source.get("container", "")
    if not name:
        yield errors.required(f"{path}.name", "must specify a resource name")
    else:
        yield from resources.container_resource_name(f"{path}.name", name)
    if not container:
        yield errors.required(f"{path}.container", "must specify a container")
    else:
        yield from check.label(f"{path}.container", container)
    yield from _resource_target(path, source)


def _resource_target(path: str, source: Part) -> Iterator[FieldError]:
    target = source.get("target") or {}
    yield from _target(f"{path}.target", target)
    utilization, average = target.get("averageUtilization"), target.get("averageValue")
    if utilization is None and average is None:
        yield errors.required(f"{path}.target.averageUtilization", "must set either a target raw value or a target utilization")
    if utilization is not None and average is not None:
        yield errors.forbidden(f"{path}.target.averageValue", "may not set both a target raw value and a target utilization")


SOURCES: Mapping[str, Callable[[str, Part], Iterator[FieldError]]] = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}


def _identifier(path: str, identifier: Part) -> Iterator[FieldError]:
    name = identifier.get("name", "")
    if not name:
        yield errors.required(f"{path}.name", "must specify a metric name")
    else:
        yield from check.because(f"{path}.name", name, names.path_segment(name))


def _target(path: str, target: Part) -> Iterator[FieldError]:
    kind = target.get("type", "")
    if not kind:
        yield errors.required(f"{path}.type", "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield errors.invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if target.get(field) is not None and quantity.parse(target[field]).nano <= 0:
            yield errors.invalid(f"{path}.{field}", target[field], "must be positive")
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        yield errors.invalid(f"{path}.averageUtilization", utilization, "must be greater than 0")


def _scaling(path: str, rules: Part) -> Iterator[FieldError]:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        yield errors.invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > MOST_WINDOW_SECONDS:
        yield errors.invalid(f"{path}.stabilizationWindowSeconds", window, f"must be less than or equal to {MOST_WINDOW_SECONDS}")
    if rules.get("selectPolicy") is not None:
        yield from check.one_of(f"{path}.selectPolicy", rules["selectPolicy"], ("Disabled", "Max", "Min"))
    if not rules.get("policies"):
        yield errors.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules.get("policies") or ()):
        at, period = f"{path}.policies[{index}]", policy.get("periodSeconds", 0)
        yield from check.one_of(f"{at}.type", policy.get("type", ""), ("Percent", "Pods"))
        yield from check.positive(f"{at}.value", policy.get("value", 0))
        yield from check.positive(f"{at}.periodSeconds", period)
        if period > MOST_PERIOD_SECONDS:
            yield errors.invalid(f"{at}.periodSeconds", period, f"must be less than or equal to {MOST_PERIOD_SECONDS}")
    if rules.get("tolerance") is not None:
        yield from check.plain_quantity(f"{path}.tolerance", rules["tolerance"])
