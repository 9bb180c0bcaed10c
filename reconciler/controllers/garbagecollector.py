"""Garbage collection by owner: background, foreground and orphaning deletion.

Upstream: pkg/controller/garbagecollector. A key is (Kind.id/namespace, name), for objects of every kind are planned.
An object whose owners are all gone is deleted; an owner that waits for its dependents loses its finalizer when none
blocks it any more; an orphaning owner first lets its dependents go. Owners of a kind that nobody serves count as there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.model import meta, plan
from reconciler.model.kind import Kind
from reconciler.model.view import NAMESPACE, OWNER, View

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
COLLECTED_VERBS = {"list", "watch", "delete"}
IGNORED = {"events"}
NAMED_MOST = 10

Reference = Mapping[str, Any]


@dataclass(slots=True)
class _Owners:
    """An object's owner references by the state of what they name."""

    solid: list[Reference] = field(default_factory=list)
    gone: list[Reference] = field(default_factory=list)
    waiting: list[Reference] = field(default_factory=list)  # for their dependents to go, foreground deletion
    elsewhere: list[Reference] = field(default_factory=list)  # in a namespace that an owner cannot be in
    is_known: bool = True  # False: some owner's state cannot be told yet


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    kind_id, _, namespace = key[0].partition("/")
    kind = view.roster.get(kind_id)
    obj = view.get(kind_id, namespace, key[1]) if kind is not None else None
    if kind is None or obj is None:
        return plan.NOTHING
    if meta.is_deleting(obj):
        if ORPHAN in meta.finalizers(obj):
            return _orphaning(view, kind, obj)
        if FOREGROUND in meta.finalizers(obj):
            return _foreground(view, kind, obj)
        return plan.NOTHING
    return _collection(view, kind, obj)


def _orphaning(view: View, kind: Kind, obj: meta.Obj) -> plan.Plan:
    releases = [
        plan.Update(kind=dependent_kind.id, body=_without_owners(dependent, {meta.uid(obj)}), why=f"{meta.name(obj)} is deleted, orphaning")
        for dependent_kind, dependent in _dependents(view, meta.uid(obj))
    ]
    return plan.plan_of(releases, [_without_finalizer(kind, obj, ORPHAN)])


def _foreground(view: View, kind: Kind, obj: meta.Obj) -> plan.Plan:
    uid = meta.uid(obj)
    awaited = list(blocking(view, uid))
    if not awaited:
        return plan.plan_of([_without_finalizer(kind, obj, FOREGROUND)])
    return plan.plan_of(waiting_on=[plan.Waiting(_awaited(other, dependent)) for other, dependent in awaited[:NAMED_MOST]])


def blocking(view: View, uid: str) -> Iterable[tuple[Kind, meta.Obj]]:
    """What an owner with the finalizer foregroundDeletion waits for."""
    return ((kind, dependent) for kind, dependent in _dependents(view, uid) if _blocks(dependent, uid))


def _awaited(kind: Kind, dependent: meta.Obj) -> str:
    held = ", ".join(meta.finalizers(dependent)) if meta.is_deleting(dependent) else ""
    return f"{kind.id} {meta.name(dependent)} to be deleted" + (f" (held by {held})" if held else "")


def _collection(view: View, kind: Kind, obj: meta.Obj) -> plan.Plan:
    owners = _owners(view, kind, obj)
    misplaced = [_misplaced(kind, obj, reference) for reference in owners.elsewhere]
    if not owners.is_known:
        return plan.plan_of(misplaced)
    lost = owners.gone + owners.waiting
    if owners.solid:
        if not lost:
            return plan.NOTHING
        body = _without_owners(obj, {reference["uid"] for reference in lost})
        return plan.plan_of([plan.Update(kind=kind.id, body=body, why="some of its owners are gone")])
    if not lost:
        return plan.NOTHING
    if owners.waiting:
        dependents = list(_dependents(view, meta.uid(obj)))
        if dependents:
            return plan.plan_of(_unblocking(kind, obj, dependents) or [_deletion(kind, obj, "Foreground")])
    propagation: plan.Propagation = "Background"
    if ORPHAN in meta.finalizers(obj):
        propagation = "Orphan"
    elif FOREGROUND in meta.finalizers(obj):
        propagation = "Foreground"
    return plan.plan_of(misplaced, [_deletion(kind, obj, propagation)])


def _owners(view: View, kind: Kind, obj: meta.Obj) -> _Owners:
    found = _Owners()
    for reference in meta.owners(obj):
        owner_kind = view.roster.of_object(str(reference["apiVersion"]), str(reference["kind"]))
        if owner_kind is None or "watch" not in owner_kind.verbs:
            found.is_known = False
            continue
        namespace = meta.namespace(obj) if owner_kind.namespaced else ""
        if owner_kind.namespaced and not kind.namespaced:
            found.elsewhere.append(reference)
            found.is_known = False
            continue
        owner = view.get(owner_kind.storage_id, namespace, str(reference["name"]))
        if owner is None or meta.uid(owner) != reference["uid"]:
            if view.revision(owner_kind.storage_id) < meta.revision(obj):
                found.is_known = False
                continue
            found.gone.append(reference)
            if owner_kind.namespaced and _exists_elsewhere(view, owner_kind, reference):
                found.elsewhere.append(reference)
        elif meta.is_deleting(owner) and FOREGROUND in meta.finalizers(owner):
            found.waiting.append(reference)
        else:
            found.solid.append(reference)
    return found


