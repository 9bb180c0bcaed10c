"""What a DELETE does to an object: goes at once, waits for its grace period, or waits for finalizers.

Pure, after k8s.io/apiserver/pkg/registry/rest/delete.go and .../generic/registry/store.go. Garbage collection of
dependents is the controllers' work; here the propagation policy only becomes a finalizer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reconciler.api.calls import DeleteOptions
from reconciler.kit import clock
from reconciler.model import conditions, meta
from reconciler.model.kind import Kind

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"  # holds a definition until its objects are gone
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
ORPHANS_BY_DEFAULT = frozenset({"replicationcontrollers", "jobs.batch"})

# Kinds whose DELETE answers with the object rather than a Status (Kubernetes' ReturnDeletedObject).
RETURNS_OBJECT = frozenset(
    {
        "namespaces", "persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates", "resourcequotas",
        "serviceaccounts", "services", "csidrivers.storage.k8s.io", "csinodes.storage.k8s.io",
        "storageclasses.storage.k8s.io", "volumeattachments.storage.k8s.io", "volumeattributesclasses.storage.k8s.io",
        "deviceclasses.resource.k8s.io", "resourceclaims.resource.k8s.io", "resourceclaimtemplates.resource.k8s.io",
        "resourceslices.resource.k8s.io",
    }
)  # fmt: skip


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Verdict:
    """`obj` is the object afterwards, unchanged where nothing is to be done; `gone` removes it.

    `undo` gives back what the decision took (addresses, ports) when it does not come to be.
    """

    obj: meta.Obj
    gone: bool = False
    undo: Callable[[], None] = _nothing


def delete(kind: Kind, obj: meta.Obj, options: DeleteOptions, now: float) -> Verdict:
    if kind.id == "namespaces":
        return _namespace(obj, now)
    if kind.id == DEFINITIONS:
        obj = _definition(obj, now)
    graced, pending = _graceful(kind, obj, options, now)
    if pending:
        return Verdict(obj)
    finalizers = _finalizers(kind, obj, options)
    if finalizers != meta.finalizers(obj):
        graced = _with_finalizers(graced, finalizers)
    if holds(kind, graced):
        return Verdict(_marked(graced, now))
    return Verdict(graced, gone=graced is obj or meta.meta(graced).get("deletionGracePeriodSeconds", 0) == 0)


def is_finished(kind: Kind, obj: meta.Obj) -> bool:
    """Whether an update let go of the last thing that kept an object which is being deleted."""
    metadata = meta.meta(obj)
    return bool(metadata.get("deletionTimestamp")) and not metadata.get("deletionGracePeriodSeconds") and not holds(kind, obj)


def holds(kind: Kind, obj: meta.Obj) -> bool:
    """Whether finalizers keep the object; a namespace has some in its spec, too."""
    return bool(meta.finalizers(obj)) or (kind.id == "namespaces" and bool(meta.spec(obj).get("finalizers")))


def _graceful(kind: Kind, obj: meta.Obj, options: DeleteOptions, now: float) -> tuple[meta.Obj, bool]:
    """The object with its grace period begun or shortened, and whether a deletion is under way that stays as it is."""
    metadata = meta.meta(obj)
    granted = metadata.get("deletionGracePeriodSeconds")
    asked = options.grace_seconds if options.grace_seconds is None or options.grace_seconds >= 0 else 1
    if metadata.get("deletionTimestamp"):
        if granted is None:
            return obj, False
        if asked is None or asked >= granted:
            return obj, True
        begun = clock.parse_rfc3339(metadata["deletionTimestamp"]) - granted
        return _due(obj, begun + asked, asked), False
    if kind.graceful_seconds is None:
        return obj, False
    usual = kind.graceful_seconds(obj)
    grace_seconds = 0 if usual is None else usual if asked is None else asked
    return _bumped(_due(obj, now + grace_seconds, grace_seconds)), False


def _finalizers(kind: Kind, obj: meta.Obj, options: DeleteOptions) -> tuple[str, ...]:
    current = meta.finalizers(obj)
    if kind.id in ("pods", "events") and not {ORPHAN, FOREGROUND} & set(current) and options.propagation is None:
        return current
    orphan, foreground = ORPHAN in current, FOREGROUND in current
    if options.propagation is not None:
        orphan, foreground = options.propagation == "Orphan", options.propagation == "Foreground"
    elif not orphan and not foreground:
        orphan = kind.id in ORPHANS_BY_DEFAULT
    kept = tuple(finalizer for finalizer in current if finalizer not in (ORPHAN, FOREGROUND))
    return kept + ((ORPHAN,) if orphan else ()) + ((FOREGROUND,) if foreground and not orphan else ())


def _with_finalizers(obj: meta.Obj, finalizers: tuple[str, ...]) -> meta.Obj:
    return meta.put(obj, ("metadata", "finalizers"), list(finalizers)) if finalizers else meta.without(obj, ("metadata", "finalizers"))


def _marked(obj: meta.Obj, now: float) -> meta.Obj:
    """An object without a grace period of its own, waiting for its finalizers."""
    metadata = meta.meta(obj)
    if metadata.get("deletionTimestamp"):
        return obj if "deletionGracePeriodSeconds" in metadata else meta.put(obj, ("metadata", "deletionGracePeriodSeconds"), 0)
    return _bumped(_due(obj, now, 0))


def _due(obj: meta.Obj, at: float, grace_seconds: int) -> dict[str, Any]:
    metadata = {**meta.meta(obj), "deletionTimestamp": clock.rfc3339(at), "deletionGracePeriodSeconds": grace_seconds}
    return {**obj, "metadata": metadata}


def _bumped(obj: meta.Obj) -> meta.Obj:
    generation = meta.generation(obj)
    return meta.put(obj, ("metadata", "generation"), generation + 1) if generation else obj


def _namespace(obj: meta.Obj, now: float) -> Verdict:
    """A namespace only begins to terminate; its controller empties it and lets go of spec.finalizers."""
    if not meta.is_deleting(obj):
        obj = meta.put(meta.put(obj, ("metadata", "deletionTimestamp"), clock.rfc3339(now)), ("status", "phase"), "Terminating")
    return Verdict(obj, gone=not meta.finalizers(obj) and not meta.spec(obj).get("finalizers"))


def _definition(obj: meta.Obj, now: float) -> meta.Obj:
    """A definition stays until definitions.py has removed its objects."""
    if meta.is_deleting(obj):
        return obj
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will be in progress"
    terminating = conditions.made("Terminating", "True", "InstanceDeletionPending", message, now)
    status = meta.status(obj)
    obj = {**obj, "status": {**status, "conditions": list(conditions.updated(status.get("conditions") or (), terminating))}}
    return _with_finalizers(obj, (*(name for name in meta.finalizers(obj) if name != CLEANUP), CLEANUP))
