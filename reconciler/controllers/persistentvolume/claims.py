"""PersistentVolumeClaims: each gets the volume that fits it best, or is said to wait and on what.

Upstream: syncClaim in pv_controller.go. A claim whose class waits for its first consumer is left to the scheduler, but
for volumes that were reserved for it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from reconciler.controllers.persistentvolume import names
from reconciler.controllers.protection import claims_of
from reconciler.kinds import pod, storage
from reconciler.kinds import volume as volumes
from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View
from reconciler.placement import claims as matching

EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system administrator. "
    "If volume creation is delayed, please verify that the provisioner is running and correctly registered."
)
LOST_REFERENCE = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
LOST_VOLUME = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    claim = view.get(names.CLAIMS, *key)
    if claim is None:
        return plan.NOTHING
    if names.BIND_COMPLETED in meta.annotations(claim):
        return _bound(view, claim)
    if meta.is_deleting(claim):
        return plan.NOTHING
    return _named(view, claim) if volumes.volume_name(claim) else _searching(view, claim)


def _bound(view: View, claim: meta.Obj) -> plan.Plan:
    """A claim that had its volume once must still have it. What is not in the view is gone: the planner is causal."""
    name = volumes.volume_name(claim)
    if not name:
        return _lost(claim, "ClaimLost", LOST_REFERENCE)
    volume = view.get(names.VOLUMES, "", name)
    if volume is None:
        return _lost(claim, "ClaimLost", LOST_VOLUME)
    if meta.spec(volume).get("claimRef") and not matching.is_reserved_for(volume, claim):
        return _lost(claim, "ClaimMisbound", MISBOUND)
    return _bind(volume, claim)


def _named(view: View, claim: meta.Obj) -> plan.Plan:
    """A claim that asks for one volume, or whose binding was begun."""
    name = volumes.volume_name(claim)
    volume = view.get(names.VOLUMES, "", name)
    if volume is None:
        return plan.plan_of(_pending(claim), waiting_on=[plan.Waiting(f"volume {name} to be created")])
    if matching.is_reserved_for(volume, claim):
        return _bind(volume, claim)
    if meta.spec(volume).get("claimRef"):
        message = f'volume "{name}" already bound to a different claim.'
        by_user = names.BOUND_BY_CONTROLLER not in meta.annotations(claim)
        emits = [_emit(claim, "FailedBinding", message, "Warning")] if by_user else []
        return plan.plan_of(emits, _pending(claim), waiting_on=[plan.Waiting(f"volume {name}, which is bound to another claim")])
    if why := matching.mismatch(volume, claim):
        mismatch = _emit(claim, "VolumeMismatch", f'Cannot bind to requested volume "{name}": {why}', "Warning")
        return plan.plan_of([mismatch], _pending(claim), waiting_on=[plan.Waiting(f"volume {name} to fit: {why}")])
    return _bind(volume, claim)


def _searching(view: View, claim: meta.Obj) -> plan.Plan:
    storage_class = view.get(names.CLASSES, "", volumes.storage_class(claim)) if volumes.storage_class(claim) else None
    waits = storage_class is not None and storage.waits_for_consumer(storage_class)
    every = view.by(names.VOLUMES, NAMESPACE, "")
    candidates = [volume for volume in every if meta.spec(volume).get("claimRef")] if waits else every
    volume = matching.best(candidates, claim)
    if volume is not None:
        return _bind(volume, claim)
    if not _has_class(claim) and (default := _default_class(view)) is not None:
        body = meta.put(claim, ("spec", "storageClassName"), meta.name(default))
        return plan.plan_of([plan.Update(kind=names.CLAIMS, body=body, why=f"{meta.name(default)} is the default class")])
    if waits and not meta.annotations(claim).get(names.SELECTED_NODE):
        reason, awaited = _consumers(view, claim)
        return plan.plan_of([_emit(claim, reason, f"waiting for {awaited}")], _pending(claim), waiting_on=[plan.Waiting(awaited)])
    if not volumes.storage_class(claim):
        message = "no persistent volumes available for this claim and no storage class is set"
        return plan.plan_of([_emit(claim, "FailedBinding", message)], _pending(claim), waiting_on=[plan.Waiting("a volume that fits")])
    return _provisioned(claim, storage_class)


def _provisioned(claim: meta.Obj, storage_class: meta.Obj | None) -> plan.Plan:
    """No volume fits, so one is to be made; whoever makes it looks for its name in the annotations."""
    if storage_class is None:
        message = f'storageclass.storage.k8s.io "{volumes.storage_class(claim)}" not found'
        return plan.plan_of([_emit(claim, "ProvisioningFailed", message, "Warning")], _pending(claim), waiting_on=[plan.Waiting(message)])
    provisioner = str(storage_class["provisioner"])
    if provisioner.startswith(names.IN_TREE):
        message = f"no volume plugin matched name: {provisioner}"
        return plan.plan_of([_emit(claim, "ProvisioningFailed", message, "Warning")], _pending(claim), waiting_on=[plan.Waiting(message)])
    marks = dict.fromkeys((names.OLD_PROVISIONER, names.PROVISIONER), provisioner)
    message = EXTERNAL.format(provisioner)
    waiting = [plan.Waiting(f"provisioner {provisioner} to make a volume")]
    if meta.annotations(claim).items() >= marks.items():
        return plan.plan_of([_emit(claim, "ExternalProvisioning", message)], _pending(claim), waiting_on=waiting)
    body = meta.put(claim, ("metadata", "annotations"), {**meta.annotations(claim), **marks})
    return plan.plan_of([plan.Update(kind=names.CLAIMS, body=body, why=f"{provisioner} is to make its volume")], waiting_on=waiting)


def _consumers(view: View, claim: meta.Obj) -> tuple[str, str]:
    users = [
        meta.name(one)
        for one in view.by(names.PODS, NAMESPACE, meta.namespace(claim))
        if not pod.is_scheduled(one) and not pod.is_terminal(one) and meta.name(claim) in claims_of(one)
    ]
    if not users:
        return "WaitForFirstConsumer", "first consumer to be created before binding"
    listed = f"pod {users[0]}" if len(users) == 1 else f"pods {','.join(users)}"
    return "WaitForPodScheduled", f"{listed} to be scheduled"


def _bind(volume: meta.Obj, claim: meta.Obj) -> plan.Plan:
    """Tie both to each other, the volume first; the claim's status follows when both say so."""
    tied, completed = _tied_volume(volume, claim), _completed_claim(claim, volume)
    reserving = [plan.Update(kind=names.VOLUMES, body=tied, why=f"claim {'/'.join(meta.key(claim))} gets it")] if tied != volume else []
    if completed != claim:
        return plan.plan_of(reserving, [plan.Update(kind=names.CLAIMS, body=completed, why=f"volume {meta.name(volume)} is its")])
    return plan.plan_of(reserving, _status(claim, _bound_status(claim, volume), f"volume {meta.name(volume)} is its"))


