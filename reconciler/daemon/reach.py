"""How services reach pods when nothing may be changed in the kernel: through sockets that the keeper opens.

The glue between the user-space proxy, which knows routes, and the runtime, which can open a socket inside a pod.
"""

import socket
from collections.abc import Awaitable, Callable, Sequence

from reconciler.node import loopback
from reconciler.node.runtimes import types
from reconciler.proxy.backends import userspace
from reconciler.proxy.plan import Endpoint

Told = Callable[[str], Awaitable[None]]  # of a pod uid


class PodsAlone(loopback.LoopbackNetwork):
    """Pods with a loopback only; whoever connects them is told when one comes and goes."""

    def __init__(self, pod_range: str, came: Told, goes: Told) -> None:
        super().__init__(pod_range)
        self._came, self._goes = came, goes

    async def attach(self, pid: int, pod_uid: str, host_ports: Sequence[tuple[str, int, int]] = ()) -> str:
        is_new = pod_uid not in self
        address = await super().attach(pid, pod_uid, host_ports)
        if is_new:
            await self._came(pod_uid)
        return address

    async def detach(self, pod_uid: str) -> None:
        if pod_uid in self:
            await self._goes(pod_uid)
        await super().detach(pod_uid)


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
