"""Pod addresses without privileges: every pod has a network namespace with nothing but its own loopback.

Each pod gets an address of the pod range, which is made one of its loopback's. Two pods may use the same ports. Who
wants to reach a pod asks the keeper for a socket inside its namespace. What this cannot do: pods do not reach each
other's addresses directly, only services, and nothing beyond the machine.
"""

import fcntl
import hashlib
import ipaddress
import socket
import struct
from collections.abc import Sequence

from reconciler.node.runtimes import types

SIOCSIFADDR, SIOCSIFNETMASK = 0x8916, 0x891C
_REQUEST = struct.Struct("16sHH4s8x")  # struct ifreq with a sockaddr_in
SECOND_ADDRESS = b"lo:1"


class LoopbackNetwork:
    """Implements runtimes.types.Network; also finds the pod behind an address."""

    def __init__(self, pod_range: str) -> None:
        self._range = ipaddress.IPv4Network(pod_range)
        self._addresses: dict[str, str] = {}  # pod uid -> address
        self._pods: dict[str, str] = {}  # address -> pod uid

    def __contains__(self, pod_uid: str) -> bool:
        return pod_uid in self._addresses

    async def attach(self, pid: int, pod_uid: str, host_ports: Sequence[tuple[str, int, int]] = ()) -> str:
        """The same address for the same pod, as long as no other pod that lives has it."""
        if host_ports:
            raise types.RuntimeFailure("FailedCreatePodSandBox", "host ports need root: without it only node ports lead to a pod")
        if pod_uid not in self._addresses:
            self._take(pod_uid, self._free(pod_uid))
        return self._addresses[pod_uid]

    async def detach(self, pod_uid: str) -> None:
        address = self._addresses.pop(pod_uid, None)
        if address is not None:
            del self._pods[address]

    def pod_at(self, address: str) -> str | None:
        """The uid of the pod that has an address."""
        return self._pods.get(address)

    def address_of(self, pod_uid: str) -> str:
        return self._addresses[pod_uid]

    def _take(self, pod_uid: str, address: str) -> None:
        self._addresses[pod_uid] = address
        self._pods[address] = pod_uid

    def _free(self, pod_uid: str) -> str:
        size = self._range.num_addresses - 2
        first = int.from_bytes(hashlib.blake2b(pod_uid.encode(), digest_size=8).digest(), "big") % size
        for step in range(size):
            address = str(self._range.network_address + 1 + (first + step) % size)
            if address not in self._pods:
                return address
        raise types.RuntimeFailure("FailedCreatePodSandBox", f"all {size} addresses of {self._range} are taken")


def give(inside: socket.socket, address: str) -> None:
    """Make `address` the loopback's of the namespace that the socket was made in. Raises OSError."""
    for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.255.255")):
        fcntl.ioctl(inside, request, _REQUEST.pack(SECOND_ADDRESS, socket.AF_INET, 0, socket.inet_aton(value)))
