"""PersistentVolumes: their phases, and what becomes of them when their claims are gone.

Upstream: syncVolume and reclaimVolume in pv_controller.go. Data is never deleted here: a volume that was provisioned is
reclaimed by who made it, "Recycle" is a pod's work (recycling.py), and for others "Delete" fails, as it does upstream for
sources without a plugin.
"""

from collections.abc import Iterable

from reconciler.controllers.persistentvolume import names, recycling
from reconciler.kinds import volume as volumes
from reconciler.kit import clock as clocks
from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View
from reconciler.placement import claims as matching

NO_DELETER = 'error getting deleter volume plugin for volume "{}": {}'
WITHOUT_DELETER = ("nfs", "local")  # sources that kube-controller-manager knows and cannot delete


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    volume = view.get(names.VOLUMES, *key)
    if volume is None:
        return plan.NOTHING
    reference = meta.spec(volume).get("claimRef")
    if not reference or not reference.get("uid"):
        return plan.plan_of(_phase(volume, "Available", now), waiting_on=[plan.Waiting("a claim that it fits")])
    claim = view.get(names.CLAIMS, str(reference.get("namespace", "")), str(reference.get("name", "")))
    if claim is None or meta.uid(claim) != reference["uid"]:
        return _released(view, volume, now)
    name = volumes.volume_name(claim)
    if not name:
        return _claimed(volume, claim)
    if name == meta.name(volume):
        return plan.plan_of(_phase(volume, "Bound", now))
    if names.PROVISIONED_BY in meta.annotations(volume) and _policy(volume) == "Delete":
        return _released(view, volume, now)
    return plan.plan_of([plan.Update(kind=names.VOLUMES, body=_untied(volume), why=f"its claim is bound to {name}")])


def _claimed(volume: meta.Obj, claim: meta.Obj) -> plan.Plan:
    """The claim's planner completes the binding, unless the two never can be bound."""
    if matching.mode(volume) == matching.mode(claim):
        return plan.plan_of(waiting_on=[plan.Waiting(f"claim {'/'.join(meta.key(claim))} to be bound")])
    asked = f'requested PersistentVolumeClaim "{meta.name(claim)}" due to incompatible volumeMode.'
    texts = {f"Cannot bind PersistentVolume to {asked}": volume, f'Cannot bind PersistentVolume "{meta.name(volume)}" to {asked}': claim}
    return plan.plan_of(
        plan.Emit(regarding=one, reason="VolumeMismatch", message=text, type="Warning", component=names.COMPONENT)
        for text, one in texts.items()
    )


def _released(view: View, volume: meta.Obj, now: float) -> plan.Plan:
    if volumes.phase(volume) not in ("Released", "Failed"):
        return plan.plan_of(_phase(volume, "Released", now))
    if meta.is_deleting(volume):
        return plan.NOTHING
    if volumes.phase(volume) == "Failed":
        return plan.plan_of(waiting_on=[plan.Waiting(f"somebody to reclaim it: {meta.status(volume).get('message')}")])
    if _policy(volume) == "Recycle":
        try:
            return recycling.planned(view, volume, _untied(volume))
        except recycling.Failed as failure:
            return plan.plan_of(recycling.removal(view, volume), *_failed(volume, "VolumeFailedRecycle", str(failure), now))
    if _policy(volume) == "Delete" and (why := _not_deletable(volume)):
        return plan.plan_of(*_failed(volume, "VolumeFailedDelete", why, now))
    someone = "whoever made it to delete it" if _policy(volume) == "Delete" else "somebody to reclaim it: its reclaim policy is Retain"
    return plan.plan_of(waiting_on=[plan.Waiting(someone)])


def _not_deletable(volume: meta.Obj) -> str:
    """Why nobody deletes what the volume stands for; "" where somebody else does."""
    spec = meta.spec(volume)
    maker = meta.annotations(volume).get(names.PROVISIONED_BY, "")
    if "csi" in spec or (maker and not maker.startswith(names.IN_TREE)):
        return ""
    if "hostPath" in spec:
        return f"host_path deleter only supports /tmp/.+ but received provided {spec['hostPath'].get('path', '')}"
    is_known = any(source in spec for source in WITHOUT_DELETER)
    return NO_DELETER.format(meta.name(volume), "no deletable volume plugin matched" if is_known else "no volume plugin matched")


def _failed(volume: meta.Obj, reason: str, message: str, now: float) -> tuple[list[plan.Action], list[plan.Action]]:
    emit = plan.Emit(regarding=volume, reason=reason, message=message, type="Warning", component=names.COMPONENT)
    return _phase(volume, "Failed", now, message), [emit]


def _phase(volume: meta.Obj, phase: str, now: float, message: str = "") -> list[plan.Action]:
    if volumes.phase(volume) == phase:
        return []
    status = {name: value for name, value in meta.status(volume).items() if name != "message"}
    status |= {"phase": phase, "lastPhaseTransitionTime": clocks.rfc3339(now), **({"message": message} if message else {})}
    body = meta.put(volume, ("status",), status)
    return [plan.Update(kind=names.VOLUMES, body=body, subresource="status", why=message or f"it is {phase.lower()}")]


def _untied(volume: meta.Obj) -> meta.Obj:
    """A reservation that a user made stays one, of a name only; the binder's own goes."""
    if names.BOUND_BY_CONTROLLER in meta.annotations(volume):
        volume = meta.without(volume, ("metadata", "annotations", names.BOUND_BY_CONTROLLER))
        return meta.without(volume, ("spec", "claimRef"))
    return meta.without(meta.without(volume, ("spec", "claimRef", "uid")), ("spec", "claimRef", "resourceVersion"))


def _policy(volume: meta.Obj) -> str:
    return str(meta.spec(volume).get("persistentVolumeReclaimPolicy") or "Retain")


def _of_claim(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """The volume a claim names; of a claim that went before it named one, whichever names the claim."""
    found = {volumes.volume_name(claim) for claim in (old, new) if claim is not None} - {""}
    yield from (("", name) for name in sorted(found))
    if new is None and old is not None and not found:
        yield from (meta.key(one) for one in view.by(names.VOLUMES, NAMESPACE, "") if volumes.claim_key(one) == meta.key(old))


CONTROLLER = plan.Controller(
    name="persistentvolume-binder-controller/volumes",
    kind=names.VOLUMES,
    plan=planned,
    follows={names.CLAIMS: _of_claim, names.PODS: recycling.of_pod},
    is_causal=True,
)
