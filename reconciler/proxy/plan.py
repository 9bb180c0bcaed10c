"""A Service and its EndpointSlices as the routes that a backend programs. Pure.

One route per service port. A backend is told the whole of a service at once (Program) and finds out itself what
that changes, so planning again is always harmless. Correct under skew between services and slices: a route
without endpoints refuses connections, it never sends them elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reconciler.kinds import endpoints as endpoint_kinds
from reconciler.kinds import service
from reconciler.model import meta, plan, selectors
from reconciler.model.view import View

SERVICES = "services"
SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MAX_ENDPOINTS = 1000  # per port, Kubernetes' own bound for Endpoints


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    ip: str
    port: int
    is_local: bool = True  # on this node


@dataclass(frozen=True, slots=True)
class Route:
    """Where connections to one service port go."""

    name: str  # "default/web:http", for people
    protocol: str  # "tcp", "udp" or "sctp"
    ips: tuple[str, ...]  # cluster IPs, external IPs and load balancer addresses
    port: int
    node_port: int  # 0: none
    endpoints: tuple[Endpoint, ...]
    affinity_seconds: int = 0  # ClientIP session affinity; 0: none
    is_local_only: bool = False  # externalTrafficPolicy Local, of the node port and external addresses


@dataclass(frozen=True, slots=True)
class Program:
    """Make the routes of one service what they are here; none removes the service."""

    key: meta.Key
    routes: tuple[Route, ...]
    why: str


def planner(node_name: str) -> plan.Planner:
    """The planner of one node's proxy."""

    def decide(view: View, key: meta.Key, _: float) -> plan.Plan:
        found = view.get(SERVICES, *key)
        if found is None or meta.is_deleting(found):
            return plan.plan_of([Program(key, (), f"service {'/'.join(key)} is gone")])
        slices = view.select(SLICES, key[0], selectors.from_labels({SERVICE_NAME: key[1]}))
        routes = tuple(routes_of(found, slices, node_name))
        count = len({endpoint.ip for route in routes for endpoint in route.endpoints})
        return plan.plan_of([Program(key, routes, f"service {'/'.join(key)} has {count} endpoint{'' if count == 1 else 's'}")])

    return decide


def controller(node_name: str) -> plan.Controller:
    return plan.Controller(name="service-proxy", kind=SERVICES, plan=planner(node_name), follows={SLICES: _service_of_slice})


def _service_of_slice(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    found = [(meta.namespace(obj), meta.labels(obj).get(SERVICE_NAME, "")) for obj in (old, new) if obj is not None]
    return dict.fromkeys(key for key in found if key[1])


def routes_of(found: meta.Obj, slices: Iterable[meta.Obj], node_name: str) -> Iterable[Route]:
    """One route per port; none for headless and ExternalName services."""
    ips = service.cluster_ips(found)
    if not ips:
        return
    spec = meta.spec(found)
    ips += tuple(spec.get("externalIPs") or ())
    ips += tuple(ingress["ip"] for ingress in (meta.status(found).get("loadBalancer") or {}).get("ingress") or () if ingress.get("ip"))
    slices = tuple(slices)
    for port in spec.get("ports") or ():
        endpoints = tuple(sorted(_endpoints(slices, port, node_name)))[:MAX_ENDPOINTS]
        if service.is_local_only(found):
            endpoints = tuple(endpoint for endpoint in endpoints if endpoint.is_local)
        yield Route(
            name=f"{meta.namespace(found)}/{meta.name(found)}" + (f":{port['name']}" if port.get("name") else ""),
            protocol=str(port.get("protocol", "TCP")).lower(),
            ips=tuple(dict.fromkeys(ips)),
            port=int(port["port"]),
            node_port=int(port.get("nodePort") or 0),
            endpoints=endpoints,
            affinity_seconds=service.affinity_seconds(found),
            is_local_only=service.is_local_only(found, external=True),
        )


def _endpoints(slices: Iterable[meta.Obj], port: dict[str, Any], node_name: str) -> set[Endpoint]:
    """Ready endpoints of a service port; where none is ready, those that still serve while they terminate."""
    ready: set[Endpoint] = set()
    serving: set[Endpoint] = set()
    for found in slices:
        numbers = [int(p["port"]) for p in found.get("ports") or () if (p.get("name") or "") == (port.get("name") or "") and p.get("port")]
        for endpoint in found.get("endpoints") or ():
            made = {
                Endpoint(address, number, endpoint.get("nodeName", node_name) == node_name)
                for address in endpoint.get("addresses") or ()
                for number in numbers
            }
            if endpoint_kinds.is_ready(endpoint):
                ready |= made
            elif endpoint_kinds.is_serving(endpoint):
                serving |= made
    return ready or serving
