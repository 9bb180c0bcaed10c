"""Requests and limits of containers and pods, and the names of resources."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds.rules import check
from reconciler.model import errors, names, quantity
from reconciler.model.errors import FieldError

STANDARD = frozenset(
    {
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "storage",
        "requests.storage",
        "services.nodeports",
        "services.loadbalancers",
    }
)
COUNTED = STANDARD - {name for name in STANDARD if name.endswith(("cpu", "memory", "storage"))}
OF_CONTAINERS = frozenset({"cpu", "memory", "ephemeral-storage"})
OF_PODS = ("cpu", "hugepages-", "memory")
HUGE_PAGES = "hugepages-"
NATIVE_DOMAIN = "kubernetes.io/"
NOT_STANDARD = "must be a standard resource type or fully qualified"
NOT_OF_CONTAINER = "must be a standard resource for containers"


def is_native(name: str) -> bool:
    """Not of a vendor's domain."""
    return "/" not in name or NATIVE_DOMAIN in name


def is_extended(name: str) -> bool:
    return not (is_native(name) or name.startswith("requests.")) and not names.qualified(f"requests.{name}")


def is_integer(name: str) -> bool:
    """Counted in whole things: extended resources and counts of objects."""
    return is_extended(name) or name in COUNTED


def is_overcommittable(name: str) -> bool:
    return is_native(name) and not name.startswith(HUGE_PAGES)


def resource_name(path: str, name: str) -> Iterator[FieldError]:
    """Any resource that Kubernetes knows, or a qualified one."""
    found = list(check.because(path, name, names.qualified(name)))
    yield from found
    if not found and "/" not in name and name not in STANDARD and not name.startswith((HUGE_PAGES, "requests.hugepages-")):
        yield errors.invalid(path, name, NOT_STANDARD)


def container_resource_name(path: str, name: str) -> Iterator[FieldError]:
    yield from resource_name(path, name)
    if "/" not in name:
        if name not in OF_CONTAINERS and not name.startswith(HUGE_PAGES):
            yield errors.invalid(path, name, NOT_OF_CONTAINER)
    elif not is_native(name) and not is_extended(name):
        yield errors.invalid(path, name, "doesn't follow extended resource name standard")


def amount(path: str, name: str, text: str) -> Iterator[FieldError]:
    """Not negative, and whole where parts make no sense."""
    yield from check.plain_quantity(path, text)
    if is_integer(name) and quantity.parse(text).milli % 1000:
        yield errors.invalid(path, text, "must be an integer")


def requirements(path: str, resources: Mapping[str, Any], claims: Iterable[str]) -> Iterator[FieldError]:
    """Of a container."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, text in limits.items():
        yield from container_resource_name(f"{path}.limits[{name}]", name)
        yield from amount(f"{path}.limits[{name}]", name, text)
    for name, text in requests.items():
        yield from container_resource_name(f"{path}.requests[{name}]", name)
        yield from amount(f"{path}.requests[{name}]", name, text)
        yield from _within_limit(path, name, text, limits)
    both = {**limits, **requests}
    if any(name.startswith(HUGE_PAGES) for name in both) and not {"cpu", "memory"} & both.keys():
        yield errors.forbidden(path, "HugePages require cpu or memory")
    yield from _claims(f"{path}.claims", resources.get("claims") or (), tuple(claims))


def pod_requirements(path: str, resources: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[FieldError]:
    """Of a whole pod: only cpu, memory and huge pages."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    if resources.get("claims"):
        yield errors.forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level")
        names_of_claims = tuple(one.get("name", "") for one in spec.get("resourceClaims") or ())
        yield from _claims(f"{path}.claims", resources["claims"], names_of_claims)
    for field, found in (("limits", limits), ("requests", requests)):
        for name, text in found.items():
            at = f"{path}.{field}[{name}]"
            wrong = list(check.because(at, name, names.qualified(name)))
            yield from wrong
            if not wrong and name not in ("cpu", "memory") and not name.startswith(HUGE_PAGES):
                yield errors.not_supported(at, name, OF_PODS)
            yield from amount(at, name, text)
            if field == "requests":
                yield from _within_limit(path, name, text, limits)


def _within_limit(path: str, name: str, text: str, limits: Mapping[str, str]) -> Iterator[FieldError]:
    limit = limits.get(name)
    if limit is None:
        if not is_overcommittable(name):
            yield errors.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    if quantity.compare(text, limit) != 0 and not is_overcommittable(name):
        yield errors.invalid(f"{path}.requests", text, f"must be equal to {name} limit of {limit}")
    elif quantity.compare(text, limit) > 0:
        yield errors.invalid(f"{path}.requests", text, f"must be less than or equal to {name} limit of {limit}")


def _claims(path: str, claims: Iterable[Mapping[str, Any]], known: tuple[str, ...]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        name, request = claim.get("name", ""), claim.get("request", "")
        at = f"{path}[{index}]"
        if not name:
            yield errors.required(f"{at}.name")
            continue
        key = f"{name}/{request}" if request else name
        if key in seen or name in seen:
            yield errors.duplicate(at, key)
        seen.add(key)
        if name not in known:
            extra = " which is empty" if not known else ""
            yield errors.not_found_in(at, name, f"must be one of the names in pod.spec.resourceClaims{extra}")
