"""Pod addresses without privileges: every pod has a network namespace with nothing but its own loopback.

An address out of 127.97.0.0-127.126.255.255 names the pod; all of 127.0.0.0/8 is local in every namespace, so it
needs no configuration, and two pods may use the same ports. Who wants to reach a pod asks the keeper for a socket
inside its namespace. What this cannot do: pods do not reach each other's addresses directly, only services, and
nothing beyond the machine.
"""

import hashlib
from collections.abc import Sequence

from reconciler.node.runtimes import types

FIRST, NETWORKS = 97, 30  # second byte: 97 to 126; services are in 127.96.0.0/16


class LoopbackNetwork:
    """Implements runtimes.types.Network; also finds the pod behind an address."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}  # pod uid -> address
        self._pods: dict[str, str] = {}  # address -> pod uid

    def __contains__(self, pod_uid: str) -> bool:
        return pod_uid in self._addresses

    async def attach(self, pid: int, pod_uid: str, host_ports: Sequence[tuple[str, int, int]] = ()) -> str:
        """The same address for the same pod, as long as no other pod that lives has it."""
        if host_ports:
            raise types.RuntimeFailure("FailedCreatePodSandBox", "host ports need root: without it only node ports lead to a pod")
        if pod_uid not in self._addresses:
            address = next(candidate for attempt in range(2**16) if (candidate := _address(pod_uid, attempt)) not in self._pods)
            self._addresses[pod_uid] = address
            self._pods[address] = pod_uid
        return self._addresses[pod_uid]

    async def detach(self, pod_uid: str) -> None:
        address = self._addresses.pop(pod_uid, None)
        if address is not None:
            del self._pods[address]

    def pod_at(self, address: str) -> str | None:
        """The uid of the pod that has an address."""
        return self._pods.get(address)


def _address(pod_uid: str, attempt: int) -> str:
    digest = hashlib.blake2b(f"{pod_uid}/{attempt}".encode(), digest_size=4).digest()
    return f"127.{FIRST + digest[0] % NETWORKS}.{digest[1]}.{digest[2] % 254 + 1}"
