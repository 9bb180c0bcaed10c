"""Which writes a policy or webhook is about: its rules, selectors and exemptions."""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.api.admission.chain import Attributes
from reconciler.model import meta, selectors

# What configures admission is never subject to it: a bad policy can always be taken back.
EXEMPT = frozenset(
    f"{name}.admissionregistration.k8s.io"
    for name in (
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
    )
)


def matches(attributes: Attributes, obj: meta.Obj, match: Mapping[str, Any], rules: str = "resourceRules") -> bool:
    """Whether `match` (matchConstraints, matchResources, or a webhook) is about this write."""
    found = match.get(rules) or ()
    if found and not any(_covers(rule, attributes) for rule in found):
        return False
    if any(_covers(rule, attributes) for rule in match.get("excludeResourceRules") or ()):
        return False
    return _in_namespace(attributes, obj, match.get("namespaceSelector")) and _selected(attributes, obj, match.get("objectSelector"))


def is_exempt(attributes: Attributes) -> bool:
    return attributes.call.kind.id in EXEMPT


def _covers(rule: Mapping[str, Any], attributes: Attributes) -> bool:
    call = attributes.call
    names = rule.get("resourceNames")
    return (
        _any(rule.get("operations"), attributes.operation)
        and _any(rule.get("apiGroups"), call.kind.group)
        and (_any(rule.get("apiVersions"), call.version.name) or any(_any(rule.get("apiVersions"), one.name) for one in call.kind.versions))
        and _is_resource(rule.get("resources") or (), call.kind.plural, call.subresource)
        and rule.get("scope", "*") in ("*", "Namespaced" if call.kind.namespaced else "Cluster")
        and (not names or call.name in names)
    )


def _any(wanted: Sequence[str] | None, given: str) -> bool:
    return wanted is not None and ("*" in wanted or given in wanted)


def _is_resource(wanted: Sequence[str], plural: str, subresource: str) -> bool:
    for one in wanted:
        name, slash, sub = one.partition("/")
        if name in ("*", plural) and (sub in ("*", subresource) if slash else not subresource):
            return True
    return False


def _in_namespace(attributes: Attributes, obj: meta.Obj, selector: Mapping[str, Any] | None) -> bool:
    if not selector:
        return True
    call = attributes.call
    if call.kind.id == "namespaces":
        labels = meta.labels(obj)
    elif not call.kind.namespaced:
        return True
    else:
        namespace = attributes.cache.get("namespaces", "", call.namespace)
        labels = meta.labels(namespace.obj) if namespace is not None else {}
    return selectors.from_label_selector(selector).matches(labels)


def _selected(attributes: Attributes, obj: meta.Obj, selector: Mapping[str, Any] | None) -> bool:
    if not selector:
        return True
    wanted = selectors.from_label_selector(selector)
    return wanted.matches(meta.labels(obj)) or (attributes.old is not None and wanted.matches(meta.labels(attributes.old)))
