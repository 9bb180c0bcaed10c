"""ServiceCIDRs: ready for use, and held while addresses of Services are taken from nowhere else.

Upstream: pkg/controller/servicecidrs.
"""

import ipaddress
from collections.abc import Iterable

from reconciler.model import conditions, meta, plan
from reconciler.model.view import NAMESPACE, View

RANGES = "servicecidrs.networking.k8s.io"
ADDRESSES = "ipaddresses.networking.k8s.io"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(RANGES, *key)
    if one is None:
        return plan.NOTHING
    if meta.is_deleting(one):
        return _released(view, one, now)
    if FINALIZER not in meta.finalizers(one):
        body = meta.put(one, ("metadata", "finalizers"), [*meta.finalizers(one), FINALIZER])
        return plan.plan_of([plan.Update(kind=RANGES, body=body, why="it must not go while its addresses are used")])
    return plan.plan_of(_said(one, conditions.made("Ready", "True", "", "Kubernetes Service CIDR is ready", now)))


def _released(view: View, one: meta.Obj, now: float) -> plan.Plan:
    if FINALIZER not in meta.finalizers(one):
        return plan.NOTHING
    others = [network for other in view.by(RANGES, NAMESPACE, "") if not meta.is_deleting(other) for network in _networks(other)]
    if any(_needs(address, one, others) for address in view.by(ADDRESSES, NAMESPACE, "")):
        message = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
        condition = conditions.made("Ready", "False", "Terminating", message, now)
        return plan.plan_of(_said(one, condition), waiting_on=[plan.Waiting(f"the addresses of {meta.name(one)} to be released")])
    left = [finalizer for finalizer in meta.finalizers(one) if finalizer != FINALIZER]
    body = meta.put(one, ("metadata", "finalizers"), left)
    return plan.plan_of([plan.Update(kind=RANGES, body=body, why="no address needs it any more")])


def _needs(address: meta.Obj, one: meta.Obj, others: Iterable[Network]) -> bool:
    number = ipaddress.ip_address(meta.name(address))
    return any(number in network for network in _networks(one)) and not any(number in network for network in others)


def _networks(one: meta.Obj) -> list[Network]:
    return [ipaddress.ip_network(text, strict=False) for text in meta.spec(one).get("cidrs") or ()]


def _said(one: meta.Obj, condition: conditions.Condition) -> list[plan.Action]:
    listed = meta.status(one).get("conditions") or ()
    changed = conditions.updated(listed, condition)
    if changed is listed:
        return []
    body = meta.put(one, ("status", "conditions"), changed)
    return [plan.Update(kind=RANGES, body=body, subresource="status", why="its state changed")]


def _of_address(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is None:
        yield from (meta.key(one) for one in view.by(RANGES, NAMESPACE, "") if meta.is_deleting(one))


CONTROLLER = plan.Controller(
    name="service-cidr-controller", kind=RANGES, plan=planned, follows={ADDRESSES: _of_address, RANGES: _of_address}
)
