"""Services of type LoadBalancer get addresses from a pool of the installation.

Without a pool, and for a loadBalancerClass of somebody else, nothing is done. An address that a Service has it keeps as
long as the pool holds it. Services with the same sharing key may share one address if their ports differ. How machines
outside reach the address is the node's part (proxy/announce.py).
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from reconciler.controllers import Facts
from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View

SERVICES = "services"
CLASS = "reconciler.dev/pool"
SHARING = "reconciler.dev/allow-shared-address"
WANTED = "reconciler.dev/addresses"  # which addresses a Service asks for, divided by commas
COMPONENT = "service-controller"
MOST = 65_536  # addresses of one range that are looked through
FAILED = "Error syncing load balancer: failed to ensure load balancer: {}"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Range = tuple[Address, Address]


class Impossible(Exception):
    """No address can be given; the message says why."""


def parse_range(text: str) -> Range:
    """`192.0.2.0/28`, `192.0.2.10-192.0.2.20` or one address. Raises ValueError."""
    first, dash, last = text.partition("-")
    if dash:
        begin, end = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        if begin.version != end.version or int(begin) > int(end):
            raise ValueError(f"{text} is no range of addresses")
        return begin, end
    network = ipaddress.ip_network(text.strip())
    return network[0], network[-1]


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    pool = tuple(map(parse_range, facts.load_balancer_pool))

    def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        one = view.get(SERVICES, *key)
        if one is None or meta.is_deleting(one):
            return plan.NOTHING
        if not pool or not _is_ours(one):
            abandoned = _status(one, [], "it has no load balancer of ours") if _is_abandoned(one, pool) else []
            return plan.plan_of(abandoned, waiting_on=_awaited(one))
        try:
            addresses = list(_addresses(view, one, pool))
        except Impossible as error:
            return plan.plan_of(
                _status(one, [], str(error)),
                [_emit(one, "SyncLoadBalancerFailed", FAILED.format(error), "Warning")],
                waiting_on=[plan.Waiting(f"an address: {error}")],
            )
        if addresses == _held(one):
            return plan.NOTHING
        done = _emit(one, "EnsuredLoadBalancer", "Ensured load balancer", "Normal")
        return plan.plan_of(_status(one, addresses, f"it gets {', '.join(addresses)}"), [done])

    return (
        plan.Controller(
            name="service-lb-controller", kind=SERVICES, plan=planned, follows={SERVICES: _of_freed}, reads=READS, concurrency=1
        ),
    )


READS = frozenset({"namespaces"})


def _awaited(one: meta.Obj) -> Iterable[plan.Waiting]:
    """Who is to give an address to a load balancer that gets none here."""
    if meta.spec(one).get("type") == "LoadBalancer" and not _held(one):
        someone = meta.spec(one).get("loadBalancerClass") or "somebody: no loadBalancer.addresses are configured here"
        yield plan.Waiting(f"an address from {someone}")


def _is_ours(one: meta.Obj) -> bool:
    return meta.spec(one).get("type") == "LoadBalancer" and meta.spec(one).get("loadBalancerClass") in (None, CLASS)


def _is_abandoned(one: meta.Obj, pool: Sequence[Range]) -> bool:
    """It was a load balancer with one of our addresses, and is none any more."""
    return meta.spec(one).get("type") != "LoadBalancer" and any(_is_in(ipaddress.ip_address(ip), pool) for ip in _held(one))


def _addresses(view: View, one: meta.Obj, pool: Sequence[Range]) -> Iterator[str]:
    """One address of each of the Service's families, or those it asks for. Raises Impossible."""
    taken = _taken(view, one)
    wanted = meta.annotations(one).get(WANTED) or meta.spec(one).get("loadBalancerIP") or ""
    if wanted:
        yield from (_asked(text.strip(), taken, one, pool) for text in wanted.split(","))
        return
    for family in meta.spec(one).get("ipFamilies") or ("IPv4",):
        version = 6 if family == "IPv6" else 4
        kept = (ip for ip in _held(one) if ipaddress.ip_address(ip).version == version)
        candidates = (*kept, *(str(address) for address in _every(pool, version)))
        free = (ip for ip in candidates if _is_in(ipaddress.ip_address(ip), pool) and _may_use(ip, taken, one))
        found = next(free, None)
        if found is None:
            raise Impossible(f"no {family} address of the pool is free")
        yield found


