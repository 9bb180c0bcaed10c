"""What a pod may refer to: fields of its own, resources of its containers, keys of ConfigMaps and Secrets."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import check
from reconciler.model import errors, names, quantity
from reconciler.model.errors import FieldError

FIELDS_OF_ENV = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
FIELDS_OF_VOLUMES = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
CONVERTIBLE = frozenset({*FIELDS_OF_ENV, *FIELDS_OF_VOLUMES, "spec.restartPolicy", "spec.schedulerName", "status.phase"})
RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
HUGE_PAGE_PREFIXES = ("limits.hugepages-", "requests.hugepages-")
CPU_DIVISORS: tuple[str, ...] = ("1m", "1")
BYTE_DIVISORS: tuple[str, ...] = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")

_SUBSCRIPTED = re.compile(r"(.+)\['(.*)'\]")


def pull_policy(path: str, policy: str) -> Iterator[FieldError]:
    yield from check.required_one_of(path, policy, PULL_POLICIES)


def field(path: str, reference: Mapping[str, Any], allowed: Sequence[str]) -> Iterator[FieldError]:
    """A fieldRef: one of `allowed`, or one label or annotation by its key."""
    if not reference.get("apiVersion"):
        yield errors.required(f"{path}.apiVersion")
        return
    wanted = reference.get("fieldPath", "")
    if not wanted:
        yield errors.required(f"{path}.fieldPath")
        return
    subscripted = _SUBSCRIPTED.fullmatch(wanted)
    base = subscripted[1] if subscripted else wanted
    if reference["apiVersion"] != "v1":
        detail = f"error converting fieldPath: unsupported pod version: {reference['apiVersion']}"
        yield errors.invalid(f"{path}.fieldPath", wanted, detail)
    elif base not in CONVERTIBLE or (subscripted and base not in ("metadata.labels", "metadata.annotations")):
        detail = f"error converting fieldPath: field label {'does not support subscript' if base in CONVERTIBLE else 'not supported'}"
        yield errors.invalid(f"{path}.fieldPath", wanted, f"{detail}: {base if subscripted else wanted}")
    elif subscripted:
        key = subscripted[2].lower() if base == "metadata.annotations" else subscripted[2]
        yield from check.because(path, key, names.qualified(key))
    elif wanted not in allowed:
        yield errors.not_supported(f"{path}.fieldPath", wanted, sorted(allowed))


def resource(path: str, reference: Mapping[str, Any], *, of_volume: bool) -> Iterator[FieldError]:
    """A resourceFieldRef."""
    wanted = reference.get("resource", "")
    if of_volume and not reference.get("containerName"):
        yield errors.required(f"{path}.containerName")
    elif not wanted:
        yield errors.required(f"{path}.resource")
    elif wanted not in RESOURCES and not wanted.startswith(HUGE_PAGE_PREFIXES):
        yield errors.not_supported(f"{path}.resource", wanted, RESOURCES)
    yield from _divisor(f"{path}.divisor", wanted, reference.get("divisor", "0"))


def _divisor(path: str, wanted: str, divisor: str) -> Iterator[FieldError]:
    if quantity.parse(divisor).nano == 0:
        return
    kind = wanted.partition(".")[2]
    if kind == "cpu":
        allowed, name = CPU_DIVISORS, "cpu"
        text = "only divisor's values 1m and 1 are supported with the cpu resource"
    elif kind in ("memory", "ephemeral-storage") or kind.startswith("hugepages-"):
        allowed = BYTE_DIVISORS
        name = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(kind, "hugepages")
        text = f"only divisor's values {', '.join(BYTE_DIVISORS)} are supported with the {name} resource"
    else:
        return
    if divisor not in allowed:
        yield errors.invalid(path, wanted, text)


def key(path: str, selector: Mapping[str, Any]) -> Iterator[FieldError]:
    """A configMapKeyRef or secretKeyRef."""
    name = selector.get("name", "")
    yield from check.because(f"{path}.name", name, names.dns_subdomain(name))
    if not selector.get("key"):
        yield errors.required(f"{path}.key")
    else:
        yield from check.because(f"{path}.key", selector["key"], check.config_key_reasons(selector["key"]))
