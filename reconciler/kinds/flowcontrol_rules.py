"""What FlowSchemas and PriorityLevelConfigurations must fulfil."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import check
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError

Part = Mapping[str, Any]

MOST_PRECEDENCE = 10000
NOT_NEGATIVE = "must be a non-negative integer"
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
SUBJECT_KINDS = ("Group", "ServiceAccount", "User")


def flow_schema(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    precedence = spec.get("matchingPrecedence", 0)
    if precedence <= 0:
        yield errors.invalid("spec.matchingPrecedence", precedence, "must be a positive value")
    if precedence > MOST_PRECEDENCE:
        yield errors.invalid("spec.matchingPrecedence", precedence, f"must not be greater than {MOST_PRECEDENCE}")
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        yield errors.not_supported("spec.distinguisherMethod.type", {"Type": method.get("type", "")}, ("ByNamespace", "ByUser"))
    name = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    if not name:
        yield errors.required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    else:
        yield from check.subdomain("spec.priorityLevelConfiguration.name", name)
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(f"spec.rules[{index}]", rule)


def _rule(path: str, rule: Part) -> Iterator[FieldError]:
    if not rule.get("subjects"):
        yield errors.required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(rule.get("subjects") or ()):
        yield from _subject(f"{path}.subjects[{index}]", subject)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        yield errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, one in enumerate(rule.get("resourceRules") or ()):
        yield from _resource_rule(f"{path}.resourceRules[{index}]", one)
    for index, one in enumerate(rule.get("nonResourceRules") or ()):
        yield from _url_rule(f"{path}.nonResourceRules[{index}]", one)


def _subject(path: str, subject: Part) -> Iterator[FieldError]:
    kind = subject.get("kind", "")
    if kind not in SUBJECT_KINDS:
        yield errors.not_supported(f"{path}.kind", kind, SUBJECT_KINDS)
        return
    fields = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
    for other, field in fields.items():
        if other == kind and subject.get(field) is None:
            yield errors.required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")
        elif other != kind and subject.get(field) is not None:
            yield errors.forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{other}'")
    one = subject.get(fields[kind])
    if one is None:
        return
    if kind == "ServiceAccount":
        yield from _account(f"{path}.serviceAccount", one)
    elif not one.get("name"):
        yield errors.required(f"{path}.{fields[kind]}.name")


def _account(path: str, account: Part) -> Iterator[FieldError]:
    name, namespace = account.get("name", ""), account.get("namespace", "")
    if not name:
        yield errors.required(f"{path}.name")
    elif name != "*":
        yield from check.subdomain(f"{path}.name", name)
    if not namespace:
        yield errors.required(f"{path}.namespace", "must specify namespace for service account")
    else:
        yield from check.label(f"{path}.namespace", namespace)


def _verbs(path: str, verbs: Sequence[str]) -> Iterator[FieldError]:
    if not verbs:
        yield errors.required(path, "verbs must contain at least one value")
    elif "*" in verbs:
        if len(verbs) > 1:
            yield errors.invalid(path, list(verbs), "if '*' is present, must not specify other verbs")
    elif set(verbs) - set(VERBS):
        yield errors.not_supported(path, list(verbs), VERBS)


def _starred(path: str, values: Sequence[str], words: str) -> Iterator[FieldError]:
    if "*" in values and len(values) > 1:
        yield errors.invalid(path, list(values), f"if '*' is present, must not specify other {words}")


def _resource_rule(path: str, rule: Part) -> Iterator[FieldError]:
    yield from _verbs(f"{path}.verbs", rule.get("verbs") or ())
    for field, word in (("apiGroups", "api group"), ("resources", "resource")):
        found = rule.get(field) or ()
        if not found:
            yield errors.required(f"{path}.{field}", f"resource rules must supply at least one {word}")
        yield from _starred(f"{path}.{field}", found, f"{word}s")
    namespaces = rule.get("namespaces") or ()
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        yield errors.required(f"{path}.namespaces", detail)
    yield from _starred(f"{path}.namespaces", namespaces, "namespaces")
    for index, namespace in enumerate(namespaces):
        if namespace != "*":
            yield from check.label(f"{path}.namespaces[{index}]", namespace)


def _url_rule(path: str, rule: Part) -> Iterator[FieldError]:
    yield from _verbs(f"{path}.verbs", rule.get("verbs") or ())
    urls = rule.get("nonResourceURLs") or ()
    if not urls:
        yield errors.required(f"{path}.nonResourceURLs", "nonResourceURLs must contain at least one value")
    yield from _starred(f"{path}.nonResourceURLs", urls, "non-resource URLs")
    for index, url in enumerate(urls):
        at = f"{path}.nonResourceURLs[{index}]"
        if url == "*" and len(urls) == 1:
            continue
        if not url:
            yield errors.invalid(at, url, "must not be empty")
        elif not url.startswith("/"):
            yield errors.invalid(at, url, "must start with slash")
        elif " " in url:
            yield errors.invalid(at, url, "must not contain white-space")
        elif "//" in url:
            yield errors.invalid(at, url, "must not contain double slash")
        elif "*" in url and not (url.endswith("/*") and url.count("*") == 1):
            yield errors.invalid(at, url, "wildcard can only do suffix matching")


def priority_level(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    kind, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    if kind not in ("Exempt", "Limited"):
        yield errors.not_supported("spec.type", kind, ("Exempt", "Limited"))
        return
    if kind == "Exempt":
        if limited is not None:
            yield errors.forbidden("spec.limited", "must be nil if the type is not Limited")
        shares = (exempt or {}).get("nominalConcurrencyShares")
        if shares is not None and shares < 0:
            yield errors.invalid("spec.exempt.nominalConcurrencyShares", shares, NOT_NEGATIVE)
        yield from _lending("spec.exempt", exempt or {})
        return
    if exempt is not None:
        yield errors.forbidden("spec.exempt", "must be nil if the type is Limited")
    if limited is None:
        yield errors.required("spec.limited", "must not be empty when type is Limited")
    else:
        shares = limited.get("nominalConcurrencyShares")
        if shares is not None and shares < 0:
            yield errors.invalid("spec.limited.nominalConcurrencyShares", shares, NOT_NEGATIVE)
        yield from _response("spec.limited.limitResponse", limited.get("limitResponse") or {})
        yield from _lending("spec.limited", limited)


def _lending(path: str, part: Part) -> Iterator[FieldError]:
    lendable, borrowing = part.get("lendablePercent"), part.get("borrowingLimitPercent")
    yield from check.between(f"{path}.lendablePercent", lendable, 0, 100)
    if borrowing is not None and borrowing < 0:
        yield errors.invalid(f"{path}.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer")


def _response(path: str, response: Part) -> Iterator[FieldError]:
    kind, queuing = response.get("type", ""), response.get("queuing")
    if kind == "Reject":
        if queuing is not None:
            yield errors.forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif kind == "Queue":
        if queuing is None:
            yield errors.required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")
        else:
            yield from _queuing(f"{path}.queuing", queuing)
    else:
        yield errors.not_supported(f"{path}.type", kind, ("Queue", "Reject"))


def _queuing(path: str, queuing: Part) -> Iterator[FieldError]:
    queues, hand, length = (queuing.get(name, 0) for name in ("queues", "handSize", "queueLengthLimit"))
    if queues <= 0:
        yield errors.invalid(f"{path}.queues", queues, "must be positive")
    elif queues > 10_000_000:
        yield errors.invalid(f"{path}.queues", queues, "must not be greater than 10000000")
    if hand <= 0:
        yield errors.invalid(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        yield errors.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    if length <= 0:
        yield errors.invalid(f"{path}.queueLengthLimit", length, "must be positive")
