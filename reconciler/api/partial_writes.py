"""What a write through a subresource of the parent's own shape may change; all else stays as it is stored.

Pure functions on objects in the hub version: (what was sent, what is stored) -> the successor. `status` is the kind's
own `prepare_status`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.model import meta
from reconciler.model.kind import Kind

Prepare = Callable[[meta.Obj, meta.Obj], meta.Obj]


def prepared(kind: Kind, subresource: str, sent: meta.Obj, old: meta.Obj, now: str) -> meta.Obj:
    prepare = _PREPARE.get(subresource)
    obj = prepare(sent, old) if prepare is not None else kind.prepare_status(sent, old)
    return _dated(obj, old, now) if kind.stamps_conditions else obj


def _dated(obj: meta.Obj, old: meta.Obj, now: str) -> meta.Obj:
    """`obj` with times for the conditions that have none; a status that is as it was dates from then."""
    since = {(one.get("type"), one.get("status")): one.get("lastTransitionTime") for one in meta.status(old).get("conditions") or ()}
    dated = []
    for one in meta.status(obj).get("conditions") or ():
        begun = one.get("lastTransitionTime") or since.get((one.get("type"), one.get("status"))) or now
        dated.append({**one, "lastUpdateTime": one.get("lastUpdateTime") or now, "lastTransitionTime": begun})
    return {**obj, "status": {**meta.status(obj), "conditions": dated}} if dated else obj


def _finalize(sent: meta.Obj, old: meta.Obj) -> meta.Obj:
    """A namespace's spec.finalizers, which nothing else can remove."""
    spec = {**meta.spec(old), "finalizers": meta.spec(sent).get("finalizers") or []}
    if not spec["finalizers"]:
        del spec["finalizers"]
    return {**old, "metadata": meta.meta(sent), "spec": spec}


def _approval(sent: meta.Obj, old: meta.Obj) -> meta.Obj:
    """The conditions of a certificate signing request."""
    status = dict(meta.status(old))
    status.pop("conditions", None)
    if conditions := meta.status(sent).get("conditions"):
        status["conditions"] = conditions
    return {**old, "metadata": meta.meta(sent), "status": status}


def _ephemeral_containers(sent: meta.Obj, old: meta.Obj) -> meta.Obj:
    spec = dict(meta.spec(old))
    spec["ephemeralContainers"] = meta.spec(sent).get("ephemeralContainers") or []
    return {**old, "metadata": _owned_anew(sent, old), "spec": spec}


def _resize(sent: meta.Obj, old: meta.Obj) -> meta.Obj:
    """The resources of a pod and of its containers."""
    wanted = meta.spec(sent)
    spec = {**meta.spec(old), **{key: wanted[key] for key in ("resources",) if key in wanted}}
    for group in ("containers", "initContainers"):
        by_name = {container.get("name"): container for container in wanted.get(group) or ()}
        if spec.get(group):
            spec[group] = [_resized(container, by_name.get(container.get("name"), container)) for container in spec[group]]
    return {**old, "metadata": _owned_anew(sent, old), "spec": spec}


def _owned_anew(sent: meta.Obj, old: meta.Obj) -> meta.Obj:
    """The stored metadata with the owners that the write makes."""
    owners = meta.meta(sent).get("managedFields")
    return {**meta.meta(old), **({"managedFields": owners} if owners else {})}


def _resized(container: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    changed = {key: wanted[key] for key in ("resources", "resizePolicy") if key in wanted}
    return {**container, **changed}


_PREPARE: Mapping[str, Prepare] = {
    "finalize": _finalize,
    "approval": _approval,
    "ephemeralcontainers": _ephemeral_containers,
    "resize": _resize,
}