def _tied_volume(volume: meta.Obj, claim: meta.Obj) -> meta.Obj:
    if (meta.spec(volume).get("claimRef") or meta.EMPTY).get("uid") == meta.uid(claim):
        return volume
    was_reserved = matching.is_reserved_for(volume, claim)
    reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": meta.namespace(claim), "name": meta.name(claim)}
    reference |= {"uid": meta.uid(claim), "resourceVersion": meta.resource_version(claim)}
    tied = meta.put(volume, ("spec", "claimRef"), reference)
    return tied if was_reserved else meta.put(tied, ("metadata", "annotations", names.BOUND_BY_CONTROLLER), "yes")


def _completed_claim(claim: meta.Obj, volume: meta.Obj) -> meta.Obj:
    marks = {names.BIND_COMPLETED: "yes"}
    if volumes.volume_name(claim) != meta.name(volume):
        claim = meta.put(claim, ("spec", "volumeName"), meta.name(volume))
        marks[names.BOUND_BY_CONTROLLER] = "yes"
    if meta.annotations(claim).items() >= marks.items():
        return claim
    return meta.put(claim, ("metadata", "annotations"), {**meta.annotations(claim), **marks})


def _bound_status(claim: meta.Obj, volume: meta.Obj) -> dict[str, Any]:
    """A claim that is bound already keeps its capacity: its file system may be smaller than the volume is now."""
    status = {**meta.status(claim), "phase": "Bound", "accessModes": meta.spec(volume).get("accessModes")}
    if not volumes.is_bound(claim):
        status["capacity"] = meta.spec(volume).get("capacity")
        if attributes_class := meta.spec(volume).get("volumeAttributesClassName"):
            status["currentVolumeAttributesClassName"] = attributes_class
    return status


