"""Cluster addresses and node ports of Services: given out, taken back, and repaired at boot.

What is taken is what the Services in the cache say, so there is nothing to store and nothing to leak: `repair` reads
it at boot, every write keeps it up to date, and a write that fails gives back what it took.
Invariants: no two Services hold the same address, or the same (port, protocol); fixed requests are honoured or
refused by name, never replaced.
"""

import ipaddress
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reconciler.model import errors, meta
from reconciler.model.kind import Kind

NODE_PORTS = range(30000, 32768)
SERVICE_RANGE = "10.96.0.0/16"
TRIES = 64  # random picks before the free ones are searched in order

Release = Callable[[], None]


def nothing() -> None:
    pass


class Services:
    """The allocations of all Services of one cluster."""

    def __init__(self, service_range: str = SERVICE_RANGE, node_ports: range = NODE_PORTS) -> None:
        self.network = ipaddress.ip_network(service_range)
        self.node_ports = node_ports
        self._addresses: dict[str, str] = {}  # address -> "namespace/name"
        self._ports: dict[tuple[int, str], str] = {}  # (port, protocol) -> "namespace/name"

    @property
    def first_address(self) -> str:
        """The address of the `kubernetes` Service."""
        return str(self.network[1])

    def repair(self, services: Iterable[meta.Obj]) -> None:
        """Take what stored Services hold; of two that hold the same, the first one in order keeps it."""
        self._addresses.clear()
        self._ports.clear()
        for service in services:
            owner = _owner(service)
            for address in _addresses(service):
                self._addresses.setdefault(address, owner)
            for port in _ports(service):
                self._ports.setdefault(port, owner)

    def allocate(self, kind: Kind, obj: meta.Obj, old: meta.Obj | None) -> tuple[meta.Obj, Release]:
        """`obj` with what it needs, and how to give back what it took beyond `old`. Raises StatusError 422."""
        if kind.id != "services":
            return obj, nothing
        taken: list[str | tuple[int, str]] = []
        held = frozenset(_held(old)) if old is not None else frozenset[str | tuple[int, str]]()

        def release() -> None:
            for thing in taken:
                self._give_back(thing)

        try:
            obj = self._with_address(obj, old, taken, held)
            obj = self._with_ports(obj, taken, held)
            obj = self._with_health_port(obj, taken, held)
        except errors.StatusError:
            release()
            raise
        return obj, release

    def release(self, kind: Kind, obj: meta.Obj) -> None:
        """Take back what a deleted Service held."""
        if kind.id == "services":
            for thing in _held(obj):
                self._give_back(thing, _owner(obj))

    def settle(self, kind: Kind, obj: meta.Obj, old: meta.Obj | None) -> None:
        """After an update: take back what the Service no longer holds."""
        if kind.id == "services" and old is not None:
            for thing in frozenset(_held(old)) - frozenset(_held(obj)):
                self._give_back(thing, _owner(obj))

    def _with_address(self, obj: meta.Obj, old: meta.Obj | None, taken: list[Any], held: frozenset[Any]) -> meta.Obj:
        spec = meta.spec(obj)
        given = spec.get("clusterIPs") or ()
        if spec.get("type") == "ExternalName" or (given and spec.get("clusterIP") and given[0] != spec["clusterIP"]):
            return obj  # the second the kind's validation refuses
        self._check_families(obj)
        if not set(spec.get("ipFamilies") or ()) <= {"IPv4", "IPv6"}:
            return obj
        spec = self._with_families(spec)
        wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        if not wanted and old is not None and meta.spec(old).get("type") != "ExternalName":
            wanted = meta.spec(old).get("clusterIP", "")
        if wanted == "None":
            return meta.put(obj, ("spec",), {**spec, "clusterIP": "None", "clusterIPs": spec.get("clusterIPs") or ["None"]})
        if wanted and wanted not in held:
            self._take_address(obj, wanted)
            taken.append(wanted)
        elif not wanted:
            wanted = self._any_address(obj)
            taken.append(wanted)
        return meta.put(obj, ("spec",), {**spec, "clusterIP": wanted, "clusterIPs": [wanted]})

    def _check_families(self, obj: meta.Obj) -> None:
        """Raises StatusError 422 for families that this cluster does not have; what is no family validation refuses."""
        spec = meta.spec(obj)
        policy, families = spec.get("ipFamilyPolicy"), spec.get("ipFamilies") or ()
        if policy == "":
            raise _refused(obj, errors.not_supported("spec.ipFamilyPolicy", policy, ("PreferDualStack", "RequireDualStack", "SingleStack")))
        if len(families) != len(set(families)) or not set(families) <= {"IPv4", "IPv6"}:
            return
        if len(families) > 1 and policy in (None, "SingleStack"):
            detail = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"
            raise _refused(obj, errors.invalid("spec.ipFamilyPolicy", "SingleStack", detail))
        if spec.get("clusterIP") == "None" and not spec.get("selector"):
            return
        if policy == "RequireDualStack":
            raise _refused(obj, errors.invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"))
        for index, family in enumerate(families):
            if family != f"IPv{self.network.version}":
                raise _refused(obj, errors.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))

    def _with_families(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """One family, the range's own; a headless Service without a selector may lead anywhere."""
        policy, families = spec.get("ipFamilyPolicy"), spec.get("ipFamilies")
        if policy and families:
            return spec
        family = f"IPv{self.network.version}"
        if spec.get("clusterIP") == "None" and not spec.get("selector"):
            both = [family, *(other for other in ("IPv4", "IPv6") if other != family)]
            return {**spec, "ipFamilyPolicy": policy or "RequireDualStack", "ipFamilies": families or both}
        return {**spec, "ipFamilyPolicy": policy or "SingleStack", "ipFamilies": families or [family]}

    def _take_address(self, obj: meta.Obj, wanted: str) -> None:
        try:
            address = ipaddress.ip_address(wanted)
        except ValueError:
            return  # the kind's validation says what is wrong with it
        if address not in self.network or address in (self.network.network_address, self.network.broadcast_address):
            detail = f"failed to allocate IP {wanted}: the provided network does not match the current range"
        elif wanted in self._addresses:
            detail = f"failed to allocate IP {wanted}: provided IP is already allocated"
        else:
            self._addresses[wanted] = _owner(obj)
            return
        raise _refused(obj, errors.invalid("spec.clusterIPs", [wanted], detail))

    def _any_address(self, obj: meta.Obj) -> str:
        size = self.network.num_addresses
        for offset in _candidates(2, size - 1):
            address = str(self.network[offset])
            if address not in self._addresses:
                self._addresses[address] = _owner(obj)
                return address
        raise errors.StatusError(500, "InternalError", f"Internal error occurred: failed to allocate a serviceIP: {self.network} is full")

    def _with_ports(self, obj: meta.Obj, taken: list[Any], held: frozenset[Any]) -> meta.Obj:
        spec = meta.spec(obj)
        if spec.get("type") not in ("NodePort", "LoadBalancer") or spec.get("allocateLoadBalancerNodePorts") is False:
            return obj
        ports, numbers = [], dict[int, int]()
        for index, port in enumerate(spec.get("ports") or ()):
            protocol, number = port.get("protocol", "TCP"), port.get("nodePort", 0)
            if not number:  # the same service port over another protocol shares its number, as in kube-apiserver
                number = numbers.get(port["port"], 0)
                if not number or (number, protocol) in self._ports:
                    number = self._any_port(obj, protocol)
                self._ports[number, protocol] = _owner(obj)
                taken.append((number, protocol))
            elif (number, protocol) not in held:
                self._take_port(obj, f"spec.ports[{index}].nodePort", number, protocol)
                taken.append((number, protocol))
            numbers[port["port"]] = number
            ports.append({**port, "nodePort": number})
        return meta.put(obj, ("spec", "ports"), ports)

    def _with_health_port(self, obj: meta.Obj, taken: list[Any], held: frozenset[Any]) -> meta.Obj:
        """Where a load balancer asks a node whether it has endpoints of its own."""
        spec = meta.spec(obj)
        if spec.get("type") != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local":
            return obj
        number = spec.get("healthCheckNodePort", 0)
        if (number, "TCP") in held:
            return obj
        if number:
            self._take_port(obj, "spec.healthCheckNodePort", number, "TCP")
        else:
            number = self._any_port(obj, "TCP")
            self._ports[number, "TCP"] = _owner(obj)
        taken.append((number, "TCP"))
        return meta.put(obj, ("spec", "healthCheckNodePort"), number)

    def _take_port(self, obj: meta.Obj, path: str, number: int, protocol: str) -> None:
        if number not in self.node_ports:
            valid = f"{self.node_ports.start}-{self.node_ports.stop - 1}"
            raise _refused(
                obj, errors.invalid(path, number, f"provided port is not in the valid range. The range of valid ports is {valid}")
            )
        if (number, protocol) in self._ports:
            raise _refused(obj, errors.invalid(path, number, "provided port is already allocated"))
        self._ports[number, protocol] = _owner(obj)

    def _any_port(self, obj: meta.Obj, protocol: str) -> int:
        for offset in _candidates(0, len(self.node_ports)):
            if (self.node_ports[offset], protocol) not in self._ports:
                return self.node_ports[offset]
        detail = "failed to allocate a nodePort: range is full"
        raise errors.StatusError(500, "InternalError", f"Internal error occurred: {detail}")

    def _give_back(self, thing: str | tuple[int, str], owner: str = "") -> None:
        if isinstance(thing, str):
            if not owner or self._addresses.get(thing) == owner:
                self._addresses.pop(thing, None)
        elif not owner or self._ports.get(thing) == owner:
            self._ports.pop(thing, None)


def _candidates(start: int, stop: int) -> Iterable[int]:
    """A few random numbers of a range, then all of them: fast while the range is sparse, complete when it is full."""
    for _ in range(TRIES):
        yield start + secrets.randbelow(stop - start)
    yield from range(start, stop)


def _owner(service: meta.Obj) -> str:
    return f"{meta.namespace(service)}/{meta.name(service)}"


def _addresses(service: meta.Obj) -> list[str]:
    spec = meta.spec(service)
    return [address for address in spec.get("clusterIPs") or [spec.get("clusterIP", "")] if address and address != "None"]


def _ports(service: meta.Obj) -> list[tuple[int, str]]:
    spec: Mapping[str, Any] = meta.spec(service)
    found = [(port["nodePort"], port.get("protocol", "TCP")) for port in spec.get("ports") or () if port.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        found.append((spec["healthCheckNodePort"], "TCP"))
    return found


def _held(service: meta.Obj) -> list[str | tuple[int, str]]:
    return [*_addresses(service), *_ports(service)]


def _refused(obj: meta.Obj, error: errors.FieldError) -> errors.StatusError:
    return errors.invalid_object("Service", "", meta.name(obj), [error])
