"""Ports of the host that pods take. Two collide on equal protocol and number, unless both name different addresses."""

from collections.abc import Iterable
from typing import NamedTuple

from reconciler.model import meta

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - the wildcard that Kubernetes writes, nothing is bound here


class HostPort(NamedTuple):
    address: str
    protocol: str
    port: int

    def collides(self, other: "HostPort") -> bool:
        if self.port != other.port or self.protocol != other.protocol:
            return False
        return self.address == other.address or ANY_ADDRESS in (self.address, other.address)


def of_pod(pod: meta.Obj) -> tuple[HostPort, ...]:
    """Those of containers and sidecars; with hostNetwork every container port is one."""
    spec = meta.spec(pod)
    on_host = bool(spec.get("hostNetwork"))
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    found = []
    for container in (*(spec.get("containers") or ()), *sidecars):
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port.get("containerPort") if on_host else 0)
            if number:
                found.append(HostPort(port.get("hostIP") or ANY_ADDRESS, port.get("protocol") or "TCP", int(number)))
    return tuple(dict.fromkeys(found))


def collide(wanted: Iterable[HostPort], taken: Iterable[HostPort]) -> bool:
    taken = tuple(taken)
    return any(one.collides(other) for one in wanted for other in taken)
