"""Nodes that have no addresses for their pods get a part of the installation's range.

Upstream: pkg/controller/nodeipam with the range allocator, off unless asked for (--allocate-cidrs). One machine keeps
the whole range for itself (node/registration.py); this is for nodes that register without one. All of them are one key,
so that no two plans give the same part away.
"""

import ipaddress
import itertools
from collections.abc import Iterable, Iterator

from reconciler.controllers import Facts
from reconciler.kinds import node
from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View

NODES = "nodes"
PREFIX_LENGTH = {4: 24, 6: 64}  # --node-cidr-mask-size
COMPONENT = "cidrAllocator"
EVERY_NODE: meta.Key = ("", "")
NAMED_MOST = 10

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    whole = ipaddress.ip_network(facts.pod_range) if facts.pod_range else None

    def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        nodes = view.by(NODES, NAMESPACE, "")
        lacking = [one for one in nodes if not node.pod_cidrs(one) and not meta.is_deleting(one)]
        if whole is None or not lacking:
            return plan.NOTHING
        parts = zip(lacking, _free(whole, _taken(nodes, whole.version)), strict=False)
        updates = [_update(one, free) for one, free in itertools.islice(parts, plan.MAX_CREATES)]
        late = lacking[len(updates) :]
        waiting = [plan.Waiting(f"a part of {whole} to become free for node {meta.name(one)}") for one in late[:NAMED_MOST]]
        return plan.plan_of(updates, map(_unavailable, late), waiting_on=waiting)

    controller = plan.Controller(name="node-ipam-controller", kind="", plan=planned, follows={NODES: _of_node}, enabled_by_default=False)
    return (controller,)


def _update(one: meta.Obj, free: Network) -> plan.Action:
    body = meta.put({**one, "spec": {**meta.spec(one), "podCIDR": str(free)}}, ("spec", "podCIDRs"), [str(free)])
    return plan.Update(kind=NODES, body=body, why=f"its pods get addresses of {free}")


def _unavailable(one: meta.Obj) -> plan.Action:
    message = f"Node {meta.name(one)} status is now: CIDRNotAvailable"
    return plan.Emit(regarding=one, reason="CIDRNotAvailable", message=message, component=COMPONENT)


def _taken(nodes: Iterable[meta.Obj], version: int) -> list[tuple[int, int]]:
    """First and last addresses of what nodes have, in order."""
    networks = (ipaddress.ip_network(text, strict=False) for one in nodes for text in node.pod_cidrs(one))
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


def _of_node(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """Nodes that came without addresses, and any that went: its part may be another's."""
    if new is None or (old is None and not node.pod_cidrs(new)):
        yield EVERY_NODE
