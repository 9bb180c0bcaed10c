"""Namespace deletion: everything in it goes first, then it may.

Upstream: pkg/controller/namespace. Pods go before all else (OrderedNamespaceDeletion). The conditions say what is
left and which finalizers it waits for. Runs for namespaces on their way out only.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from reconciler.kinds import namespace
from reconciler.model import conditions, meta, plan
from reconciler.model.kind import Kind
from reconciler.model.view import NAMESPACE, View

NAMESPACES = "namespaces"
PODS = "pods"

Content = Mapping[str, Sequence[meta.Obj]]  # Kind.id -> what is left of it


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(NAMESPACES, *key)
    if one is None or not meta.is_deleting(one):
        return plan.NOTHING
    content = _content(view, key[1])
    doomed = [(kind, obj) for kind in _next_kinds(content) for obj in content[kind] if not meta.is_deleting(obj)]
    if doomed:
        deletes = [_deletion(kind, obj) for kind, obj in doomed[: plan.MAX_CREATES]]
        return plan.plan_of(deletes, again_at=now if len(doomed) > len(deletes) else None)
    status = _status(view, one, content, now)
    if status != meta.status(one):
        body = meta.put(one, ("status",), status)
        why = "what is left in it changed"
        return plan.plan_of([plan.Update(kind=NAMESPACES, body=body, subresource="status", why=why)], waiting_on=_waiting(content))
    if content or namespace.FINALIZER not in namespace.finalizers(one):
        return plan.plan_of(waiting_on=_waiting(content))
    left = [finalizer for finalizer in namespace.finalizers(one) if finalizer != namespace.FINALIZER]
    body = meta.put(one, ("spec", "finalizers"), left)
    return plan.plan_of([plan.Update(kind=NAMESPACES, body=body, subresource="finalize", why="nothing is left in it")])


def _content(view: View, name: str) -> Content:
    found = {kind.id: view.by(kind.id, NAMESPACE, name) for kind in view.roster if _is_deletable(kind)}
    return {kind: objects for kind, objects in found.items() if objects}


def _is_deletable(kind: Kind) -> bool:
    return kind.namespaced and kind.storage_id == kind.id and {"list", "watch", "delete"} <= set(kind.verbs)


def _next_kinds(content: Content) -> Iterable[str]:
    return [PODS] if PODS in content else content


def _deletion(kind: str, obj: meta.Obj) -> plan.Action:
    return plan.Delete(
        kind=kind,
        namespace=meta.namespace(obj),
        name=meta.name(obj),
        uid=meta.uid(obj),
        propagation="Background",
        why=f"namespace {meta.namespace(obj)} is deleted",
    )


def _status(view: View, one: meta.Obj, content: Content, now: float) -> Mapping[str, object]:
    waiting = Counter(finalizer for objects in content.values() for obj in objects for finalizer in meta.finalizers(obj))
    remaining = {f"{view.roster[kind].plural}.{view.roster[kind].group}": len(objects) for kind, objects in content.items()}
    verdicts = [
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        _remaining(remaining),
        _finalizers(waiting),
    ]
    listed: Sequence[conditions.Condition] = meta.status(one).get("conditions") or ()
    for type, status, reason, message in verdicts:
        listed = conditions.updated(listed, conditions.made(type, status, reason, message, now))
    return {**meta.status(one), "phase": "Terminating", "conditions": listed}


def _remaining(counts: Mapping[str, int]) -> tuple[str, str, str, str]:
    if not counts:
        return "NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"
    listed = ", ".join(sorted(f"{name} has {count} resource instances" for name, count in counts.items()))
    return "NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {listed}"


def _finalizers(counts: Mapping[str, int]) -> tuple[str, str, str, str]:
    if not counts:
        return "NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", "All content-preserving finalizers finished"
    listed = ", ".join(sorted(f"{name} in {count} resource instances" for name, count in counts.items()))
    message = f"Some content in the namespace has finalizers remaining: {listed}"
    return "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", message


def _waiting(content: Content) -> Iterable[plan.Waiting]:
    for kind, objects in content.items():
        first = objects[0]
        finalizers = ", ".join(meta.finalizers(first)) or "its end"
        yield plan.Waiting(f"{len(objects)} {kind}, such as {meta.name(first)} (waits for {finalizers})")


def _of_content(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    obj = new if new is not None else old
    name = meta.namespace(obj) if obj is not None else ""
    if name:
        one = view.get(NAMESPACES, "", name)
        if one is not None and meta.is_deleting(one):
            yield "", name


CONTROLLER = plan.Controller(name="namespace-controller", kind=NAMESPACES, plan=planned, follows={plan.EVERY_KIND: _of_content})
