"""EndpointSlice and Endpoints: which addresses stand behind a Service."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults
from reconciler.kinds.rules import addresses, check
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind, Version

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MAX_ENDPOINTS = 100  # of a slice that a controller fills
MOST_ENDPOINTS = 1000
MOST_ADDRESSES = 100
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


def service_name(slice: meta.Obj) -> str:
    return str(meta.labels(slice).get(SERVICE_LABEL, ""))


def endpoints(slice: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return slice.get("endpoints") or ()


def ports(slice: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return slice.get("ports") or ()


def is_ready(endpoint: Mapping[str, Any]) -> bool:
    """An unset condition counts as ready."""
    return (endpoint.get("conditions") or {}).get("ready") is not False


def is_serving(endpoint: Mapping[str, Any]) -> bool:
    """Ready, whether terminating or not; unset means what `ready` says."""
    conditions = endpoint.get("conditions") or {}
    return conditions.get("serving", conditions.get("ready")) is not False


def is_terminating(endpoint: Mapping[str, Any]) -> bool:
    return bool((endpoint.get("conditions") or {}).get("terminating"))


def default_slice(slice: meta.Obj) -> meta.Obj:
    return pod_defaults.mapped(slice, "ports", lambda port: pod_defaults.filled(port, {"name": "", "protocol": "TCP"}))


def default_endpoints(obj: meta.Obj) -> meta.Obj:
    def subset(one: Mapping[str, Any]) -> Mapping[str, Any]:
        return pod_defaults.mapped(one, "ports", lambda port: pod_defaults.filled(port, {"protocol": "TCP"}))

    return pod_defaults.mapped(obj, "subsets", subset)


def validate_slice(slice: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    kind, found = slice.get("addressType", ""), endpoints(slice)
    yield from check.required_one_of("addressType", kind, ADDRESS_TYPES)
    if len(found) > MOST_ENDPOINTS:
        yield errors.too_many("endpoints", len(found), MOST_ENDPOINTS)
    for index, endpoint in enumerate(found):
        yield from _validate_endpoint(f"endpoints[{index}]", endpoint, kind)
    names_seen: set[str] = set()
    for index, port in enumerate(ports(slice)):
        at, name = f"ports[{index}]", port.get("name", "")
        if name:
            yield from check.label(f"{at}.name", name)
        if name in names_seen:
            yield errors.duplicate(f"{at}.name", name)
        names_seen.add(name)
        yield from check.required_one_of(f"{at}.protocol", port.get("protocol", ""), check.PROTOCOLS)
        yield from check.between(f"{at}.port", port.get("port"), 1, 65535)
        if port.get("appProtocol") is not None:
            yield from check.qualified(f"{at}.appProtocol", port["appProtocol"])
    if old is not None:
        yield from check.immutable("addressType", kind, old.get("addressType"))


def _validate_endpoint(path: str, endpoint: Mapping[str, Any], kind: str) -> Iterator[FieldError]:
    found = endpoint.get("addresses") or ()
    if not found:
        yield errors.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(found) > MOST_ADDRESSES:
        yield errors.too_many(f"{path}.addresses", len(found), MOST_ADDRESSES)
    for index, address in enumerate(found):
        at = f"{path}.addresses[{index}]"
        if kind == "FQDN":
            yield from check.subdomain(at, address)
        elif kind in ("IPv4", "IPv6"):
            reasons = check.ip_reasons(address)
            if not reasons and addresses.family(address) != kind:
                reasons = (f"must be an {kind} address",)
            yield from check.because(at, address, reasons)
            if not reasons:
                yield from addresses.not_special(at, address)
    for field, rule in (("nodeName", check.subdomain), ("hostname", check.label)):
        if endpoint.get(field) is not None:
            yield from rule(f"{path}.{field}", endpoint[field])


def warn_of_slice(slice: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    """Of slices that were made by hand: a controller cannot read warnings."""
    if old is not None or MANAGED_BY_LABEL in meta.labels(slice):
        return
    if slice.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
        return
    for index, endpoint in enumerate(endpoints(slice)):
        for at, address in enumerate(endpoint.get("addresses") or ()):
            yield from addresses.warnings(f"endpoints[{index}].addresses[{at}]", address)


def validate_endpoints(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    for index, subset in enumerate(obj.get("subsets") or ()):
        at = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield errors.required(at, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for position, address in enumerate(subset.get(field) or ()):
                yield from _validate_address(f"{at}.{field}[{position}]", address)
        many = len(subset.get("ports") or ()) > 1
        for position, port in enumerate(subset.get("ports") or ()):
            yield from _validate_port(f"{at}.ports[{position}]", port, named=many)


def _validate_address(path: str, address: Mapping[str, Any]) -> Iterator[FieldError]:
    ip = address.get("ip", "")
    yield from check.ip(f"{path}.ip", ip)
    if address.get("hostname"):
        yield from check.label(f"{path}.hostname", address["hostname"])
    if address.get("nodeName") is not None:
        yield from check.subdomain(f"{path}.nodeName", address["nodeName"])
    yield from addresses.not_special(f"{path}.ip", ip)


def _validate_port(path: str, port: Mapping[str, Any], *, named: bool) -> Iterator[FieldError]:
    name = port.get("name", "")
    if named and not name:
        yield errors.required(f"{path}.name")
    elif name:
        yield from check.label(f"{path}.name", name)
    yield from check.port(f"{path}.port", port.get("port", 0))
    yield from check.required_one_of(f"{path}.protocol", port.get("protocol", ""), check.PROTOCOLS)
    if port.get("appProtocol") is not None:
        yield from check.qualified(f"{path}.appProtocol", port["appProtocol"])


def prepare_slice(slice: meta.Obj, _: meta.Obj | None) -> meta.Obj:
    """The topology of the beta API cannot be written any more."""
    return pod_defaults.mapped(slice, "endpoints", lambda endpoint: meta.without(endpoint, ("deprecatedTopology",)))


def _slice_ports_cell(slice: meta.Obj) -> str:
    texts = [str(port.get("port") or port.get("name") or "*") for port in ports(slice)]
    return columns.first_few(texts, nothing=columns.UNSET)


def _slice_addresses_cell(slice: meta.Obj) -> str:
    texts = [address for one in endpoints(slice) for address in one.get("addresses") or ()]
    return columns.first_few(texts, nothing=columns.UNSET)


def _addresses_cell(obj: meta.Obj) -> str:
    texts = list(_subset_addresses(obj.get("subsets") or ()))
    return columns.first_few(texts)


def _subset_addresses(subsets: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    for subset in subsets:
        addresses = [one["ip"] for one in subset.get("addresses") or ()]
        if not subset.get("ports"):
            yield from addresses
        for port in subset.get("ports") or ():
            for ip in addresses:
                yield f"[{ip}]:{port['port']}" if ":" in ip else f"{ip}:{port['port']}"


KINDS = (
    Kind(
        group="discovery.k8s.io",
        kind="EndpointSlice",
        metadata_on_update="whole",
        plural="endpointslices",
        singular="endpointslice",
        versions=(Version(name="v1", schema="io.k8s.api.discovery.v1.EndpointSlice", default=default_slice),),
        prepare=prepare_slice,
        validate=validate_slice,
        warn=warn_of_slice,
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column("AddressType", lambda s: s.get("addressType", ""), "@addressType"),
            columns.column("Ports", _slice_ports_cell, "@ports"),
            columns.column("Endpoints", _slice_addresses_cell, "@endpoints"),
            columns.AGE,
        ),
        order=45,
    ),
    Kind(
        group="",
        kind="Endpoints",
        plural="endpoints",
        singular="endpoints",
        short_names=("ep",),
        list_kind="EndpointsList",
        versions=(
            Version(
                name="v1",
                schema="io.k8s.api.core.v1.Endpoints",
                default=default_endpoints,
                deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
            ),
        ),
        validate=validate_endpoints,
        columns=(columns.NAME, columns.column("Endpoints", _addresses_cell, "@subsets"), columns.AGE),
        create_on_update=True,
        order=45,
    ),
)
