"""Events go an hour after they were last written.

Upstream: kube-apiserver's --event-ttl, which etcd's leases enforce. The times are the server's own, for an Event's other
times are whatever its writer says. Each is looked at an hour after it changed, not when it changes; a daemon that was
started anew gives all of them another hour.
"""

from reconciler.kit import clock as clocks
from reconciler.model import meta, plan
from reconciler.model.view import View

EVENTS = "events"
LIFETIME_SECONDS = 3600.0


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(EVENTS, *key)
    if one is None or meta.is_deleting(one):
        return plan.NOTHING
    due_at = _last_written(one) + LIFETIME_SECONDS
    if due_at > now:
        return plan.plan_of(again_at=due_at)
    why = f"nobody wrote it for {LIFETIME_SECONDS / 3600:g} h"
    return plan.plan_of([plan.Delete(kind=EVENTS, namespace=key[0], name=key[1], uid=meta.uid(one), why=why)])


def _last_written(one: meta.Obj) -> float:
    metadata = meta.meta(one)
    times = [entry.get("time") for entry in metadata.get("managedFields") or ()]
    return max(clocks.parse_rfc3339(str(text)) for text in (*times, metadata["creationTimestamp"]) if text)


CONTROLLER = plan.Controller(name="event-expiry-controller", kind=EVENTS, plan=planned, delay_seconds=LIFETIME_SECONDS)
