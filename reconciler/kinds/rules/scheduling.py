"""Where a pod may run: selectors, affinity, tolerations, spread."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import check
from reconciler.model import errors, names
from reconciler.model.errors import FieldError

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


def node_selector(path: str, selector: Mapping[str, Any]) -> Iterator[FieldError]:
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        yield errors.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from node_selector_term(f"{path}.nodeSelectorTerms[{index}]", term)


def node_selector_term(path: str, term: Mapping[str, Any]) -> Iterator[FieldError]:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        yield from _node_requirement(f"{path}.matchExpressions[{index}]", requirement)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        yield from _field_requirement(f"{path}.matchFields[{index}]", requirement)


def internal_term(term: Mapping[str, Any]) -> dict[str, Any]:
    """A term as Kubernetes' internal type prints it."""
    return {
        name: [check.internal(one, Key="", Operator="", Values=None) for one in term[field]] if term.get(field) else None
        for name, field in (("MatchExpressions", "matchExpressions"), ("MatchFields", "matchFields"))
    }


def _node_requirement(path: str, requirement: Mapping[str, Any]) -> Iterator[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield errors.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield errors.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
    yield from check.qualified(f"{path}.key", requirement.get("key", ""))
    if operator in ("In", "NotIn", "Gt", "Lt"):
        for index, value in enumerate(values):
            yield from check.because(f"{path}.values[{index}]", value, names.label_value(value))


def _field_requirement(path: str, requirement: Mapping[str, Any]) -> Iterator[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator not in ("In", "NotIn"):
        yield errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield errors.required(f"{path}.values", detail)
    if requirement.get("key") != "metadata.name":
        yield errors.invalid(f"{path}.key", requirement.get("key", ""), "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from check.because(f"{path}.values[{index}]", value, names.dns_subdomain(value))


def affinity(path: str, wanted: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if wanted is None:
        return
    if (node := wanted.get("nodeAffinity")) is not None:
        yield from _node_affinity(f"{path}.nodeAffinity", node)
    for field in ("podAffinity", "podAntiAffinity"):
        if (pods := wanted.get(field)) is not None:
            yield from _pod_affinity(f"{path}.{field}", pods)


def _node_affinity(path: str, wanted: Mapping[str, Any]) -> Iterator[FieldError]:
    if (selector := wanted.get(REQUIRED)) is not None:
        yield from node_selector(f"{path}.{REQUIRED}", selector)
    for index, term in enumerate(wanted.get(PREFERRED) or ()):
        at = f"{path}.{PREFERRED}[{index}]"
        yield from _weight(f"{at}.weight", term.get("weight", 0))
        yield from node_selector_term(f"{at}.preference", term.get("preference") or {})


def _pod_affinity(path: str, wanted: Mapping[str, Any]) -> Iterator[FieldError]:
    for index, term in enumerate(wanted.get(REQUIRED) or ()):
        yield from _pod_affinity_term(f"{path}.{REQUIRED}[{index}]", term)
    for index, weighted in enumerate(wanted.get(PREFERRED) or ()):
        at = f"{path}.{PREFERRED}[{index}]"
        yield from _weight(f"{at}.weight", weighted.get("weight", 0))
        yield from _pod_affinity_term(f"{at}.podAffinityTerm", weighted.get("podAffinityTerm") or {})


def _weight(path: str, weight: int) -> Iterator[FieldError]:
    if not 1 <= weight <= 100:
        yield errors.invalid(path, weight, "must be in the range 1-100")


def _pod_affinity_term(path: str, term: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from check.label_selector(f"{path}.labelSelector", term.get("labelSelector"))
    yield from check.label_selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or ():
        yield from check.because(f"{path}.namespace", name, names.dns_label(name))
    yield from _key_pairs(path, term)
    topology = term.get("topologyKey", "")
    if not topology:
        yield errors.required(f"{path}.topologyKey", "can not be empty")
    yield from check.qualified(f"{path}.topologyKey", topology)


def _key_pairs(path: str, term: Mapping[str, Any]) -> Iterator[FieldError]:
    same, other = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    yield from _label_keys(f"{path}.matchLabelKeys", same, term.get("labelSelector"), "In")
    yield from _label_keys(f"{path}.mismatchLabelKeys", other, term.get("labelSelector"), "NotIn")
    for index, key in enumerate(same):
        if key in other:
            yield errors.invalid(f"{path}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")


def _label_keys(path: str, keys: Sequence[str], selector: Mapping[str, Any] | None, operator: str) -> Iterator[FieldError]:
    if not keys:
        return
    if selector is None:
        yield errors.forbidden(path, "must not be specified when labelSelector is not set")
    for index, key in enumerate(keys):
        yield from check.qualified(f"{path}[{index}]", key)


def spread(path: str, constraints: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    pairs = [(one.get("topologyKey", ""), one.get("whenUnsatisfiable", "")) for one in constraints]
    for index, constraint in enumerate(constraints):
        at = f"{path}[{index}]"
        topology, action = constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")
        yield from check.positive(f"{at}.maxSkew", constraint.get("maxSkew", 0))
        if not topology:
            yield errors.required(f"{at}.topologyKey", "can not be empty")
        else:
            yield from check.qualified(f"{at}.topologyKey", topology)
        yield from check.one_of(f"{at}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if (topology, action) in pairs[index + 1 :]:
            yield errors.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{topology}, {action}}}")
        yield from _min_domains(f"{at}.minDomains", constraint.get("minDomains"), action)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if (policy := constraint.get(field)) is not None:
                yield from check.one_of(f"{at}.{field}", policy, ("Honor", "Ignore"))
        selector = constraint.get("labelSelector")
        yield from _spread_keys(f"{at}.matchLabelKeys", constraint.get("matchLabelKeys") or (), selector)
        yield from check.label_selector(f"{at}.labelSelector", selector)


def _min_domains(path: str, value: int | None, action: str) -> Iterator[FieldError]:
    if value is None:
        return
    yield from check.positive(path, value)
    if action != "DoNotSchedule":
        yield errors.invalid(path, value, f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}")


def _spread_keys(path: str, keys: Sequence[str], selector: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if not keys:
        return
    if selector is None:
        yield errors.forbidden(path, "must not be specified when labelSelector is not set")
        return
    chosen = set(selector.get("matchLabels") or ()) | {one.get("key") for one in selector.get("matchExpressions") or ()}
    for index, key in enumerate(keys):
        yield from check.qualified(f"{path}[{index}]", key)
        if key in chosen:
            yield errors.invalid(f"{path}[{index}]", key, "exists in both matchLabelKeys and labelSelector")


def tolerations(path: str, found: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    for index, one in enumerate(found):
        at = f"{path}[{index}]"
        key, operator, value, effect = (one.get(name, "") for name in ("key", "operator", "value", "effect"))
        if key:
            yield from check.qualified(f"{at}.key", key)
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield errors.invalid(f"{at}.operator", operator, detail)
        if one.get("tolerationSeconds") is not None and effect != "NoExecute":
            yield errors.invalid(f"{at}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        yield from _toleration_value(f"{at}.operator", operator, value)
        if effect:
            yield from taint_effect(f"{at}.effect", effect, allow_empty=True)


def _toleration_value(path: str, operator: str, value: str) -> Iterator[FieldError]:
    if operator in ("", "Equal"):
        reasons = names.label_value(value)
        if reasons:
            yield errors.invalid(path, value, ";".join(reasons))
    elif operator == "Exists":
        if value:
            yield errors.invalid(path, value, "value must be empty when `operator` is 'Exists'")
    else:
        yield errors.not_supported(path, operator, ("Equal", "Exists"))


def taint_effect(path: str, effect: str, *, allow_empty: bool) -> Iterator[FieldError]:
    if effect in TAINT_EFFECTS or (allow_empty and not effect):
        return
    if not effect:
        yield errors.required(path)
    else:
        yield errors.not_supported(path, effect, ("NoSchedule", "PreferNoSchedule", "NoExecute"))