def _exists_elsewhere(view: View, kind: Kind, reference: Reference) -> bool:
    for namespace in view.by("namespaces", NAMESPACE, ""):
        owner = view.get(kind.storage_id, meta.name(namespace), str(reference["name"]))
        if owner is not None and meta.uid(owner) == reference["uid"]:
            return True
    return False


def _misplaced(kind: Kind, obj: meta.Obj, reference: Reference) -> plan.Action:
    namespace = meta.namespace(obj)
    coordinates = (
        f"{reference['apiVersion']}/{reference['kind']}, namespace: {namespace}, name: {reference['name']}, uid: {reference['uid']}"
    )
    message = f'ownerRef [{coordinates}] does not exist in namespace "{namespace}"'
    regarding = {"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": meta.meta(obj)}
    return plan.Emit(regarding=regarding, reason="OwnerRefInvalidNamespace", message=message, type="Warning")


def _dependents(view: View, uid: str) -> Iterable[tuple[Kind, meta.Obj]]:
    for kind in view.roster:
        if _is_collected(kind):
            for dependent in view.by(kind.id, OWNER, uid):
                yield kind, dependent


def _is_collected(kind: Kind) -> bool:
    return kind.storage_id == kind.id and kind.id not in IGNORED and set(kind.verbs) >= COLLECTED_VERBS


def _blocks(dependent: meta.Obj, uid: str) -> bool:
    return any(reference.get("uid") == uid and reference.get("blockOwnerDeletion") for reference in meta.owners(dependent))


def _unblocking(kind: Kind, obj: meta.Obj, dependents: Iterable[tuple[Kind, meta.Obj]]) -> list[plan.Action]:
    """In a circle of owners somebody must stop blocking, or all would wait for each other."""
    waits = any(meta.is_deleting(dependent) and FOREGROUND in meta.finalizers(dependent) for _, dependent in dependents)
    if not waits or not any(reference.get("blockOwnerDeletion") for reference in meta.owners(obj)):
        return []
    owners = [{name: value for name, value in one.items() if name != "blockOwnerDeletion"} for one in meta.owners(obj)]
    body = meta.put(obj, ("metadata", "ownerReferences"), owners)
    return [plan.Update(kind=kind.id, body=body, why="its owners own each other in a circle")]


def _deletion(kind: Kind, obj: meta.Obj, propagation: plan.Propagation) -> plan.Action:
    return plan.Delete(
        kind=kind.id,
        namespace=meta.namespace(obj),
        name=meta.name(obj),
        uid=meta.uid(obj),
        resource_version=meta.resource_version(obj),
        propagation=propagation,
        why=f"its owner {meta.owners(obj)[0]['kind']} {meta.owners(obj)[0]['name']} is gone",
    )


def _without_owners(obj: meta.Obj, uids: set[str]) -> meta.Obj:
    return meta.put(obj, ("metadata", "ownerReferences"), [one for one in meta.owners(obj) if one.get("uid") not in uids])


def _without_finalizer(kind: Kind, obj: meta.Obj, finalizer: str) -> plan.Action:
    left = [one for one in meta.finalizers(obj) if one != finalizer]
    body = meta.put(obj, ("metadata", "finalizers"), left)
    return plan.Update(kind=kind.id, body=body, why=f"nothing holds its finalizer {finalizer} any more")


def _touched(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """Objects whose owners or finalizers changed, the dependents of what goes, the owners that wait for it."""
    obj = new if new is not None else old
    assert obj is not None
    if new is not None and old is not None and _looks(old) == _looks(new):
        return
    kind = view.roster.of_object(str(obj.get("apiVersion")), str(obj.get("kind")))
    if kind is None or not _is_collected(kind):
        return
    if new is not None and (meta.owners(new) or meta.is_deleting(new)):
        yield _key(kind, new)
    if new is None or meta.is_deleting(new):
        for dependent_kind, dependent in _dependents(view, meta.uid(obj)):
            yield _key(dependent_kind, dependent)
    for reference in (*meta.owners(obj), *(meta.owners(old) if old is not None else ())):
        owner_kind = view.roster.of_object(str(reference["apiVersion"]), str(reference["kind"]))
        if owner_kind is None or "watch" not in owner_kind.verbs:
            continue
        owner = view.get(owner_kind.storage_id, meta.namespace(obj) if owner_kind.namespaced else "", str(reference["name"]))
        if owner is not None and meta.is_deleting(owner):
            yield _key(owner_kind, owner)


def _looks(obj: meta.Obj) -> tuple[Any, ...]:
    """Finalizers hold only what is on its way out."""
    metadata = meta.meta(obj)
    deleted_at = metadata.get("deletionTimestamp")
    return metadata.get("ownerReferences"), deleted_at, metadata.get("finalizers") if deleted_at else None


def _key(kind: Kind, obj: meta.Obj) -> meta.Key:
    return f"{kind.storage_id}/{meta.namespace(obj)}", meta.name(obj)


CONTROLLER = plan.Controller(
    name="garbage-collector-controller", kind="", plan=planned, follows={plan.EVERY_KIND: _touched}, concurrency=64
)