def _lost(claim: meta.Obj, reason: str, message: str) -> plan.Plan:
    if volumes.phase(claim) == "Lost":
        return plan.NOTHING
    status = {name: value for name, value in meta.status(claim).items() if name not in ("accessModes", "capacity")}
    return plan.plan_of(_status(claim, {**status, "phase": "Lost"}, message), [_emit(claim, reason, message, "Warning")])


def _pending(claim: meta.Obj) -> list[plan.Action]:
    status = {name: value for name, value in meta.status(claim).items() if name not in ("accessModes", "capacity")}
    return _status(claim, {**status, "phase": "Pending"}, "it has no volume yet")


def _status(claim: meta.Obj, status: dict[str, Any], why: str) -> list[plan.Action]:
    if status == meta.status(claim):
        return []
    return [plan.Update(kind=names.CLAIMS, body=meta.put(claim, ("status",), status), subresource="status", why=why)]


def _emit(claim: meta.Obj, reason: str, message: str, type: Literal["Normal", "Warning"] = "Normal") -> plan.Emit:
    return plan.Emit(regarding=claim, reason=reason, message=message, type=type, component=names.COMPONENT)


def _has_class(claim: meta.Obj) -> bool:
    """Also the empty class is one: it asks for volumes without a class."""
    return meta.spec(claim).get("storageClassName") is not None or volumes.CLASS_ANNOTATION in meta.annotations(claim)


def _default_class(view: View) -> meta.Obj | None:
    """The newest of those that say they are it, as the API server chooses for new claims."""
    named = [one for one in view.by(names.CLASSES, NAMESPACE, "") if storage.is_default(one)]
    newest = max((str(meta.meta(one).get("creationTimestamp", "")) for one in named), default="")
    return next((one for one in named if meta.meta(one).get("creationTimestamp", "") == newest), None)


def _unbound(view: View) -> Iterable[meta.Obj]:
    for namespace in view.by("namespaces", NAMESPACE, ""):
        for claim in view.by(names.CLAIMS, NAMESPACE, meta.name(namespace)):
            if not volumes.is_bound(claim):
                yield claim


def _of_volume(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """The claim that a volume names, claims that name it, and while it is free whoever may want it."""
    for volume in (old, new):
        key = volumes.claim_key(volume) if volume is not None else None
        if key is not None:
            yield key
    is_free = new is not None and not meta.spec(new).get("claimRef") and volumes.phase(new) == "Available"
    name = meta.name(new if new is not None else old or {})
    for claim in _unbound(view) if is_free or old is None else ():
        wanted = volumes.volume_name(claim)
        if wanted == name or (not wanted and new is not None and volumes.storage_class(claim) == volumes.storage_class(new)):
            yield meta.key(claim)


def _of_class(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is not None:
        for claim in _unbound(view):
            if not _has_class(claim) or volumes.storage_class(claim) == meta.name(new):
                yield meta.key(claim)


def _of_pod(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """A first consumer that came: what its claims wait for is another thing now."""
    if new is None or old is not None:
        return
    for name in _claimed(new):
        claim = view.get(names.CLAIMS, meta.namespace(new), name)
        if claim is not None and not volumes.is_bound(claim):
            yield meta.key(claim)


def _claimed(one: meta.Obj) -> Sequence[str]:
    return tuple(claims_of(one)) if meta.spec(one).get("volumes") else ()


CONTROLLER = plan.Controller(
    name="persistentvolume-binder-controller",
    kind=names.CLAIMS,
    plan=planned,
    follows={names.VOLUMES: _of_volume, names.CLASSES: _of_class, names.PODS: _of_pod},
    reads=frozenset({"namespaces"}),
    is_causal=True,
    concurrency=1,  # claims that are planned together would all choose the same volume
)
