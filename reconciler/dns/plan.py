"""What a name of the cluster means, after Kubernetes' DNS specification (1.1.0). Pure.

Names of the cluster domain are answered from the view alone and never forwarded; None means that the name is not
ours. Lookups go through indexes, so an answer costs the same with ten services and ten thousand.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from reconciler.dns import wire
from reconciler.kinds import endpoints as endpoint_kinds
from reconciler.kinds import service
from reconciler.model import meta, selectors
from reconciler.model.view import View

SERVICES = "services"
SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
TTL_SECONDS = 5  # as CoreDNS' kubernetes plugin
MAX_RECORDS = 500

Pointers = Mapping[str, Iterable[str]]  # address -> names that point to it


def answer(view: View, pointers: Pointers, domain: str, question: wire.Question, serial: int) -> wire.Answer | None:
    """The answer to a question about the cluster; None for any other name."""
    name = question.name
    if name.endswith((".in-addr.arpa", ".ip6.arpa")):
        targets = sorted(pointers.get(_reversed(name), ()))
        records = tuple(wire.pointer(name, target, TTL_SECONDS) for target in targets)
        return wire.Answer(records if question.type in (wire.PTR, wire.ANY) else ()) if targets else None
    if name != domain and not name.endswith("." + domain):
        return None
    found = _records(view, domain, name)
    authority = (wire.start_of_authority(domain, serial, TTL_SECONDS),)
    if found is None:
        return wire.Answer(code=wire.NXDOMAIN, authority=authority)
    wanted = tuple(record for record in found if question.type in (record.type, wire.ANY) or record.type == wire.CNAME)
    return wire.Answer(wanted[:MAX_RECORDS], authority=() if wanted else authority)


def names_of(kind: str, obj: meta.Obj, domain: str) -> Iterator[tuple[str, str]]:
    """(address, name) for each PTR record that an object stands for."""
    if kind == SERVICES:
        for ip in service.cluster_ips(obj):
            yield ip, f"{meta.name(obj)}.{meta.namespace(obj)}.svc.{domain}"
        return
    owner = meta.labels(obj).get(SERVICE_NAME)
    if owner:
        for endpoint in obj.get("endpoints") or ():
            if endpoint.get("hostname"):
                for ip in endpoint.get("addresses") or ():
                    yield ip, f"{endpoint['hostname']}.{owner}.{meta.namespace(obj)}.svc.{domain}"


def _records(view: View, domain: str, name: str) -> Iterable[wire.Record] | None:
    """All records of a name; None when the name does not exist."""
    labels = name.removesuffix(domain).rstrip(".").split(".") if name != domain else []
    if not labels:
        return (wire.start_of_authority(domain, 1, TTL_SECONDS),)
    if labels[-1] == "pod":
        return _pod(view, name, labels)
    if labels[-1] != "svc":
        return None
    if len(labels) == 1:
        return ()
    if len(labels) == 2:
        return () if view.get("namespaces", "", labels[0]) is not None else None
    if len(labels) > 5:
        return None
    *rest, service_name, namespace, _ = labels
    found = view.get(SERVICES, namespace, service_name)
    if found is None:
        return None
    return _service(view, domain, name, found, rest)


def _service(view: View, domain: str, name: str, found: meta.Obj, rest: list[str]) -> Iterable[wire.Record] | None:
    if service.is_external_name(found):
        return (wire.alias(name, str(meta.spec(found)["externalName"]), TTL_SECONDS),) if not rest else None
    ips = service.cluster_ips(found)
    base = f"{meta.name(found)}.{meta.namespace(found)}.svc.{domain}"
    if len(rest) == 2 and rest[0].startswith("_"):
        return _srv(view, name, base, found, ips, rest[0][1:], rest[1][1:])
    if ips:
        return tuple(wire.address(name, ip, TTL_SECONDS) for ip in ips) if not rest else None
    endpoints = list(_endpoints(view, found))
    if not rest:
        return _unique(wire.address(name, ip, TTL_SECONDS) for _, ip, _ in endpoints)
    matching = _unique(wire.address(name, ip, TTL_SECONDS) for host, ip, _ in endpoints if len(rest) == 1 and host == rest[0])
    return matching or None


def _srv(
    view: View, name: str, base: str, found: meta.Obj, ips: tuple[str, ...], port_name: str, protocol: str
) -> Iterable[wire.Record] | None:
    if ips:
        ports = [
            int(port["port"])
            for port in meta.spec(found).get("ports") or ()
            if port.get("name") == port_name and str(port.get("protocol", "TCP")).lower() == protocol
        ]
        return tuple(wire.service(name, base, port, TTL_SECONDS) for port in ports) or None
    targets = {
        (host, int(port["port"]))
        for host, _, ports in _endpoints(view, found)
        for port in ports
        if (port.get("name") or "") == port_name and str(port.get("protocol", "TCP")).lower() == protocol
    }
    return tuple(wire.service(name, f"{host}.{base}", port, TTL_SECONDS) for host, port in sorted(targets)) or None


def _pod(view: View, name: str, labels: list[str]) -> Iterable[wire.Record] | None:
    """a-b-c-d.NAMESPACE.pod: the address that the name spells, as CoreDNS' `pods insecure`."""
    if len(labels) == 2 and view.get("namespaces", "", labels[0]) is not None:
        return ()
    if len(labels) != 3 or view.get("namespaces", "", labels[1]) is None:
        return None
    try:
        return (wire.address(name, str(ipaddress.IPv4Address(labels[0].replace("-", "."))), TTL_SECONDS),)
    except ValueError:
        return None


def _endpoints(view: View, found: meta.Obj) -> Iterator[tuple[str, str, Iterable[meta.Obj]]]:
    """(host name, address, ports) of every endpoint that a headless service publishes."""
    for piece in view.select(SLICES, meta.namespace(found), selectors.from_labels({SERVICE_NAME: meta.name(found)})):
        for endpoint in piece.get("endpoints") or ():
            if service.publishes_not_ready(found) or endpoint_kinds.is_ready(endpoint):
                for ip in endpoint.get("addresses") or ():
                    yield endpoint.get("hostname") or ip.replace(".", "-").replace(":", "-"), ip, piece.get("ports") or ()


def _unique(records: Iterable[wire.Record]) -> tuple[wire.Record, ...]:
    return tuple(dict.fromkeys(records))


def _reversed(name: str) -> str:
    """The address that a name under in-addr.arpa or ip6.arpa spells; "" for none."""
    labels = name.split(".")[:-2]
    try:
        if name.endswith(".in-addr.arpa"):
            return str(ipaddress.IPv4Address(".".join(reversed(labels))))
        digits = "".join(reversed(labels))
        return str(ipaddress.IPv6Address(":".join(digits[i : i + 4] for i in range(0, 32, 4))))
    except ValueError:
        return ""
