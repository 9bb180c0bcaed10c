"""What a Service must fulfil. Whether an address or node port is free is for the API server to tell."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import addresses, check, statuses
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError

Spec = Mapping[str, Any]

HINTS_ANNOTATION = "service.kubernetes.io/topology-aware-hints"
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
POLICIES = ("Cluster", "Local")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
KUBELET_PORT = 10250
AFFINITY_MOST_SECONDS = 86400
ONCE = "may not change once set"
OF_BALANCERS = "may only be used when `type` is 'LoadBalancer'"


def validate(service: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(service)
    if old is not None:
        yield from _update(spec, meta.spec(old))
    kind, ports = spec.get("type", ""), spec.get("ports") or ()
    headless = (spec.get("clusterIPs") or [spec.get("clusterIP", "")])[0] == "None"
    if not ports and not headless and kind != "ExternalName":
        yield errors.required("spec.ports")
    yield from _of_type(spec, headless)
    yield from _ports(ports)
    yield from check.labels("spec.selector", spec.get("selector"))
    yield from _affinity(spec)
    if kind != "ExternalName":
        yield from _cluster_ips(spec, headless)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        reasons = check.ip_reasons(address)
        yield from check.because(f"spec.externalIPs[{index}]", address, reasons)
        if not reasons:
            yield from addresses.not_special(f"spec.externalIPs[{index}]", address)
    yield from check.required_one_of("spec.type", kind, TYPES)
    yield from _port_conflicts(kind, ports)
    yield from _balancing(spec)
    yield from _policies(spec)


def validate_status(service: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    if old is None and meta.spec(service).get("type") != "ExternalName":  # a PUT of a status would make it, without an address
        yield errors.required("spec.clusterIPs")
    yield from statuses.load_balancer("status.loadBalancer", meta.spec(service), meta.status(service).get("loadBalancer") or {})


def _of_type(spec: Spec, headless: bool) -> Iterator[FieldError]:
    kind = spec.get("type", "")
    if kind == "LoadBalancer":
        for index, port in enumerate(spec.get("ports") or ()):
            if port.get("port") == KUBELET_PORT:
                detail = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
                yield errors.invalid(f"spec.ports[{index}]", KUBELET_PORT, detail)
    if kind in ("LoadBalancer", "NodePort") and headless:
        yield errors.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield errors.forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = spec.get("externalName", "").removesuffix(".")
    if name:
        yield from check.because("spec.externalName", name, names.dns_subdomain(name))
    else:
        yield errors.required("spec.externalName")


def _ports(ports: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"spec.ports[{index}]", port.get("name", "")
        if not name and len(ports) > 1:
            yield errors.required(f"{at}.name")
        elif name:
            yield from check.because(f"{at}.name", name, names.dns_label(name))
            if name in seen:
                yield errors.duplicate(f"{at}.name", name)
            seen.add(name)
        yield from check.port(f"{at}.port", port.get("port", 0))
        yield from check.required_one_of(f"{at}.protocol", port.get("protocol", ""), check.PROTOCOLS)
        yield from check.port_or_name(f"{at}.targetPort", port.get("targetPort", 0))
        if port.get("appProtocol") is not None:
            yield from check.qualified(f"{at}.appProtocol", port["appProtocol"])


def _port_conflicts(kind: str, ports: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    taken: set[tuple[Any, Any]] = set()
    node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        node_port = port.get("nodePort")
        if kind == "ClusterIP" and node_port:
            yield errors.forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
        if node_port and (port.get("protocol"), node_port) in node_ports:
            yield errors.duplicate(f"spec.ports[{index}].nodePort", node_port)
        node_ports.add((port.get("protocol"), node_port))
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in taken:
            shown = check.internal(port, Name="", Protocol="", AppProtocol=None, Port=0, TargetPort=0, NodePort=0)
            yield errors.duplicate(f"spec.ports[{index}]", {**(shown or {}), "Name": "", "TargetPort": 0, "NodePort": 0})
        taken.add(key)


def _affinity(spec: Spec) -> Iterator[FieldError]:
    affinity, config = spec.get("sessionAffinity", ""), spec.get("sessionAffinityConfig")
    yield from check.required_one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    path = "spec.sessionAffinityConfig"
    if affinity == "None" and config is not None:
        yield errors.forbidden(path, "must not be set when session affinity is None")
    if affinity == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if seconds is None:
            yield errors.required(path, "when session affinity type is ClientIP")
        elif not 0 < seconds <= AFFINITY_MOST_SECONDS:
            detail = f"must be greater than 0 and less than {AFFINITY_MOST_SECONDS}"
            yield errors.invalid(f"{path}.clientIP.timeoutSeconds", seconds, detail)


def _cluster_ips(spec: Spec, headless: bool) -> Iterator[FieldError]:
    path, found, first = "spec.clusterIPs", list(spec.get("clusterIPs") or ()), spec.get("clusterIP", "")
    if first and not found:
        yield errors.required(path)
    elif first and found[0] != first:
        yield errors.invalid(path, found, "first value must match `clusterIP`")
    elif found and not first:
        yield errors.invalid(path, found, "must be empty when `clusterIP` is not specified")
    families = list(spec.get("ipFamilies") or ())
    for index, family in enumerate(families):
        yield from check.one_of(f"spec.ipFamilies[{index}]", family, FAMILIES)
        if family in families[:index]:
            yield errors.duplicate(f"spec.ipFamilies[{index}]", family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None:
        yield from check.one_of("spec.ipFamilyPolicy", policy, FAMILY_POLICIES)
    refused = []
    for index, address in enumerate(found):
        if address == "None" and index == 0:
            refused += [errors.invalid(path, found, "'None' must be the first and only value")] if len(found) > 1 else []
        else:
            refused += check.ip(f"{path}[{index}]", address)
    yield from refused
    if len(found) > 2:
        yield errors.invalid(path, found, "may only hold up to 2 values")
    if refused:
        return
    if len(found) > 1 and not addresses.one_per_family(found):
        yield errors.invalid(path, found, "may specify no more than one IP for each IP family")
    for index, (address, family) in enumerate(zip(() if headless else found, families, strict=False)):
        if addresses.family(address) != family:
            yield errors.invalid(f"{path}[{index}]", address, f"expected an {family} value as indicated by `ipFamilies[{index}]`")


def _balancing(spec: Spec) -> Iterator[FieldError]:
    kind, path = spec.get("type", ""), "spec.LoadBalancerSourceRanges"
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges and kind != "LoadBalancer":
        yield errors.forbidden(path, OF_BALANCERS)
    for index, text in enumerate(ranges):
        yield from check.because(f"{path}[{index}]", text, addresses.cidr_reasons(text.strip()))
    if spec.get("allocateLoadBalancerNodePorts") is not None and kind != "LoadBalancer":
        yield errors.forbidden("spec.allocateLoadBalancerNodePorts", OF_BALANCERS)
    balancer = spec.get("loadBalancerClass")
    if balancer is not None and kind != "LoadBalancer":
        yield errors.forbidden("spec.loadBalancerClass", OF_BALANCERS)
    elif balancer is not None:
        yield from check.qualified("spec.loadBalancerClass", balancer)


def _policies(spec: Spec) -> Iterator[FieldError]:
    kind, external = spec.get("type", ""), spec.get("externalTrafficPolicy", "")
    accessible = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if not accessible and external:
        yield errors.invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services")
    elif accessible:
        yield from check.required_one_of("spec.externalTrafficPolicy", external, POLICIES)
    needs_health = kind == "LoadBalancer" and external == "Local"
    health = spec.get("healthCheckNodePort", 0)
    if health and not needs_health:
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield errors.invalid("spec.healthCheckNodePort", health, detail)
    elif health:
        yield from check.port("spec.healthCheckNodePort", health)
    internal = spec.get("internalTrafficPolicy")
    if internal is None:
        if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
            yield errors.required("spec.internalTrafficPolicy")
    else:
        yield from check.one_of("spec.internalTrafficPolicy", internal, POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None:
        yield from check.one_of("spec.trafficDistribution", distribution, DISTRIBUTIONS, sort=False)


def _update(new: Spec, old: Spec) -> Iterator[FieldError]:
    """Primary address and family stay; a second one may come and go."""
    if "ExternalName" not in (new.get("type"), old.get("type")):
        yield from _primary_kept("clusterIPs", new, old)
        yield from _primary_kept("ipFamilies", new, old)
    both_balanced = new.get("type") == "LoadBalancer" == old.get("type")
    if both_balanced and new.get("loadBalancerClass") != old.get("loadBalancerClass"):
        yield errors.invalid("spec.loadBalancerClass", new.get("loadBalancerClass"), ONCE)


def _primary_kept(field: str, new: Spec, old: Spec) -> Iterator[FieldError]:
    now, before = new.get(field) or [], old.get(field) or []
    for index in range(min(len(now), len(before))):
        if now[index] != before[index]:
            yield errors.invalid(f"spec.{field}[{index}]", now, ONCE)
            return
    if before and not now:
        yield errors.invalid(f"spec.{field}[0]", now, "primary clusterIP can not be unset" if field == "clusterIPs" else ONCE)


def warn(service: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    spec = meta.spec(service)
    type, external = spec.get("type", ""), spec.get("externalIPs") or ()
    headless = type == "ClusterIP" and spec.get("clusterIP") == "None"
    if HINTS_ANNOTATION in meta.annotations(service):
        yield f"annotation {HINTS_ANNOTATION} is deprecated, please use service.kubernetes.io/topology-mode instead"
    if headless:
        yield from _ignored_when_headless(spec)
    for index, address in enumerate(external):
        yield from addresses.warnings(f"spec.externalIPs[{index}]", address)
    if external and not headless and type != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.get("loadBalancerIP"):
        yield from addresses.warnings("spec.loadBalancerIP", spec["loadBalancerIP"])
    if external and type == "ExternalName":
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if spec.get("externalName") and type != "ExternalName":
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _ignored_when_headless(spec: Mapping[str, Any]) -> Iterator[str]:
    for field in ("loadBalancerIP", "externalIPs"):
        if spec.get(field):
            yield f"spec.{field} is ignored for headless services"
    if spec.get("sessionAffinity", "None") != "None":
        yield "spec.SessionAffinity is ignored for headless services"
