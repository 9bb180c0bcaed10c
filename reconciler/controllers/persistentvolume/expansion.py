"""Claims that ask for more than they have: folders grow by saying so, other volumes by whoever made them.

Upstream: pkg/controller/volume/expand, and what external-resizer does for a driver that needs no work on the node.
"""

from reconciler.controllers.persistentvolume import names
from reconciler.kinds import volume as volumes
from reconciler.model import meta, plan, quantity
from reconciler.model.view import View
from reconciler.placement import claims as matching

COMPONENT = "volume_expand"
EXTERNAL = "waiting for an external controller to expand this PVC"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    claim = view.get(names.CLAIMS, *key)
    if claim is None or meta.is_deleting(claim) or not volumes.is_bound(claim) or matching.wanted_size(claim) <= _held(claim):
        return plan.NOTHING
    volume = view.get(names.VOLUMES, "", volumes.volume_name(claim))
    if volume is None or matching.wanted_size(claim) <= _held(claim):
        return plan.NOTHING
    if meta.annotations(volume).get(names.PROVISIONED_BY) != names.LOCAL:
        emit = plan.Emit(regarding=claim, reason="ExternalExpanding", message=EXTERNAL, component=COMPONENT)
        return plan.plan_of([emit], waiting_on=[plan.Waiting("who made the volume to expand it")])
    wanted = {"storage": volumes.requested(claim)}
    if matching.size(volume) < matching.wanted_size(claim):
        body = meta.put(volume, ("spec", "capacity"), wanted)
        return plan.plan_of([plan.Update(kind=names.VOLUMES, body=body, why=f"claim {'/'.join(key)} asks for more")])
    body = meta.put(claim, ("status", "capacity"), wanted)
    done = plan.Emit(regarding=claim, reason="VolumeResizeSuccessful", message="Resize volume succeeded", component=names.LOCAL)
    return plan.plan_of([plan.Update(kind=names.CLAIMS, body=body, subresource="status", why="its volume has grown", announce=done)])


def _held(claim: meta.Obj) -> int:
    return quantity.parse(str((meta.status(claim).get("capacity") or meta.EMPTY).get("storage") or "0")).value


def _of_volume(_: View, old: meta.Obj | None, new: meta.Obj | None) -> list[meta.Key]:
    key = volumes.claim_key(new) if new is not None else None
    is_grown = old is not None and new is not None and volumes.capacity(old) != volumes.capacity(new)
    return [key] if key is not None and is_grown else []


CONTROLLER = plan.Controller(
    name="persistentvolume-expander-controller", kind=names.CLAIMS, plan=planned, follows={names.VOLUMES: _of_volume}
)