def _asked(text: str, taken: dict[str, list[meta.Obj]], one: meta.Obj, pool: Sequence[Range]) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Impossible(f"{text} is no address") from None
    if not _is_in(address, pool):
        raise Impossible(f"{text} is not in the pool")
    if not _may_use(str(address), taken, one):
        raise Impossible(f"{text} is used by service {'/'.join(meta.key(taken[str(address)][0]))}")
    return str(address)


def _taken(view: View, one: meta.Obj) -> dict[str, list[meta.Obj]]:
    """Address -> other Services that have it."""
    found: dict[str, list[meta.Obj]] = {}
    for namespace in view.by("namespaces", NAMESPACE, ""):
        for other in view.by(SERVICES, NAMESPACE, meta.name(namespace)):
            if _is_ours(other) and meta.uid(other) != meta.uid(one):
                for ip in _held(other):
                    found.setdefault(ip, []).append(other)
    return found


def _may_use(ip: str, taken: dict[str, list[meta.Obj]], one: meta.Obj) -> bool:
    """Nobody has it, or only Services that share it and listen on other ports; of two that have it the older keeps it."""
    key = meta.annotations(one).get(SHARING)
    for other in taken.get(ip, ()):
        shares = bool(key) and meta.annotations(other).get(SHARING) == key and not _ports(one) & _ports(other)
        if not shares and not (ip in _held(one) and _age(one) < _age(other)):
            return False
    return True


def _ports(one: meta.Obj) -> set[tuple[str, int]]:
    return {(str(port.get("protocol", "TCP")), int(port["port"])) for port in meta.spec(one).get("ports") or ()}


def _age(one: meta.Obj) -> tuple[str, str]:
    return str(meta.meta(one).get("creationTimestamp", "")), meta.uid(one)


def _every(pool: Sequence[Range], version: int) -> Iterator[Address]:
    for first, last in pool:
        if first.version == version:
            for number in range(int(first), min(int(last), int(first) + MOST) + 1):
                yield ipaddress.IPv6Address(number) if version == 6 else ipaddress.IPv4Address(number)


def _is_in(address: Address, pool: Sequence[Range]) -> bool:
    return any(first.version == address.version and int(first) <= int(address) <= int(last) for first, last in pool)


def _held(one: meta.Obj) -> list[str]:
    balancer = meta.status(one).get("loadBalancer") or meta.EMPTY
    return [str(ingress["ip"]) for ingress in balancer.get("ingress") or () if ingress.get("ip")]


def _status(one: meta.Obj, addresses: Sequence[str], why: str) -> list[plan.Action]:
    if list(addresses) == _held(one):
        return []
    balancer = {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in addresses]} if addresses else {}
    body = meta.put(one, ("status", "loadBalancer"), balancer)
    return [plan.Update(kind=SERVICES, body=body, subresource="status", why=why)]


def _emit(one: meta.Obj, reason: str, message: str, type: Literal["Normal", "Warning"]) -> plan.Emit:
    return plan.Emit(regarding=one, reason=reason, message=message, type=type, component=COMPONENT)


def _of_freed(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """Services without an address, when another one gave one back."""
    if old is None or not _held(old) or (new is not None and _held(new) == _held(old) and _is_ours(new)):
        return
    for namespace in view.by("namespaces", NAMESPACE, ""):
        for one in view.by(SERVICES, NAMESPACE, meta.name(namespace)):
            if _is_ours(one) and not _held(one):
                yield meta.key(one)
