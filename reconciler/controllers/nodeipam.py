"""Nodes that have no addresses for their pods get a part of the installation's range.

Upstream: pkg/controller/nodeipam with the range allocator, off unless asked for (--allocate-cidrs). One machine keeps
the whole range for itself (node/registration.py); this is for nodes that register without one.
"""

import ipaddress
from collections.abc import Iterable, Iterator

from reconciler.controllers import Facts
from reconciler.kinds import node
from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View

NODES = "nodes"
PREFIX_LENGTH = {4: 24, 6: 64}  # --node-cidr-mask-size
COMPONENT = "cidrAllocator"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    whole = ipaddress.ip_network(facts.pod_range) if facts.pod_range else None

    def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        one = view.get(NODES, *key)
        if one is None or whole is None or meta.is_deleting(one) or node.pod_cidrs(one):
            return plan.NOTHING
        free = next(_free(whole, _taken(view, whole.version)), None)
        if free is None:
            message = f"Node {key[1]} status is now: CIDRNotAvailable"
            emit = plan.Emit(regarding=one, reason="CIDRNotAvailable", message=message, component=COMPONENT)
            return plan.plan_of([emit], waiting_on=[plan.Waiting(f"a part of {whole} to become free")])
        body = meta.put({**one, "spec": {**meta.spec(one), "podCIDR": str(free)}}, ("spec", "podCIDRs"), [str(free)])
        return plan.plan_of([plan.Update(kind=NODES, body=body, why=f"its pods get addresses of {free}")])

    controller = plan.Controller(
        name="node-ipam-controller", kind=NODES, plan=planned, follows={NODES: _of_gone}, concurrency=1, enabled_by_default=False
    )
    return (controller,)


def _taken(view: View, version: int) -> list[tuple[int, int]]:
    """First and last addresses of what nodes have, in order."""
    networks = (ipaddress.ip_network(text, strict=False) for one in view.by(NODES, NAMESPACE, "") for text in node.pod_cidrs(one))
    return sorted((int(network[0]), int(network[-1])) for network in networks if network.version == version)


def _free(whole: Network, taken: Iterable[tuple[int, int]]) -> Iterator[Network]:
    """The parts of `whole` that overlap nothing, lowest first."""
    length = max(PREFIX_LENGTH[whole.version], whole.prefixlen)
    step = 1 << (whole.max_prefixlen - length)
    at, end, make = int(whole[0]), int(whole[-1]), type(whole)
    for first, last in (*taken, (end + 1, end + 1)):
        while at + step <= min(first, end + 1):
            yield make((at, length))
            at += step
        if last >= at:
            at += -(-(last + 1 - at) // step) * step


def _of_gone(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """Nodes that wait, when another one gave its part back."""
    if old is not None and new is None and node.pod_cidrs(old):
        yield from (meta.key(one) for one in view.by(NODES, NAMESPACE, "") if not node.pod_cidrs(one))
