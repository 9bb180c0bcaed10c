"""The metadata that only the server writes: uid, times, generation, generated names.

Pure functions on objects in the hub version, after k8s.io/apiserver/pkg/registry/rest/{create,update}.go. Random
suffixes and uids are handed in.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.api.calls import User
from reconciler.model import meta
from reconciler.model.kind import Kind

GENERATED_MOST = 58  # characters of generateName that are kept, so that five more fit into a DNS label

_WIPED = frozenset({"uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"})
_SERVER_WRITES = frozenset(
    {"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"}
)


def created(kind: Kind, obj: meta.Obj, *, namespace: str, name: str, uid: str, now: str) -> dict[str, Any]:
    """`obj` as a new object: what the caller sent for the server's own fields is dropped."""
    sent = meta.meta(obj)
    metadata: dict[str, Any] = {"name": name}
    if sent.get("generateName"):
        metadata["generateName"] = sent["generateName"]
    if namespace:
        metadata["namespace"] = namespace
    metadata["uid"] = uid
    if kind.has_generation:
        metadata["generation"] = 1
    elif sent.get("generation"):
        metadata["generation"] = sent["generation"]
    metadata["creationTimestamp"] = now
    for key, value in sent.items():
        if key not in metadata and key not in _SERVER_WRITES and value not in ("", None):
            metadata[key] = value
    if "managedFields" in metadata:  # the last, as in Kubernetes
        metadata["managedFields"] = metadata.pop("managedFields")
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, **_body(obj)}


def unsent(obj: meta.Obj) -> meta.Obj:
    """`obj` without what a caller may send with a new object but the server alone decides."""
    sent = meta.meta(obj)
    if not any(key in sent for key in _WIPED):
        return obj
    return {**obj, "metadata": {key: value for key, value in sent.items() if key not in _WIPED}}


def requested_by(obj: meta.Obj, user: User) -> meta.Obj:
    """`obj` with who creates it in its spec."""
    said = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": {k: list(v) for k, v in user.extra.items()}}
    return {**obj, "spec": {**meta.spec(obj), **{name: value for name, value in said.items() if value}}}


def updated(obj: meta.Obj, old: meta.Obj) -> dict[str, Any]:
    """`obj` as the successor of `old`: identity and deletion carry over, whatever the caller sent or left out."""
    metadata = dict(meta.meta(obj))
    before = meta.meta(old)
    metadata.setdefault("uid", before["uid"])
    for key in ("creationTimestamp", "generation", "selfLink"):
        _carry(metadata, before, key)
    if "deletionTimestamp" in before:
        metadata["deletionTimestamp"] = before["deletionTimestamp"]
    if "deletionGracePeriodSeconds" in before:
        metadata.setdefault("deletionGracePeriodSeconds", before["deletionGracePeriodSeconds"])
    metadata.pop("resourceVersion", None)
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, **_body(obj)}


def next_generation(kind: Kind, obj: dict[str, Any], old: meta.Obj) -> dict[str, Any]:
    """Bump the generation where anything but metadata and status changed; a kind's own `prepare` may have done so."""
    if not (kind.has_generation and kind.generation_grows) or meta.generation(obj) != meta.generation(old) or same_spec(obj, old):
        return obj
    return {**obj, "metadata": {**obj["metadata"], "generation": meta.generation(old) + 1}}


def same_spec(obj: meta.Obj, old: meta.Obj) -> bool:
    """Whether nothing but metadata and status differs."""
    return all(obj.get(key) == old.get(key) for key in obj.keys() | old.keys() if key not in ("metadata", "status"))


def shares_content(obj: meta.Obj, old: meta.Obj) -> bool:
    """Whether `obj` is `old` but for status, finalizers and owners: then a kind's own rules found all of it good before."""
    new, before = meta.meta(obj), meta.meta(old)
    return (
        obj.keys() == old.keys()
        and all(obj[key] is old[key] for key in obj if key not in ("apiVersion", "kind", "metadata", "status"))
        and new.get("labels") is before.get("labels")
        and new.get("annotations") is before.get("annotations")
    )


def generated_name(prefix: str, suffix: str) -> str:
    return prefix[:GENERATED_MOST] + suffix


def unstamped(obj: meta.Obj) -> meta.Obj:
    """`obj` as it is stored: the resourceVersion is the journal's, not the value's."""
    metadata = meta.meta(obj)
    if "resourceVersion" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "resourceVersion"}}


def _body(obj: meta.Obj) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}


def _carry(metadata: dict[str, Any], before: Mapping[str, Any], key: str) -> None:
    if key in before:
        metadata[key] = before[key]
    else:
        metadata.pop(key, None)
