"""What distinguishes two forms of one object, in words: "spec.replicas 2 -> 3".

Items of a list are matched by the keys that the schema declares, else by name, else by place; so an inserted
container is one line and not a change of all that follow. What only the server writes, and our own marks, is left
out. Values of Secrets are never shown. Pure.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.gitops import marks
from reconciler.model import meta
from reconciler.model.schema import Node

ABSENT: Any = object()
MAX_SHOWN = 60  # characters of a value
_SERVER_METADATA = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_NOISE = (*marks.OWN, "deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")


@dataclass(frozen=True, slots=True)
class Change:
    """One field. ABSENT is a side where it is not set."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is ABSENT:
            return f"{self.path}: {shown(self.new)} (added)"
        if self.new is ABSENT:
            return f"{self.path}: {shown(self.old)} (removed)"
        if _is_long(self.old) or _is_long(self.new):
            return f"{self.path}: {_lines_changed(self.old, self.new)}"
        return f"{self.path} {shown(self.old)} -> {shown(self.new)}"


def between(old: meta.Obj | None, new: meta.Obj | None, node: Node | None = None) -> tuple[Change, ...]:
    """The fields that differ, ordered as written. `node` is the schema of the object, where there is one."""
    changes = tuple(_changes(_stripped(old or {}), _stripped(new or {}), node, ""))
    kind = (new or old or {}).get("kind")
    return tuple(map(_hidden, changes)) if kind == "Secret" else changes


def lines(title: str, old: meta.Obj | None, new: meta.Obj | None, node: Node | None = None) -> list[str]:
    """A change as a person reads it; `title` is such as "Deployment default/web"."""
    if old is None:
        return [f"+ {title}"]
    if new is None:
        return [f"- {title}"]
    return [f"~ {title} {change}" for change in between(old, new, node)]


def shown(value: Any) -> str:
    """A value on one line, cut where it is long."""
    text = value if isinstance(value, str) and value and not any(c in value for c in '\n" ') else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _stripped(obj: meta.Obj) -> meta.Obj:
    if not obj:
        return obj
    metadata = {key: value for key, value in meta.meta(obj).items() if key not in _SERVER_METADATA}
    for group in ("labels", "annotations"):
        kept = {key: value for key, value in (metadata.get(group) or {}).items() if key not in _NOISE}
        metadata[group] = kept
        if not kept:
            del metadata[group]
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


def _changes(old: Any, new: Any, node: Node | None, path: str) -> Iterator[Change]:
    if old is new or (old is not ABSENT and new is not ABSENT and old == new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys((*old, *new)):
            yield from _changes(old.get(name, ABSENT), new.get(name, ABSENT), node.field(name) if node else None, _below(path, name))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_changes(old, new, node, path)
    else:
        yield Change(path, old, new)


def _list_changes(old: list[Any], new: list[Any], node: Node | None, path: str) -> Iterator[Change]:
    keys = (node.map_keys if node else ()) or ("name",)
    before, after = _keyed(old, keys), _keyed(new, keys)
    if before is None or after is None:
        if not any(isinstance(item, Mapping) for item in (*old, *new)):
            yield Change(path, old, new)
            return
        before, after = ({f"[{index}]": item for index, item in enumerate(side)} for side in (old, new))
    for element in dict.fromkeys((*before, *after)):
        item = node.item if node else None
        yield from _changes(before.get(element, ABSENT), after.get(element, ABSENT), item, path + element)


def _keyed(items: list[Any], keys: tuple[str, ...]) -> dict[str, Any] | None:
    """Items by what identifies them; None where something does not, or two are alike."""
    found: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, Mapping) or keys[0] not in item:
            return None
        element = "[" + ",".join(f"{key}={item[key]}" for key in keys if key in item) + "]"
        if element in found:
            return None
        found[element] = item
    return found


def _below(path: str, name: str) -> str:
    if not path:
        return name
    return f"{path}[{name}]" if "." in name or "/" in name else f"{path}.{name}"


def _hidden(change: Change) -> Change:
    if change.path.split(".")[0].split("[")[0] not in ("data", "stringData"):
        return change
    old, new = (side if side is ABSENT else mask for side, mask in ((change.old, "(hidden)"), (change.new, "(changed)")))
    return Change(change.path, old, new)


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and "\n" in value


def _lines_changed(old: Any, new: Any) -> str:
    """For texts, such as a file in a ConfigMap: how many lines came and went, and the first that came."""
    before, after = str(old).splitlines(), str(new).splitlines()
    came = [line for line in after if line not in set(before)]
    went = [line for line in before if line not in set(after)]
    first = f": {shown(came[0].strip())}" if came else ""
    return f"{len(went)} lines removed, {len(came)} added{first}"
