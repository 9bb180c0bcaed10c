"""What LimitRanges and ResourceQuotas must fulfil."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import check, resources
from reconciler.model import errors, meta, quantity
from reconciler.model.errors import FieldError

LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
OF_QUOTAS = resources.STANDARD - {"storage"}
SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)
EXISTS_SCOPES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
ONLY_EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating,"
    " ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
CONFLICTING = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
OF_COMPUTE = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "pods")

# (field at fault, what is smaller must not be greater than what, words) in Kubernetes' order.
_ORDERINGS = (
    ("min", "min", "max", "min value {} is greater than max value {}"),
    ("defaultRequest", "min", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "defaultRequest", "max", "default request value {} is greater than max value {}"),
    ("defaultRequest", "defaultRequest", "default", "default request value {} is greater than default limit value {}"),
    ("default", "min", "default", "min value {} is greater than default value {}"),
    ("default", "default", "max", "default value {} is greater than max value {}"),
)


def limit_range(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, item in enumerate(meta.spec(obj).get("limits") or ()):
        at, kind = f"spec.limits[{index}]", item.get("type", "")
        wrong = list(check.qualified(f"{at}.type", kind))
        yield from wrong
        if not wrong and "/" not in kind and kind not in LIMIT_TYPES:
            yield errors.invalid(f"{at}.type", kind, "must be a standard limit type or fully qualified")
        if kind in seen:
            yield errors.duplicate(f"{at}.type", kind)
        seen.add(kind)
        yield from _limit_names(at, item, kind)
        for name in dict.fromkeys(name for field in ("max", "min", "default", "defaultRequest") for name in item.get(field) or ()):
            yield from _limit_order(at, item, name)
        yield from _ratios(at, item)


def _limit_names(path: str, item: Mapping[str, Any], kind: str) -> Iterator[FieldError]:
    rule = resources.container_resource_name if kind in ("Pod", "Container") else resources.resource_name
    for field in ("max", "min", "default", "defaultRequest"):
        if kind == "Pod" and field.startswith("default"):
            if item.get(field):
                yield errors.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            continue
        for name in item.get(field) or ():
            yield from rule(f"{path}.{field}[{name}]", name)
    if kind == "PersistentVolumeClaim" and "storage" not in {**(item.get("min") or {}), **(item.get("max") or {})}:
        yield errors.required(f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided")
    for name in item.get("maxLimitRequestRatio") or ():
        yield from rule(f"{path}.maxLimitRequestRatio[{name}]", name)


def _limit_order(path: str, item: Mapping[str, Any], name: str) -> Iterator[FieldError]:
    amounts = {field: (item.get(field) or {}).get(name) for field in ("min", "max", "default", "defaultRequest")}
    for field, smaller, larger, words in _ORDERINGS:
        low, high = amounts[smaller], amounts[larger]
        if low is not None and high is not None and quantity.compare(low, high) > 0:
            shown = amounts[field] if field == "defaultRequest" else high if larger == "max" and field == "default" else low
            yield errors.invalid(f"{path}.{field}[{name}]", shown, words.format(low, high))
    limit, request = amounts["default"], amounts["defaultRequest"]
    if not resources.is_overcommittable(name) and limit is not None and request is not None and limit != request:
        detail = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        yield errors.invalid(f"{path}.defaultRequest[{name}]", request, detail)


def _ratios(path: str, item: Mapping[str, Any]) -> Iterator[FieldError]:
    for name, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        at, value = f"{path}.maxLimitRequestRatio[{name}]", quantity.parse(ratio)
        if value.milli < 1000:
            yield errors.invalid(at, ratio, f"ratio {ratio} is less than 1")
        least, most = (item.get("min") or {}).get(name), (item.get("max") or {}).get(name)
        if least is None or most is None or quantity.parse(least).nano == 0:
            continue
        widest = quantity.parse(most).nano / quantity.parse(least).nano
        if value.milli / 1000 > widest:
            yield errors.invalid(at, ratio, f"ratio {ratio} is greater than max/min = {widest:f}")


def resource_quota(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    for name, amount in (spec.get("hard") or {}).items():
        yield from resources.resource_name(f"spec.hard[{name}]", name)
        if "/" not in name and name not in OF_QUOTAS and not name.startswith(("hugepages-", "requests.hugepages-")):
            yield errors.invalid(f"spec.hard[{name}]", name, "must be a standard resource for quota")
        yield from resources.amount(f"spec.hard[{name}]", name, amount)
    yield from _scopes(spec)
    selector = spec.get("scopeSelector")
    if selector is not None:
        yield from _scope_selector("spec.scopeSelector.matchExpressions", selector, spec.get("hard") or {})
    if old is not None:
        for field in ("scopes", "scopeSelector"):
            yield from check.immutable(f"spec.{field}", spec.get(field), meta.spec(old).get(field))


def _applies(scope: str, name: str) -> bool:
    if scope in ("BestEffort",):
        return name == "pods"
    return scope == "VolumeAttributesClass" or name in OF_COMPUTE or name.startswith(("requests.", "limits.", "hugepages-"))


def _scopes(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    scopes: Sequence[str] = spec.get("scopes") or ()
    shown = list(scopes)
    for scope in scopes:
        if scope not in SCOPES:
            yield errors.invalid("spec.scopes", shown, "unsupported scope")
        for name in spec.get("hard") or ():
            if name in OF_QUOTAS and not _applies(scope, name):
                yield errors.invalid("spec.scopes", shown, "unsupported scope applied to resource")
    for pair in CONFLICTING:
        if set(pair) <= set(scopes):
            yield errors.invalid("spec.scopes", shown, "conflicting scopes")


def _scope_selector(path: str, selector: Mapping[str, Any], hard: Mapping[str, str]) -> Iterator[FieldError]:
    for requirement in selector.get("matchExpressions") or ():
        scope, operator, values = requirement.get("scopeName", ""), requirement.get("operator", ""), requirement.get("values") or ()
        if scope not in SCOPES:
            yield errors.invalid(f"{path}.scopeName", scope, "unsupported scope")
        for name in hard:
            if name in OF_QUOTAS and scope in SCOPES and not _applies(scope, name):
                yield errors.invalid(path, check.shown_labels(hard), "unsupported scope applied to resource")
        if scope in EXISTS_SCOPES and operator != "Exists":
            yield errors.invalid(f"{path}.operator", operator, ONLY_EXISTS)
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield errors.required(f"{path}.values", detail)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield errors.invalid(f"{path}.values", list(values), detail)
        else:
            yield errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
