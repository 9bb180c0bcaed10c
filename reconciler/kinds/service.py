"""Service: a stable name and address for a set of pods.

Addresses and node ports are allocated by the API server after the defaults here; families and policies that follow
from them are set there too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults, service_rules, workload
from reconciler.model import meta, selectors
from reconciler.model.kind import Health, Kind, Subresource, Version, status_of
from reconciler.model.selectors import Selector

HEADLESS = "None"
AFFINITY_SECONDS = 10800


def type_of(service: meta.Obj) -> str:
    return str(meta.spec(service).get("type") or "ClusterIP")


def is_headless(service: meta.Obj) -> bool:
    return meta.spec(service).get("clusterIP") == HEADLESS


def is_external_name(service: meta.Obj) -> bool:
    return type_of(service) == "ExternalName"


def cluster_ip(service: meta.Obj) -> str:
    """Its address; "" for a headless one and while it has none."""
    address = str(meta.spec(service).get("clusterIP") or "")
    return "" if address == HEADLESS else address


def cluster_ips(service: meta.Obj) -> tuple[str, ...]:
    found = meta.spec(service).get("clusterIPs") or [meta.spec(service).get("clusterIP") or ""]
    return tuple(address for address in found if address and address != HEADLESS)


def ports(service: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return meta.spec(service).get("ports") or ()


def has_node_ports(service: meta.Obj) -> bool:
    """Whether it is of a type that gets ports on every node."""
    allocates = meta.spec(service).get("allocateLoadBalancerNodePorts", True)
    return type_of(service) == "NodePort" or (type_of(service) == "LoadBalancer" and bool(allocates))


def has_selector(service: meta.Obj) -> bool:
    return bool(meta.spec(service).get("selector")) and not is_external_name(service)


def selector(service: meta.Obj) -> Selector:
    """Nothing without a selector: then somebody else keeps the endpoints."""
    return selectors.from_labels(meta.spec(service).get("selector"))


def publishes_not_ready(service: meta.Obj) -> bool:
    return bool(meta.spec(service).get("publishNotReadyAddresses"))


def affinity_seconds(service: meta.Obj) -> int:
    """How long a client stays with one pod; 0 without session affinity."""
    spec = meta.spec(service)
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    configured = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    return AFFINITY_SECONDS if configured is None else int(configured)


def is_local_only(service: meta.Obj, external: bool = False) -> bool:
    """Whether traffic (from outside where `external`) goes to pods of the same node only."""
    return meta.spec(service).get("externalTrafficPolicy" if external else "internalTrafficPolicy") == "Local"


def load_balancer_addresses(service: meta.Obj) -> tuple[str, ...]:
    ingress = (meta.status(service).get("loadBalancer") or {}).get("ingress") or ()
    return tuple(one.get("ip") or one.get("hostname") or "" for one in ingress)


def default(service: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(service, "spec", _default_spec)


def _default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = pod_defaults.filled(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["sessionAffinity"] == "None":
        spec = {name: value for name, value in spec.items() if name != "sessionAffinityConfig"}
    elif spec["sessionAffinity"] == "ClientIP" and not _has_timeout(spec):
        spec = {**spec, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}}
    spec = pod_defaults.mapped(spec, "ports", _default_port)
    external = spec["type"] in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs") and spec["type"] == "ClusterIP")
    if external:
        spec = pod_defaults.filled(spec, {"externalTrafficPolicy": "Cluster"})
    if spec["type"] != "ExternalName":
        spec = pod_defaults.filled(spec, {"internalTrafficPolicy": "Cluster"})
    if spec["type"] == "LoadBalancer":
        spec = pod_defaults.filled(spec, {"allocateLoadBalancerNodePorts": True})
    return spec


def _has_timeout(spec: Mapping[str, Any]) -> bool:
    return ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds") is not None


def _default_port(port: Mapping[str, Any]) -> Mapping[str, Any]:
    port = pod_defaults.filled(port, {"protocol": "TCP"})
    return port if port.get("targetPort") else {**port, "targetPort": port.get("port", 0)}


EXTERNAL = ("LoadBalancer", "NodePort")


def prepare(service: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    if old is not None:
        service = {**service, "spec": _without_unneeded(meta.spec(service), meta.spec(old))}
    service = {**service, "spec": _same_addresses(meta.spec(service), None if old is None else meta.spec(old))}
    return {**service, "status": {"loadBalancer": {}} if old is None else old.get("status") or {"loadBalancer": {}}}


def _without_unneeded(spec: Mapping[str, Any], old: Mapping[str, Any]) -> Mapping[str, Any]:
    """Who changes the type need not clear what only the old type had: what is as it was goes."""
    unneeded: tuple[str, ...] = ()
    if spec.get("type") == "ExternalName" != old.get("type"):
        unneeded += ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    if spec.get("type") not in EXTERNAL and old.get("type") in EXTERNAL:
        unneeded += ("externalTrafficPolicy",)
    if old.get("type") == "LoadBalancer" != spec.get("type"):
        unneeded += ("healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass")
    spec = {name: value for name, value in spec.items() if name not in unneeded or value != old.get(name)}
    numbers = [port.get("nodePort") for port in spec.get("ports") or ()]
    if spec.get("type") in EXTERNAL or old.get("type") not in EXTERNAL or numbers != [p.get("nodePort") for p in old.get("ports") or ()]:
        return spec
    ports = [{name: value for name, value in port.items() if name != "nodePort"} for port in spec.get("ports") or ()]
    return {**spec, "ports": ports}


def _same_addresses(spec: Mapping[str, Any], old: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """clusterIP is the first of clusterIPs; who sets or clears only one of them means both."""
    first, all_ips = spec.get("clusterIP", ""), spec.get("clusterIPs")
    if old is None:
        return {**spec, "clusterIPs": [first]} if first and not all_ips else spec
    was_first, were_all = old.get("clusterIP", ""), old.get("clusterIPs")
    if was_first and not first and all_ips == were_all:
        return {name: value for name, value in spec.items() if name != "clusterIPs"}
    if first == was_first and were_all and not all_ips:
        return {name: value for name, value in spec.items() if name != "clusterIP"}
    changed = first and first != was_first and all_ips == were_all
    return {**spec, "clusterIPs": [first]} if changed or (first and not all_ips) else spec


def health(service: meta.Obj) -> Health:
    if type_of(service) == "LoadBalancer" and not load_balancer_addresses(service):
        return Health("Progressing", "it waits for the address of a load balancer")
    return Health("Healthy")


def _external_cell(service: meta.Obj) -> str:
    given = tuple(meta.spec(service).get("externalIPs") or ())
    if is_external_name(service):
        return str(meta.spec(service).get("externalName", ""))
    if type_of(service) == "LoadBalancer":
        return ",".join((*load_balancer_addresses(service), *given)) or "<pending>"
    return ",".join(given) or columns.NONE


def _ports_cell(service: meta.Obj) -> str:
    texts = (f"{p['port']}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p.get('protocol', 'TCP')}" for p in ports(service))
    return columns.joined(texts)


KIND = Kind(
    group="",
    kind="Service",
    metadata_on_update="changes",
    plural="services",
    singular="service",
    short_names=("svc",),
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.core.v1.Service", default=default),),
    subresources=(
        Subresource(name="proxy", kind="ServiceProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
        status_of("Service"),
    ),
    prepare=prepare,
    prepare_status=workload.keep_spec,
    create_on_update=True,
    validate_status=service_rules.validate_status,
    validate=service_rules.validate,
    warn=service_rules.warn,
    columns=(
        columns.NAME,
        columns.column("Type", type_of, "@spec.type"),
        columns.column("Cluster-IP", lambda s: meta.spec(s).get("clusterIP") or columns.NONE, "@spec.clusterIP"),
        columns.column("External-IP", _external_cell, "@spec.externalIPs"),
        columns.column("Port(s)", _ports_cell, "@spec.ports"),
        columns.AGE,
        columns.column("Selector", lambda s: columns.labels_text(meta.spec(s).get("selector")), "@spec.selector", wide=True),
    ),
    selectable_fields={
        "spec.clusterIP": lambda s: str(meta.spec(s).get("clusterIP", "")),
        "spec.type": lambda s: str(meta.spec(s).get("type", "")),
    },
    name_rule="label",
    health=health,
    order=40,
)
