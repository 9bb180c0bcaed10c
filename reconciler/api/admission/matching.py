"""Which writes a policy or webhook is about: its rules, selectors and exemptions."""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.api.admission.chain import Attributes
from reconciler.model import meta, selectors
from reconciler.model.kind import Version

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


def matched(attributes: Attributes, obj: meta.Obj, match: Mapping[str, Any]) -> Version | None:
    """The version in which a policy's matchConstraints or a binding's matchResources are about this write, if they are."""
    if any(_version(rule, attributes, _is_equivalent(match)) for rule in match.get("excludeResourceRules") or ()):
        return None
    rules = match.get("resourceRules") or ()
    found = version_matched(attributes, match, rules) if rules else attributes.call.version
    return found if found is not None and selects(attributes, obj, match) else None


def version_matched(attributes: Attributes, match: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> Version | None:
    """The version in which rules want to see this write; None where they are about others."""
    own, other = None, None
    for rule in rules:
        found = _version(rule, attributes, _is_equivalent(match))
        if found is attributes.call.version:
            own = found
        other = other or found
    return own or other


def selects(attributes: Attributes, obj: meta.Obj, match: Mapping[str, Any]) -> bool:
    """Whether namespaceSelector and objectSelector are about this write."""
    return _in_namespace(attributes, obj, match.get("namespaceSelector")) and _selected(attributes, obj, match.get("objectSelector"))


def _is_equivalent(match: Mapping[str, Any]) -> bool:
    return bool(match.get("matchPolicy", "Equivalent") == "Equivalent")


def is_exempt(attributes: Attributes) -> bool:
    return attributes.call.kind.id in EXEMPT


def _version(rule: Mapping[str, Any], attributes: Attributes, equivalent: bool) -> Version | None:
    """The version of the kind that a rule is about, the request's own before others."""
    call = attributes.call
    names = rule.get("resourceNames")
    if not (
        _any(rule.get("operations"), attributes.operation)
        and _any(rule.get("apiGroups"), call.kind.group)
        and _is_resource(rule.get("resources") or (), call.kind.plural, call.subresource)
        and rule.get("scope", "*") in ("*", "Namespaced" if call.kind.namespaced else "Cluster")
        and (not names or call.name in names)
    ):
        return None
    candidates = (call.version, *(call.kind.versions if equivalent else ()))
    return next((version for version in candidates if _any(rule.get("apiVersions"), version.name)), None)


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
