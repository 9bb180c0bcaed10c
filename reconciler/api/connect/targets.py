"""Who is meant by pods/ID/proxy, services/ID/proxy and nodes/ID/proxy, in kube-apiserver's words where nobody is.

An ID is NAME, NAME:PORT, SCHEME:NAME:PORT or SCHEME:NAME:. Services lead to pods only: whatever address somebody writes
into an EndpointSlice is not reached through the API server.
"""

import ipaddress
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.api.cache import Cache
from reconciler.kinds import pod as pods
from reconciler.model import errors, meta

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
PORT_DIGITS_MOST = 5
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Id:
    scheme: str
    name: str
    port: str


@dataclass(frozen=True, slots=True)
class Target:
    pod: meta.Obj
    scheme: str
    port: int

    @property
    def host(self) -> str:
        address = pods.ip(self.pod)
        return f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"


def parsed(kind: str, id: str) -> Id:
    """Raises StatusError 400."""
    match id.split(":"):
        case [name] if name:
            return Id("", name, "")
        case [name, port] if name:
            return Id("", name, port)
        case [("" | "http" | "https") as scheme, name, port] if name:
            return Id(scheme, name, port)
    raise errors.bad_request(f'invalid {kind} request "{id}"')


def of_pod(cache: Cache, namespace: str, id: Id) -> Target:
    item = cache.get("pods", namespace, id.name)
    if item is None:
        raise errors.not_found("pods", "", id.name)
    port = id.port or next((str(one["containerPort"]) for c in pods.containers(item.obj) for one in c.get("ports") or ()), "")
    return _target(item.obj, id.scheme or "http", port)


def of_service(cache: Cache, namespace: str, id: Id) -> Target:
    item = cache.get("services", namespace, id.name)
    if item is None:
        raise errors.not_found("services", "", id.name)
    name = id.port
    if id.port.isdecimal() and len(id.port) <= PORT_DIGITS_MOST:
        named = [one.get("name") or "" for one in meta.spec(item.obj).get("ports") or () if one["port"] == int(id.port)]
        if not named:
            raise _unavailable(f'no service port {int(id.port)} found for service "{id.name}"')
        name = named[0]
    found = list(_endpoints(cache, namespace, id.name, name))
    if not found:
        raise _unavailable(f'no endpoints available for service "{_text(id)}"')
    pod, port = random.choice(found)  # noqa: S311 - spreads load
    return _target(pod, id.scheme or "http", str(port))


def _endpoints(cache: Cache, namespace: str, service: str, port_name: str) -> Iterator[tuple[meta.Obj, int]]:
    """The ready pods behind a service, each with the number of its port of that name."""
    for _, item in cache.shelf(SLICES).in_order(namespace):
        if meta.labels(item.obj).get(SERVICE_NAME) != service:
            continue
        for port in item.obj.get("ports") or ():
            if (port.get("name") or "") != port_name or not port.get("port"):
                continue
            for endpoint in item.obj.get("endpoints") or ():
                pod = _pod_of(cache, namespace, endpoint)
                if pod is not None and (endpoint.get("conditions") or {}).get("ready") is not False:
                    yield pod, port["port"]


def _pod_of(cache: Cache, namespace: str, endpoint: Any) -> meta.Obj | None:
    reference = endpoint.get("targetRef") or {}
    item = cache.get("pods", namespace, reference.get("name", "")) if reference.get("kind") == "Pod" else None
    return item.obj if item is not None and set(pods.ips(item.obj)) & set(endpoint.get("addresses") or ()) else None


def _target(pod: meta.Obj, scheme: str, port: str) -> Target:
    try:
        address = ipaddress.ip_address(pods.ip(pod))
    except ValueError:
        raise errors.bad_request("address not allowed") from None
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise errors.bad_request("address not allowed")
    if port and not (port.isdecimal() and len(port) <= PORT_DIGITS_MOST and 0 < int(port) < 65536):
        raise errors.bad_request(f'invalid port "{port}"')
    return Target(pod, scheme, int(port) if port else _DEFAULT_PORTS[scheme])


def _text(id: Id) -> str:
    if id.scheme:
        return f"{id.scheme}:{id.name}:{id.port}"
    return f"{id.name}:{id.port}" if id.port else id.name


def _unavailable(message: str) -> errors.StatusError:
    return errors.StatusError(503, "ServiceUnavailable", message)
