"""What webhook configurations and admission policies must fulfil.

Whether an expression compiles is asked of the CEL library by the admission chain, not here: rules import no library.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from reconciler.kinds.rules import check
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError

Part = Mapping[str, Any]

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
MUTABLE_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
REVIEW_VERSIONS = ("v1", "v1beta1")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
ACTIONS = ("Audit", "Deny", "Warn")
MOST_CONDITIONS = 64
URL_FORM = "; desired format: https://host[/path]"
BOTH_ACTIONS = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers"
    " serves no purpose)"
)
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


def webhooks(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        at, name = f"webhooks[{index}]", hook.get("name", "")
        yield from _webhook(at, hook)
        yield from _review_versions(f"{at}.admissionReviewVersions", hook.get("admissionReviewVersions") or ())
        if hook.get("reinvocationPolicy") is not None:
            yield from check.one_of(f"{at}.reinvocationPolicy", hook["reinvocationPolicy"], ("IfNeeded", "Never"))
        if name in seen:
            yield errors.duplicate(f"{at}.name", name)
        seen.add(name)


def _webhook(path: str, hook: Part) -> Iterator[FieldError]:
    name = hook.get("name", "")
    yield from _domain(f"{path}.name", name, 3, "three")
    for index, rule in enumerate(hook.get("rules") or ()):
        yield from _rule(f"{path}.rules[{index}]", rule)
    if hook.get("failurePolicy") is not None:
        yield from check.one_of(f"{path}.failurePolicy", hook["failurePolicy"], ("Fail", "Ignore"))
    if hook.get("matchPolicy") is not None:
        yield from check.one_of(f"{path}.matchPolicy", hook["matchPolicy"], ("Equivalent", "Exact"))
    effects = hook.get("sideEffects")
    if effects is None:
        yield errors.required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")
    else:
        yield from check.one_of(f"{path}.sideEffects", effects, SIDE_EFFECTS)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        yield errors.invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for field in ("namespaceSelector", "objectSelector"):
        yield from check.label_selector(f"{path}.{field}", hook.get(field))
    yield from _client(f"{path}.clientConfig", hook.get("clientConfig") or {})
    found = hook.get("matchConditions") or ()
    yield from conditions(f"{path}.matchConditions", found)
    if found:
        from reconciler.kinds import admission_cel  # as long to import as all the other kinds

        yield from admission_cel.refused_conditions(f"{path}.matchConditions", found)


def _domain(path: str, text: str, least: int, word: str) -> Iterator[FieldError]:
    """A fully qualified name of at least so many segments."""
    if not text:
        yield errors.required(path)
        return
    reasons = names.dns_subdomain(text)
    yield from check.because(path, text, reasons)
    if not reasons and text.count(".") < least - 1:
        yield errors.invalid(path, text, f"should be a domain with at least {word} segments separated by dots")


def _client(path: str, config: Part) -> Iterator[FieldError]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield errors.required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url(f"{path}.url", url)
    else:
        yield from _service(f"{path}.service", service or {})


def _url(path: str, text: str) -> Iterator[FieldError]:
    parts = urlsplit(text)
    if parts.scheme != "https":
        yield errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{URL_FORM}")
    if not parts.netloc:
        yield errors.invalid(path, "", f"host must be specified{URL_FORM}")
    if parts.username is not None:
        user = parts.username + (f":{parts.password}" if parts.password is not None else "")
        yield errors.invalid(path, user, "user information is not permitted in the URL")
    if parts.fragment:
        yield errors.invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield errors.invalid(path, parts.query, "query parameters are not permitted in the URL")


def _service(path: str, service: Part) -> Iterator[FieldError]:
    for field in ("name", "namespace"):
        yield from check.required(f"{path}.{field}", service.get(field))
    port = service.get("port", 0)
    if not 1 <= port <= 65535:
        yield errors.invalid(f"{path}.port", port, "port is not valid: must be between 1 and 65535, inclusive")
    route = service.get("path")
    if route is None or route == "/":
        return
    if not route:
        yield errors.invalid(f"{path}.path", route, "must start with a '/'")
        return
    if not route.startswith("/"):
        yield errors.invalid(f"{path}.path", route, "must start with a '/'")
    for index, segment in enumerate(route[1:].removesuffix("/").split("/")):  # as Kubernetes, whatever the first letter is
        if not segment:
            yield errors.invalid(f"{path}.path", route, f"segment[{index}] may not be empty")
        else:
            yield from check.because(f"{path}.path", route, (f"segment[{index}]: {why}" for why in names.dns_subdomain(segment)))


def _review_versions(path: str, versions: Sequence[str]) -> Iterator[FieldError]:
    if not versions:
        yield errors.required(path, f"must specify one of {', '.join(REVIEW_VERSIONS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield errors.invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        yield from check.because(f"{path}[{index}]", version, names.dns_label_1035(version))
    if not set(versions) & set(REVIEW_VERSIONS):
        yield errors.invalid(path, list(versions), f"must include at least one of {', '.join(REVIEW_VERSIONS)}")


def _rule(path: str, rule: Part) -> Iterator[FieldError]:
    operations = rule.get("operations") or ()
    if not operations:
        yield errors.required(f"{path}.operations")
    if len(operations) > 1 and "*" in operations:
        yield errors.invalid(f"{path}.operations", list(operations), "if '*' is present, must not specify other operations")
    for index, operation in enumerate(operations):
        yield from check.one_of(f"{path}.operations[{index}]", operation, OPERATIONS)
    yield from _groups_and_versions(path, rule)
    yield from _resources(f"{path}.resources", rule.get("resources") or ())
    if rule.get("scope") is not None:
        yield from check.one_of(f"{path}.scope", rule["scope"], SCOPES)


def _groups_and_versions(path: str, rule: Part) -> Iterator[FieldError]:
    for field, word in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        found = rule.get(field) or ()
        if not found:
            yield errors.required(f"{path}.{field}")
        if len(found) > 1 and "*" in found:
            yield errors.invalid(f"{path}.{field}", list(found), f"if '*' is present, must not specify other {word}")
        for index, version in enumerate(found if field == "apiVersions" else ()):
            if not version:
                yield errors.required(f"{path}.{field}[{index}]")


def _resources(path: str, found: Sequence[str]) -> Iterator[FieldError]:
    if not found:
        yield errors.required(path)
    for index, resource in enumerate(found):
        if not resource:
            yield errors.required(f"{path}[{index}]")
            continue
        name, _, subresource = resource.partition("/")
        wider = [other for other in found[:index] if other in (f"{name}/*", f"*/{subresource}") and other != resource and subresource]
        for other in wider:
            yield errors.invalid(f"{path}[{index}]", resource, f"if '{other}' is present, must not specify {resource}")
    if "*/*" in found and len(found) > 1:
        yield errors.invalid(path, list(found), "if '*/*' is present, must not specify other resources")
    elif "*" in found and any("/" not in other and other != "*" for other in found):
        detail = "if '*' is present, must not specify other resources without subresources"
        yield errors.invalid(path, list(found), detail)


def conditions(path: str, found: Sequence[Part]) -> Iterator[FieldError]:
    if len(found) > MOST_CONDITIONS:
        yield errors.too_many(path, len(found), MOST_CONDITIONS)
    seen: set[str] = set()
    for index, condition in enumerate(found):
        at, name = f"{path}[{index}]", condition.get("name", "")
        if not condition.get("expression", "").strip():
            yield errors.required(f"{at}.expression")
        if not name:
            yield errors.required(f"{at}.name")
            continue
        yield from check.qualified(f"{at}.name", name)
        if name in seen:
            yield errors.duplicate(f"{at}.name", name)
        seen.add(name)


# Policies.


def validating_policy(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    yield from _policy(spec, OPERATIONS)
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        for field in ("validations", "auditAnnotations"):
            yield errors.required(f"spec.{field}", "validations or auditAnnotations must contain at least one item")
    for index, validation in enumerate(validations):
        yield from _validation(f"spec.validations[{index}]", validation)
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        at, key = f"spec.auditAnnotations[{index}]", annotation.get("key", "")
        full = f"{meta.name(obj)}/{key}"
        yield from check.because(f"{at}.key", full, names.qualified(full))
        if not annotation.get("valueExpression", "").strip():
            yield errors.required(f"{at}.valueExpression", "valueExpression is not specified")
        if key in seen:
            yield errors.duplicate(f"{at}.key", key)
        seen.add(key)


def _validation(path: str, validation: Part) -> Iterator[FieldError]:
    message = validation.get("message", "")
    if not validation.get("expression", "").strip():
        yield errors.required(f"{path}.expression", "expression is not specified")
    if message and not message.strip():
        yield errors.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif "\n" in message:
        yield errors.invalid(f"{path}.message", message, "message must not contain line breaks")
    if "\n" in validation.get("expression", "").strip() and not message:
        yield errors.required(f"{path}.message", "message must be specified if expression contains line breaks")
    reason = validation.get("reason")
    if reason is not None:
        reasons = ("Forbidden", "Invalid", "RequestEntityTooLarge")
        yield from check.one_of(f"{path}.reason", reason, reasons)


def mutating_policy(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    yield from _policy(spec, MUTABLE_OPERATIONS)
    mutations = spec.get("mutations") or ()
    if not mutations:
        yield errors.required("spec.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(mutations):
        yield from _mutation(f"spec.mutations[{index}]", mutation)
    policy = spec.get("reinvocationPolicy", "")
    yield from check.required_one_of("spec.reinvocationPolicy", policy, ("IfNeeded", "Never"))


def _mutation(path: str, mutation: Part) -> Iterator[FieldError]:
    kind = mutation.get("patchType", "")
    fields = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
    if kind not in fields:
        yield from check.required_one_of(f"{path}.patchType", kind, tuple(fields))
        return
    own, other = fields[kind], next(field for name, field in fields.items() if name != kind)
    if mutation.get(own) is None:
        yield errors.required(f"{path}.{own}", f"must be specified when patchType is {kind}")
    elif not mutation[own].get("expression", "").strip():
        yield errors.required(f"{path}.{own}.expression")
    if mutation.get(other) is not None:
        yield errors.invalid(f"{path}.{other}", f"{{{other}}}", f"must not be specified when patchType is {kind}")


def _policy(spec: Part, operations: Sequence[str]) -> Iterator[FieldError]:
    if spec.get("failurePolicy") is not None:
        yield from check.one_of("spec.failurePolicy", spec["failurePolicy"], ("Fail", "Ignore"))
    if spec.get("paramKind") is not None:
        yield from _param_kind("spec.paramKind", spec["paramKind"])
    match = spec.get("matchConstraints")
    if match is None:
        yield errors.required("spec.matchConstraints")
    else:
        yield from _match("spec.matchConstraints", match, operations)
        if not match.get("resourceRules"):
            yield errors.required("spec.matchConstraints.resourceRules")
    yield from conditions("spec.matchConditions", spec.get("matchConditions") or ())
    yield from _variables(spec.get("variables") or ())


def _param_kind(path: str, kind: Part) -> Iterator[FieldError]:
    version, name = kind.get("apiVersion", ""), kind.get("kind", "")
    if not version:
        yield errors.required(f"{path}.apiVersion")
    elif version.count("/") > 1:
        yield errors.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    else:
        group, _, short = version.rpartition("/")
        yield from check.because(f"{path}.apiVersion", group, names.dns_subdomain(group) if group else ())
        yield from check.because(f"{path}.apiVersion", short, names.dns_label_1035(short))
    if not name:
        yield errors.required(f"{path}.kind")
    else:
        reasons = names.dns_label_1035(name.lower())
        prefix = "may have mixed case, but should otherwise match: "
        yield from check.because(f"{path}.kind", name, [prefix + ", ".join(reasons)] if reasons else ())


def _match(path: str, match: Part, operations: Sequence[str]) -> Iterator[FieldError]:
    for field in ("namespaceSelector", "objectSelector"):
        yield from check.label_selector(f"{path}.{field}", match.get(field))
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(field) or ()):
            at = f"{path}.{field}[{index}]"
            yield from _rule(at, rule)
            yield from check.distinct(f"{at}.resourceNames", rule.get("resourceNames") or ())
    if operations is MUTABLE_OPERATIONS:
        for rule in match.get("resourceRules") or ():
            for operation in rule.get("operations") or ():
                yield from check.one_of(f"{path}.resourceRules.operations", operation, operations)
    if match.get("matchPolicy") is not None:
        yield from check.required_one_of(f"{path}.matchPolicy", match["matchPolicy"], ("Equivalent", "Exact"))


def _variables(found: Iterable[Part]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, variable in enumerate(found):
        at, name = f"spec.variables[{index}]", variable.get("name", "")
        if not name:
            yield errors.required(f"{at}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name):
            yield errors.invalid(f"{at}.name", name, "must be a valid CEL identifier")
        if name in seen:
            yield errors.duplicate(f"{at}.name", name)
        seen.add(name)
        if not variable.get("expression", "").strip():
            yield errors.required(f"{at}.expression", "expression is not specified")


def policy_binding(operations: Sequence[str]) -> Callable[[meta.Obj, meta.Obj | None], Iterator[FieldError]]:
    def validate(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
        spec = meta.spec(obj)
        name = spec.get("policyName", "")
        if not name:
            yield errors.required("spec.policyName")
        else:
            yield from check.subdomain("spec.policyName", name)
        if spec.get("paramRef") is not None:
            yield from _param_ref("spec.paramRef", spec["paramRef"])
        if spec.get("matchResources") is not None:
            yield from _match("spec.matchResources", spec["matchResources"], operations)
        if operations is OPERATIONS:
            yield from _actions("spec.validationActions", spec.get("validationActions") or ())

    return validate


def _param_ref(path: str, reference: Part) -> Iterator[FieldError]:
    name, selector, missing = reference.get("name", ""), reference.get("selector"), reference.get("parameterNotFoundAction")
    if name:
        yield from check.subdomain(f"{path}.name", name)
        if selector is not None:
            for field in ("name", "selector"):
                yield errors.forbidden(f"{path}.{field}", "name and selector are mutually exclusive")
    elif selector is None:
        yield errors.required(path, "one of name or selector must be specified")
    else:
        yield from check.label_selector(f"{path}.selector", selector)
    if missing is None:
        yield errors.required(f"{path}.parameterNotFoundAction")
    else:
        yield from check.one_of(f"{path}.parameterNotFoundAction", missing, ("Deny", "Allow"), sort=False)


def _actions(path: str, actions: Sequence[str]) -> Iterator[FieldError]:
    if not actions:
        yield errors.required(path, "at least one validation action is required")
    for index, action in enumerate(actions):
        yield from check.one_of(f"{path}[{index}]", action, ACTIONS)
        if action in actions[:index]:
            yield errors.duplicate(f"{path}[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        yield errors.invalid(path, list(actions), BOTH_ACTIONS)
