"""How services reach pods when nothing may be changed in the kernel: through sockets that the keeper opens.

The glue between the user-space proxy, which knows routes, and the runtime, which can open a socket inside a pod.
"""

import socket

from reconciler.node import loopback
from reconciler.node.runtimes import types
from reconciler.proxy.backends import userspace
from reconciler.proxy.plan import Endpoint


class PodPlace:
    """A pod's own network namespace, where every service listens too."""

    takes_node_ports = False

    def __init__(self, runtime: types.Runtime, pod_uid: str) -> None:
        self._runtime = runtime
        self.name = pod_uid

    async def listen(self, ip: str, port: int, protocol: str) -> socket.socket:
        return await opened(self._runtime, self.name, protocol, bind=(ip, port))


class PodDialer:
    """Connects inside the namespace of the pod that has the endpoint's address; elsewhere from the host's."""

    def __init__(self, runtime: types.Runtime, network: loopback.LoopbackNetwork) -> None:
        self._runtime = runtime
        self._network = network
        self._host = userspace.HostDialer()

    async def dial(self, endpoint: Endpoint, protocol: str) -> socket.socket:
        pod_uid = self._network.pod_at(endpoint.ip)
        if pod_uid is None:
            return await self._host.dial(endpoint, protocol)
        return await opened(self._runtime, pod_uid, protocol, connect=(endpoint.ip, endpoint.port))


async def opened(
    runtime: types.Runtime, pod_uid: str, protocol: str, *, bind: tuple[str, int] | None = None, connect: tuple[str, int] | None = None
) -> socket.socket:
    """A non-blocking socket inside a pod. Raises OSError."""
    try:
        descriptor = await runtime.open_socket(pod_uid, bind=bind, connect=connect, kind=protocol)
    except types.RuntimeFailure as failure:
        raise OSError(failure.message) from failure
    made = socket.socket(fileno=descriptor)
    made.setblocking(False)
    return made
