"""EndpointSlice and Endpoints: which addresses stand behind a Service."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults
from reconciler.model import meta
from reconciler.model.kind import Kind, Version

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MAX_ENDPOINTS = 100  # of a slice that a controller fills; 1000 are allowed


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
        plural="endpointslices",
        singular="endpointslice",
        versions=(Version(name="v1", schema="io.k8s.api.discovery.v1.EndpointSlice", default=default_slice),),
        prepare=prepare_slice,
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
        columns=(columns.NAME, columns.column("Endpoints", _addresses_cell, "@subsets"), columns.AGE),
        create_on_update=True,
        order=45,
    ),
)
