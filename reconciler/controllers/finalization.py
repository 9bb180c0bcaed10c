"""Deletions that cannot finish say so: which finalizers hold the object, who keeps each, and what for.

Where Kubernetes' kinds have a list of conditions it is one of the type FinalizersRemaining, else an event; both half a
second after the deletion. Written is only of what the system cannot take away itself: a finalizer of somebody else, or
an owner in the foreground above such an object; protection and the like are told to whoever asks (`waiting_on`).
Namespaces and definitions have conditions of their own for it. A key is (Kind.id/namespace, name), for objects of every
kind are planned.
"""

from collections.abc import Iterable, Mapping

from reconciler.controllers import garbagecollector, protection, servicecidr
from reconciler.model import conditions, meta, plan
from reconciler.model.view import View

TYPE = "FinalizersRemaining"
REASON = "SomeFinalizersRemain"
DELAY_SECONDS = 0.5
AGAIN_SECONDS = 10.0  # how soon it is said what else it waits for
NAMED_MOST = 10
CHAIN_MOST = 4  # owners above an object, such as ReplicaSet and Deployment
OWN_WORDS = frozenset({"namespaces", "customresourcedefinitions.apiextensions.k8s.io", servicecidr.RANGES})
# Kinds whose status has conditions that are not one owner's alone.
WITH_CONDITIONS = frozenset(
    {
        "pods", "persistentvolumeclaims", "services", "replicationcontrollers", "replicasets.apps", "deployments.apps", "statefulsets.apps",
        "daemonsets.apps", "jobs.batch", "poddisruptionbudgets.policy",
    }
)  # fmt: skip
# Who takes away the finalizers that the system sets, and for which of them the planner says what it waits for.
KEEPERS = {
    garbagecollector.FOREGROUND: "garbage-collector-controller",
    garbagecollector.ORPHAN: "garbage-collector-controller",
    protection.CLAIM_FINALIZER: "persistentvolumeclaim-protection-controller",
    protection.VOLUME_FINALIZER: "persistentvolume-protection-controller",
    protection.CLASS_FINALIZER: "volumeattributesclass-protection-controller",
    "batch.kubernetes.io/job-tracking": "job-controller",
    "resource.kubernetes.io/delete-protection": "resourceclaim-controller",
    "reconciler.dev/folder": "the node that has the folder",
    "reconciler.dev/prune": "the Sync's own agent",
}
PLANNERS: Mapping[str, plan.Planner] = {
    protection.CLAIM_FINALIZER: protection.claim_planned,
    protection.VOLUME_FINALIZER: protection.volume_planned,
    protection.CLASS_FINALIZER: protection.class_planned,
}


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    kind_id, _, namespace = key[0].partition("/")
    obj = view.get(kind_id, namespace, key[1]) if view.roster.get(kind_id) is not None else None
    if obj is None or not _is_held(obj):
        return plan.NOTHING
    texts = [_said(view, key, obj, finalizer, now) for finalizer in meta.finalizers(obj)[:NAMED_MOST]]
    message = f"Some finalizers remain: {'; '.join(texts)}"
    waiting = [plan.Waiting(f"finalizer {text}") for text in texts]
    if not _is_stuck(view, obj):
        return plan.plan_of(waiting_on=waiting)
    if kind_id not in WITH_CONDITIONS:
        return plan.plan_of([plan.Emit(regarding=obj, reason=REASON, message=message, type="Warning")], waiting_on=waiting)
    known = meta.status(obj).get("conditions") or ()
    listed = conditions.updated(known, conditions.made(TYPE, "True", REASON, message, now))
    if listed is known:
        return plan.plan_of(again_at=now + AGAIN_SECONDS, waiting_on=waiting)
    body = meta.put(obj, ("status", "conditions"), listed)
    update = plan.Update(kind=kind_id, body=body, subresource="status", why="its deletion waits for finalizers")
    return plan.plan_of([update], again_at=now + AGAIN_SECONDS, waiting_on=waiting)


def _said(view: View, key: meta.Key, obj: meta.Obj, finalizer: str, now: float) -> str:
    """The finalizer, who is to take it away, and what for that is waited."""
    if finalizer in (garbagecollector.FOREGROUND, garbagecollector.ORPHAN):
        awaited = garbagecollector.planned(view, key, now).waiting_on
    else:
        planner = PLANNERS.get(finalizer)
        awaited = planner(view, meta.key(obj), now).waiting_on if planner is not None else ()
    keeper = KEEPERS.get(finalizer) or _setter(obj, finalizer)
    return f"{finalizer} ({keeper})" + (f", which waits for {', '.join(one.on for one in awaited)}" if awaited else "")


def _setter(obj: meta.Obj, finalizer: str) -> str:
    """Whoever set it is who knows when it may go."""
    for entry in meta.meta(obj).get("managedFields") or ():
        fields = ((entry.get("fieldsV1") or meta.EMPTY).get("f:metadata") or meta.EMPTY).get("f:finalizers") or meta.EMPTY
        if f'v:"{finalizer}"' in fields:
            return f"set by {entry.get('manager')}"
    return "of unknown origin"


def _is_held(obj: meta.Obj) -> bool:
    return meta.is_deleting(obj) and bool(meta.finalizers(obj))


def _is_stuck(view: View, obj: meta.Obj, chain: int = CHAIN_MOST) -> bool:
    """Whether it, or something that it waits for, is held by a finalizer that is not the system's."""
    if not chain or not _is_held(obj):
        return False
    if any(finalizer not in KEEPERS for finalizer in meta.finalizers(obj)):
        return True
    if garbagecollector.FOREGROUND not in meta.finalizers(obj):
        return False
    return any(_is_stuck(view, dependent, chain - 1) for _, dependent in garbagecollector.blocking(view, meta.uid(obj)))


def _of_deletion(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is None or not _is_held(new):
        return
    if old is not None and meta.is_deleting(old) and meta.finalizers(old) == meta.finalizers(new):
        return
    yield from _with_owners(view, new, CHAIN_MOST)


def _with_owners(view: View, obj: meta.Obj, chain: int) -> Iterable[meta.Key]:
    kind = view.roster.of_object(str(obj.get("apiVersion")), str(obj.get("kind")))
    if kind is None or kind.storage_id in OWN_WORDS:
        return
    yield f"{kind.storage_id}/{meta.namespace(obj)}", meta.name(obj)
    for reference in meta.owners(obj) if chain else ():
        owner_kind = view.roster.of_object(str(reference["apiVersion"]), str(reference["kind"]))
        if owner_kind is not None:
            owner = view.get(owner_kind.storage_id, meta.namespace(obj) if owner_kind.namespaced else "", str(reference["name"]))
            if owner is not None and _is_held(owner):
                yield from _with_owners(view, owner, chain - 1)


CONTROLLER = plan.Controller(
    name="finalization-controller", kind="", plan=planned, follows={plan.EVERY_KIND: _of_deletion}, delay_seconds=DELAY_SECONDS
)
