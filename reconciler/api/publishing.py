"""Where the `kubernetes` Service leads: the address and port under which pods reach this server.

Upstream's lease reconciler, for the one server that there is. The mirroring controller leaves these Endpoints alone.
"""

import socket
from typing import Any

from reconciler.client import protocol
from reconciler.model import errors, meta, plan

NAMESPACE, NAME = "default", "kubernetes"
ORIGIN = protocol.Origin(actor="apiserver")
WHY = "pods reach the API there"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"


def own_address() -> str:
    """The address that packets to elsewhere would have; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


async def publish(client: protocol.Client, address: str, port: int) -> None:
    """Make Endpoints and EndpointSlice say so. Raises StatusError."""
    for kind, body in (("endpoints", _endpoints(address, port)), ("endpointslices.discovery.k8s.io", _slice(address, port))):
        try:
            present = await client.get(kind, NAMESPACE, NAME)
        except errors.StatusError as error:
            if error.reason != "NotFound":
                raise
            await client.perform(plan.Create(kind=kind, body=body, why=WHY), ORIGIN)
            continue
        wanted = {**present, **{name: value for name, value in body.items() if name != "metadata"}}
        wanted = meta.put(wanted, ("metadata", "labels"), {**meta.labels(present), **meta.labels(body)})
        if wanted != present:
            await client.perform(plan.Update(kind=kind, body=wanted, why=WHY), ORIGIN)


def _endpoints(address: str, port: int) -> dict[str, Any]:
    metadata = {"name": NAME, "namespace": NAMESPACE, "labels": {SKIP_MIRROR: "true"}}
    subset = {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": [subset]}


def _slice(address: str, port: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
