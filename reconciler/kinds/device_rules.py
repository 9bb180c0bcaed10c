"""What the kinds of resource.k8s.io must fulfil. Whether an expression compiles is asked elsewhere, as for policies."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import check, resources, scheduling, volumes
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError

Part = Mapping[str, Any]

MODES = ("All", "ExactCount")
RESOURCE = "io.k8s.api.resource.v1."
MOST_REQUESTS = 32
MOST_DEVICES = 128
IDENTIFIER_MOST = 32
DOMAIN_MOST = 63
TAINT_EFFECTS = ("NoExecute", "NoSchedule", "None")
ATTRIBUTE_TYPES = ("bool", "int", "string", "version", "bools", "ints", "strings", "versions")
UNKNOWN_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
NOT_IDENTIFIER = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'"
    " (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEMVER = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


def device_class(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    yield from _selectors("spec.selectors", spec.get("selectors") or ())
    for index, config in enumerate(spec.get("config") or ()):
        yield from _opaque(f"spec.config[{index}].opaque", config.get("opaque"))
    name = spec.get("extendedResourceName")
    if name is not None and not resources.is_extended(name):
        yield errors.invalid("spec.extendedResourceName", name, "must be a valid extended resource name")


def claim(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    yield from claim_spec("spec", meta.spec(obj))
    if old is not None:
        yield from check.immutable("spec", meta.spec(obj), meta.spec(old), definition=f"{RESOURCE}ResourceClaimSpec")


def claim_template(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    yield from check.labels("spec.metadata.labels", (spec.get("metadata") or {}).get("labels"))
    yield from claim_spec("spec.spec", spec.get("spec") or {})
    if old is not None:
        yield from check.immutable("spec", spec, meta.spec(old), definition=f"{RESOURCE}ResourceClaimTemplateSpec")


def claim_spec(path: str, spec: Part) -> Iterator[FieldError]:
    devices = spec.get("devices") or {}
    known: dict[str, tuple[str, ...]] = {}
    found = devices.get("requests") or ()
    if len(found) > MOST_REQUESTS:
        yield errors.too_many(f"{path}.devices.requests", len(found), MOST_REQUESTS)
    for index, request in enumerate(found):
        at, name = f"{path}.devices.requests[{index}]", request.get("name", "")
        yield from _request(at, request)
        if name in known:
            yield errors.duplicate(at, name)
        known[name] = tuple(one.get("name", "") for one in request.get("firstAvailable") or ())
    for index, constraint in enumerate(devices.get("constraints") or ()):
        yield from _constraint(f"{path}.devices.constraints[{index}]", constraint, known)
    for index, config in enumerate(devices.get("config") or ()):
        at = f"{path}.devices.config[{index}]"
        yield from _request_names(f"{at}.requests", config.get("requests") or (), known)
        yield from _opaque(f"{at}.opaque", config.get("opaque"))


def _request(path: str, request: Part) -> Iterator[FieldError]:
    yield from _label_required(f"{path}.name", request.get("name", ""))
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable")
    only_one = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is not None and alternatives:
        yield errors.invalid(path, None, f"{only_one}, but multiple fields are set")
    elif exactly is None and not alternatives:
        yield errors.required(path, only_one)
    if exactly is not None:
        yield from _device_request(f"{path}.exactly", exactly)
    seen: set[str] = set()
    for index, one in enumerate(alternatives or ()):
        at, name = f"{path}.firstAvailable[{index}]", one.get("name", "")
        yield from _label_required(f"{at}.name", name)
        yield from _device_request(at, one)
        if name in seen:
            yield errors.duplicate(at, name)
        seen.add(name)


def _label_required(path: str, name: str) -> Iterator[FieldError]:
    if not name:
        yield errors.required(path)
    else:
        yield from check.label(path, name)


def _device_request(path: str, request: Part) -> Iterator[FieldError]:
    name, mode, count = request.get("deviceClassName", ""), request.get("allocationMode", ""), request.get("count", 0)
    if not name:
        yield errors.required(f"{path}.deviceClassName")
    else:
        yield from check.subdomain(f"{path}.deviceClassName", name)
    yield from _selectors(f"{path}.selectors", request.get("selectors") or ())
    if mode == "All":
        if count:
            yield errors.invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount":
        yield from check.positive(f"{path}.count", count)
    else:
        yield errors.not_supported(f"{path}.allocationMode", mode, MODES)
    for index, toleration in enumerate(request.get("tolerations") or ()):
        yield from _toleration(f"{path}.tolerations[{index}]", toleration)


def _toleration(path: str, toleration: Part) -> Iterator[FieldError]:
    key, operator, value = (toleration.get(name, "") for name in ("key", "operator", "value"))
    if key:
        yield from check.qualified(f"{path}.key", key)
    if operator == "Exists":
        if value:
            yield errors.invalid(f"{path}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from check.because(f"{path}.value", value, names.label_value(value))
    else:
        yield from check.required_one_of(f"{path}.operator", operator, ("Equal", "Exists"))
    if toleration.get("effect"):
        yield from check.one_of(f"{path}.effect", toleration["effect"], TAINT_EFFECTS[:2])


def _selectors(path: str, found: Sequence[Part]) -> Iterator[FieldError]:
    if len(found) > MOST_REQUESTS:
        yield errors.too_many(path, len(found), MOST_REQUESTS)
    for index, selector in enumerate(found):
        if selector.get("cel") is None:
            yield errors.required(f"{path}[{index}].cel")
            continue
        from reconciler.kinds import device_cel  # as long to import as all the other kinds

        yield from device_cel.refused(f"{path}[{index}].cel.expression", selector["cel"].get("expression", ""))


def _constraint(path: str, constraint: Part, known: Mapping[str, tuple[str, ...]]) -> Iterator[FieldError]:
    yield from _request_names(f"{path}.requests", constraint.get("requests") or (), known)
    matched, distinct = constraint.get("matchAttribute"), constraint.get("distinctAttribute")
    if (matched is None) == (distinct is None):
        only_one = 'exactly one of "matchAttribute" or "distinctAttribute" is required'
        yield errors.required(path, f"{only_one}, but multiple fields are set")  # as Kubernetes says it of none, too
    elif matched is not None:
        yield from _full_name(f"{path}.matchAttribute", matched)
    elif distinct is not None:
        yield from _full_name(f"{path}.distinctAttribute", distinct)


def _request_names(path: str, found: Sequence[str], known: Mapping[str, tuple[str, ...]]) -> Iterator[FieldError]:
    for index, text in enumerate(found):
        at = f"{path}[{index}]"
        for part in text.split("/"):
            yield from check.because(at, part, names.dns_label(part))
        name, slash, inner = text.partition("/")
        if name not in known or (slash and inner not in known[name]):
            yield errors.invalid(at, text, UNKNOWN_REQUEST)
        if text in found[:index]:
            yield errors.duplicate(at, text)


def _full_name(path: str, text: str) -> Iterator[FieldError]:
    """domain/identifier"""
    domain, slash, identifier = text.rpartition("/")
    if slash:
        yield from _domain(path, domain)
    yield from _identifier(path, identifier)
    if not slash:
        yield errors.invalid(path, text, "a fully qualified name must be a domain and a name separated by a slash")


def _domain(path: str, text: str) -> Iterator[FieldError]:
    if not text:
        yield errors.required(path, "the domain must not be empty")
        return
    if len(text) > DOMAIN_MOST:
        yield errors.too_long(path, DOMAIN_MOST)
    yield from check.subdomain(path, text)


def _identifier(path: str, text: str) -> Iterator[FieldError]:
    if len(text) > IDENTIFIER_MOST:
        yield errors.too_long(path, IDENTIFIER_MOST)
    if not _IDENTIFIER.fullmatch(text):
        yield errors.invalid(path, text, NOT_IDENTIFIER)


def _opaque(path: str, opaque: Part | None) -> Iterator[FieldError]:
    if opaque is None:
        yield errors.required(path)
        return
    yield from volumes.driver_name(f"{path}.driver", opaque.get("driver", ""))
    if opaque.get("parameters") is None:
        yield errors.required(f"{path}.parameters")
    elif not isinstance(opaque["parameters"], dict):
        yield errors.invalid(f"{path}.parameters", "<value omitted>", "must be a valid JSON object")


# Slices: what a driver offers on a node.


def slice(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    yield from volumes.driver_name("spec.driver", spec.get("driver", ""))
    if old is not None:
        yield from check.immutable("spec.driver", spec.get("driver"), meta.spec(old).get("driver"))
    yield from _pool("spec.pool", spec.get("pool") or {})
    if old is not None:
        before = (meta.spec(old).get("pool") or {}).get("name")
        yield from check.immutable("spec.pool.name", (spec.get("pool") or {}).get("name"), before)
        yield from check.immutable("spec.nodeName", spec.get("nodeName"), meta.spec(old).get("nodeName"))
    yield from _placement(spec)
    seen: set[str] = set()
    devices = spec.get("devices") or ()
    if len(devices) > MOST_DEVICES:
        yield errors.too_many("spec.devices", len(devices), MOST_DEVICES)
    for index, device in enumerate(devices):
        at, name = f"spec.devices[{index}]", device.get("name", "")
        yield from _device(at, device)
        if name in seen:
            yield errors.duplicate(at, name)
        seen.add(name)


def _pool(path: str, pool: Part) -> Iterator[FieldError]:
    name = pool.get("name", "")
    if not name:
        yield errors.required(f"{path}.name")
    for part in name.split("/") if name else ():
        yield from check.subdomain(f"{path}.name", part)
    if pool.get("resourceSliceCount", 0) <= 0:
        yield errors.invalid(f"{path}.resourceSliceCount", pool.get("resourceSliceCount", 0), check.NOT_POSITIVE)
    if pool.get("generation", 0) < 0:
        yield errors.invalid(f"{path}.generation", pool["generation"], "must be greater than or equal to zero")


def _placement(spec: Part) -> Iterator[FieldError]:
    fields = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
    given = [f"`{name}`" for name in fields if spec.get(name) not in (None, "", False)]
    if spec.get("nodeName"):
        yield from check.subdomain("spec.nodeName", spec["nodeName"])
    selector = spec.get("nodeSelector")
    if selector is not None:
        yield from scheduling.node_selector("spec.nodeSelector", selector)
        if len(selector.get("nodeSelectorTerms") or ()) != 1:
            terms = selector.get("nodeSelectorTerms")
            shown = None if terms is None else [scheduling.internal_term(term) for term in terms]
            yield errors.invalid("spec.nodeSelector.nodeSelectorTerms", shown, "must have exactly one node selector term")
    for name in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(name) is False:
            yield errors.invalid(f"spec.{name}", False, "must be either unset or set to true")
    only_one = "exactly one of " + ", ".join(f"`{name}`" for name in fields) + " is required"
    if not given:
        yield errors.required("spec", only_one)
    elif len(given) > 1:
        yield errors.invalid("spec", "{" + ", ".join(given) + "}", f"{only_one}, but multiple fields are set")


def _device(path: str, device: Part) -> Iterator[FieldError]:
    yield from check.label(f"{path}.name", device.get("name", ""))
    for name, value in (device.get("attributes") or {}).items():
        at = f"{path}.attributes[{name}]"
        yield from _full_name(at, name) if "/" in name else _identifier(at, name)
        yield from _attribute(at, value)
    for index, taint in enumerate(device.get("taints") or ()):
        yield from _taint(f"{path}.taints[{index}]", taint)


def _attribute(path: str, value: Part) -> Iterator[FieldError]:
    given = [kind for kind in ATTRIBUTE_TYPES if value.get(kind) is not None]
    if len(given) != 1:
        yield errors.invalid(path, "", "exactly one value must be specified")
        return
    text = value[given[0]]
    if given[0] in ("string", "version") and len(text) > 64:
        yield errors.too_long(f"{path}.{given[0]}", 64)
    if given[0] == "version" and not _SEMVER.fullmatch(text):
        yield errors.invalid(f"{path}.version", text, "must be a string compatible with semver.org spec 2.0.0")


def _taint(path: str, taint: Part) -> Iterator[FieldError]:
    yield from check.qualified(f"{path}.key", taint.get("key", ""))
    value, effect = taint.get("value", ""), taint.get("effect", "")
    yield from check.because(f"{path}.value", value, names.label_value(value))
    yield from check.required_one_of(f"{path}.effect", effect, TAINT_EFFECTS)
