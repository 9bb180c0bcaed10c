"""Addresses of load balancers that this node answers for. Pure; daemon/announcing.py gives them to the machine.

Each Service is told of as a whole, as with its routes: what it no longer has is taken back by whoever performs.
"""

from dataclasses import dataclass

from reconciler.model import meta, plan
from reconciler.model.view import View
from reconciler.proxy.plan import SERVICES

POOL_CLASS = "reconciler.dev/pool"


@dataclass(frozen=True, slots=True)
class Announce:
    """The Service `key` has these addresses, and no others."""

    key: meta.Key
    addresses: tuple[str, ...]
    why: str


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    found = view.get(SERVICES, *key)
    if found is None or meta.spec(found).get("type") != "LoadBalancer":
        return plan.plan_of([Announce(key, (), f"service {'/'.join(key)} has no load balancer")])
    if meta.spec(found).get("loadBalancerClass") not in (None, POOL_CLASS):
        return plan.plan_of([Announce(key, (), f"service {'/'.join(key)} is somebody else's")])
    balancer = meta.status(found).get("loadBalancer") or meta.EMPTY
    addresses = tuple(str(one["ip"]) for one in balancer.get("ingress") or () if one.get("ip"))
    return plan.plan_of([Announce(key, addresses, f"service {'/'.join(key)} has {len(addresses)} addresses")])


CONTROLLER = plan.Controller(name="load-balancer-addresses", kind=SERVICES, plan=planned)
