"""What every Kubernetes object has: identity, ownership, labels, deletion.

An object is a plain JSON mapping in wire form, never changed once published. `put` and `without` are the only
ways to change one: they copy the path and share the rest.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Obj = Mapping[str, Any]
Key = tuple[str, str]  # (namespace, name); the namespace of a cluster-wide object is ""

EMPTY: Mapping[str, Any] = {}


def meta(obj: Obj) -> Mapping[str, Any]:
    return obj.get("metadata") or EMPTY


def name(obj: Obj) -> str:
    return str((obj.get("metadata") or EMPTY).get("name", ""))


def namespace(obj: Obj) -> str:
    return str((obj.get("metadata") or EMPTY).get("namespace", ""))


def key(obj: Obj) -> Key:
    metadata = obj.get("metadata") or EMPTY
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))


def path(obj: Obj) -> str:
    """As people name it: NAMESPACE/NAME, or NAME of what has no namespace."""
    return "/".join(part for part in key(obj) if part)


def uid(obj: Obj) -> str:
    return str(meta(obj).get("uid", ""))


def resource_version(obj: Obj) -> str:
    return str(meta(obj).get("resourceVersion", ""))


def revision(obj: Obj) -> int:
    """The journal revision that last changed the object; 0 for one that was never stored."""
    return int(meta(obj).get("resourceVersion") or 0)


def generation(obj: Obj) -> int:
    return int(meta(obj).get("generation") or 0)


def labels(obj: Obj) -> Mapping[str, str]:
    return (obj.get("metadata") or EMPTY).get("labels") or EMPTY


def annotations(obj: Obj) -> Mapping[str, str]:
    return meta(obj).get("annotations") or EMPTY


def finalizers(obj: Obj) -> tuple[str, ...]:
    return tuple(meta(obj).get("finalizers") or ())


def is_deleting(obj: Obj) -> bool:
    return bool((obj.get("metadata") or EMPTY).get("deletionTimestamp"))


def spec(obj: Obj) -> Mapping[str, Any]:
    return obj.get("spec") or EMPTY


def status(obj: Obj) -> Mapping[str, Any]:
    return obj.get("status") or EMPTY


def owners(obj: Obj) -> tuple[Mapping[str, Any], ...]:
    return tuple(meta(obj).get("ownerReferences") or ())


def controller(obj: Obj) -> Mapping[str, Any] | None:
    """The owner reference with controller: true, of which there is at most one."""
    for owner in (obj.get("metadata") or EMPTY).get("ownerReferences") or ():
        if owner.get("controller"):
            return owner  # type: ignore[no-any-return]
    return None


def controller_reference(owner: Obj, *, api_version: str = "", kind: str = "") -> dict[str, Any]:
    """The reference that a controller puts on what it creates."""
    return {
        "apiVersion": api_version or owner["apiVersion"],
        "kind": kind or owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def put(obj: Obj, path: Iterable[str], value: Any) -> dict[str, Any]:
    """A copy of `obj` with `value` at `path`; mappings on the way are copied or made, all else is shared."""
    first, *rest = path
    return {**obj, first: put(obj.get(first) or EMPTY, rest, value) if rest else value}


def without(obj: Obj, path: Iterable[str]) -> Obj:
    """A copy of `obj` with nothing at `path`; `obj` itself where there was nothing."""
    first, *rest = path
    if first not in obj:
        return obj
    if not rest:
        return {name: value for name, value in obj.items() if name != first}
    inner = obj[first]
    if not isinstance(inner, Mapping):
        return obj
    pruned = without(inner, rest)
    return obj if pruned is inner else {**obj, first: pruned}
