"""What an Ingress and an IngressClass must fulfil."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import addresses, check, jobs
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
NOT_AT_END = ("/..", "/.")
CONTROLLER_MOST = 250


def ingress(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    rules, backend, chosen = spec.get("rules") or (), spec.get("defaultBackend"), spec.get("ingressClassName")
    if not rules and backend is None:
        yield errors.invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        yield from _backend("spec.defaultBackend", backend)
    for index, rule in enumerate(rules):
        yield from _rule(f"spec.rules[{index}]", rule)
    for index, tls in enumerate(spec.get("tls") or ()):
        for position, host in enumerate(tls.get("hosts") or ()):
            yield from addresses.host(f"spec.tls[{index}].hosts[{position}]", host)
        if tls.get("secretName"):
            yield from check.subdomain(f"spec.tls[{index}].secretName", tls["secretName"])
    if chosen is not None:
        yield from check.subdomain("spec.ingressClassName", chosen)
    annotated = meta.annotations(obj).get(CLASS_ANNOTATION)
    if old is None and annotated is not None and chosen is not None and annotated != chosen:
        yield errors.invalid(f"annotations.{CLASS_ANNOTATION}", annotated, "must match `ingressClassName` when both are specified")


def _rule(path: str, rule: Mapping[str, Any]) -> Iterator[FieldError]:
    host = rule.get("host", "")
    if host:
        if addresses.is_ip(host):
            yield errors.invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
        yield from addresses.host(f"{path}.host", host)
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        yield errors.required(f"{path}.http.paths")
    for index, one in enumerate(http.get("paths") or ()):
        yield from _path(f"{path}.http.paths[{index}]", one)


def _path(path: str, one: Mapping[str, Any]) -> Iterator[FieldError]:
    kind, text = one.get("pathType"), one.get("path", "")
    if kind is None:
        yield errors.required(f"{path}.pathType", "pathType must be specified")
        return
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            yield errors.invalid(f"{path}.path", text, "must be an absolute path")
        yield from check.because(f"{path}.path", text, (f"must not contain '{part}'" for part in NOT_IN_PATHS if part in text))
        yield from check.because(f"{path}.path", text, (f"cannot end with '{end}'" for end in NOT_AT_END if text.endswith(end)))
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            yield errors.invalid(f"{path}.path", text, "must be an absolute path")
    else:
        yield errors.not_supported(f"{path}.pathType", kind, PATH_TYPES)
    yield from _backend(f"{path}.backend", one.get("backend") or {})


def _backend(path: str, backend: Mapping[str, Any]) -> Iterator[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        yield errors.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _resource(f"{path}.resource", resource)
    elif service is not None:
        yield from _service(path, service)
    else:
        yield errors.invalid(path, "", "resource or service backend is required")


def _resource(path: str, reference: Mapping[str, Any]) -> Iterator[FieldError]:
    if reference.get("apiGroup") is not None:
        yield from check.subdomain(f"{path}.apiGroup", reference["apiGroup"])
    yield from _segments(path, reference, ("kind", "name"))


def _segments(path: str, reference: Mapping[str, Any], fields: Sequence[str]) -> Iterator[FieldError]:
    for field in fields:
        if not reference.get(field):
            yield errors.required(f"{path}.{field}")
        else:
            yield from check.because(f"{path}.{field}", reference[field], names.path_segment(reference[field]))


def _service(path: str, service: Mapping[str, Any]) -> Iterator[FieldError]:
    name, port = service.get("name", ""), service.get("port") or {}
    if not name:
        yield errors.required(f"{path}.service.name")
    else:
        yield from check.label(f"{path}.service.name", name)
    if port.get("name") and port.get("number"):
        yield errors.invalid(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        yield from check.because(f"{path}.service.port.name", port["name"], check.port_name_reasons(port["name"]))
    elif port.get("number"):
        yield from check.port(f"{path}.service.port.number", port["number"])
    else:
        yield errors.required(path, "port name or number is required")


def ingress_class(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    controller, parameters = meta.spec(obj).get("controller", ""), meta.spec(obj).get("parameters")
    if len(controller) > CONTROLLER_MOST:
        yield errors.too_long("spec.controller", CONTROLLER_MOST)
    yield from jobs.domain_prefixed("spec.controller", controller)
    if parameters is not None:
        yield from _parameters("spec.parameters", parameters)
    if old is not None:
        yield from check.immutable("spec.controller", controller, meta.spec(old).get("controller", ""))


def _parameters(path: str, reference: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from _resource(path, reference)
    scope, namespace = reference.get("scope"), reference.get("namespace")
    if scope is None:
        yield errors.required(f"{path}.scope")
        return
    if namespace is not None:
        if not namespace:
            yield errors.required(f"{path}.namespace")
        else:
            yield from check.because(f"{path}.namespace", namespace, names.path_segment(namespace))
    if scope == "Namespace":
        if namespace is None:
            yield errors.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif scope == "Cluster":
        if namespace is not None:
            yield errors.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    else:
        yield errors.not_supported(f"{path}.scope", scope, ("Cluster", "Namespace"))
