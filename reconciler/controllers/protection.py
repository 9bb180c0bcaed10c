"""Volumes and claims that are in use are not taken away: their protection finalizers go when nothing uses them.

Upstream: pkg/controller/volume/{pvcprotection,pvprotection} and volumeattributesclass protection. The API server sets
the finalizers on claims and volumes; here they are set where somebody lost them.
"""

from collections.abc import Iterable

from reconciler.kinds import pod, volume
from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View

CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
PODS = "pods"
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
CLASSES = "volumeattributesclasses.storage.k8s.io"
CLASS_FINALIZER = "kubernetes.io/vac-protection"


def claim_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    claim = view.get(CLAIMS, *key)
    if claim is None:
        return plan.NOTHING
    user = _user(view, claim) if meta.is_deleting(claim) else None
    if user is not None:
        return plan.plan_of(waiting_on=[plan.Waiting(f"pod {meta.name(user)} to stop using claim {key[1]}")])
    return _guarded(CLAIMS, claim, CLAIM_FINALIZER)


def volume_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(VOLUMES, *key)
    if one is None:
        return plan.NOTHING
    if meta.is_deleting(one) and volume.phase(one) == "Bound":
        return plan.plan_of(waiting_on=[plan.Waiting(f"the claim of volume {key[1]} to be deleted")])
    return _guarded(VOLUMES, one, VOLUME_FINALIZER)


def class_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(CLASSES, *key)
    if one is None:
        return plan.NOTHING
    if meta.is_deleting(one) and (user := _class_user(view, key[1])) is not None:
        return plan.plan_of(waiting_on=[plan.Waiting(f"{user['kind']} {meta.name(user)} to stop using class {key[1]}")])
    return _guarded(CLASSES, one, CLASS_FINALIZER)


def _guarded(kind: str, obj: meta.Obj, finalizer: str) -> plan.Plan:
    present = finalizer in meta.finalizers(obj)
    if meta.is_deleting(obj) != present:
        return plan.NOTHING
    left = [one for one in meta.finalizers(obj) if one != finalizer] if present else [*meta.finalizers(obj), finalizer]
    body = meta.put(obj, ("metadata", "finalizers"), left)
    why = "nothing uses it any more" if present else "it must not go while it is used"
    return plan.plan_of([plan.Update(kind=kind, body=body, why=why)])


def _user(view: View, claim: meta.Obj) -> meta.Obj | None:
    """A pod that has been given to a node and still counts on the claim."""
    for one in view.by(PODS, NAMESPACE, meta.namespace(claim)):
        if pod.is_scheduled(one) and not pod.is_terminal(one) and meta.name(claim) in claims_of(one):
            return one
    return None


def _class_user(view: View, name: str) -> meta.Obj | None:
    """A claim or volume with the VolumeAttributesClass `name`."""
    namespaces = [meta.name(one) for one in view.by("namespaces", NAMESPACE, "")]
    claims = (claim for namespace in namespaces for claim in view.by(CLAIMS, NAMESPACE, namespace))
    return next((one for one in (*claims, *view.by(VOLUMES, NAMESPACE, "")) if name in _classes_of(one)), None)


def _classes_of(one: meta.Obj) -> set[str]:
    return {
        str(name)
        for name in (meta.spec(one).get("volumeAttributesClassName"), meta.status(one).get("currentVolumeAttributesClassName"))
        if name
    }


def claims_of(one: meta.Obj) -> Iterable[str]:
    """Names of the claims that a pod uses, its ephemeral volumes' among them."""
    for each in meta.spec(one).get("volumes") or ():
        if "persistentVolumeClaim" in each:
            yield each["persistentVolumeClaim"]["claimName"]
        elif "ephemeral" in each:
            yield f"{meta.name(one)}-{each['name']}"


def _of_leaving_pod(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if old is not None and (new is None or (pod.is_terminal(new) and not pod.is_terminal(old))):
        for name in claims_of(old):
            yield meta.namespace(old), name


def _of_class_user(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if old is not None and (new is None or _classes_of(old) != _classes_of(new)):
        yield from (("", name) for name in sorted(_classes_of(old)))


CONTROLLERS = (
    plan.Controller(name="persistentvolumeclaim-protection-controller", kind=CLAIMS, plan=claim_planned, follows={PODS: _of_leaving_pod}),
    plan.Controller(name="persistentvolume-protection-controller", kind=VOLUMES, plan=volume_planned),
    plan.Controller(
        name="volumeattributesclass-protection-controller",
        kind=CLASSES,
        plan=class_planned,
        follows={CLAIMS: _of_class_user, VOLUMES: _of_class_user},
        reads=frozenset({"namespaces"}),
    ),
)
