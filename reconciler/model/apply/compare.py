"""What a change did, field by field: removed, modified, added.

Sub-values that both sides share (path copies do) are equal without a look. What was added as a whole is walked once:
objects made of one template share its parts, so their field sets are remembered by identity, within a bound.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reconciler.model.apply import fields, typed
from reconciler.model.apply.fields import LEAF, SELF, Fields
from reconciler.model.apply.typed import ABSENT
from reconciler.model.schema import Node

REMEMBERED = 4096  # sub-values whose field sets are kept


@dataclass(frozen=True, slots=True)
class Comparison:
    removed: Fields
    modified: Fields
    added: Fields


Parts = tuple[Fields | None, Fields | None, Fields | None]  # removed, modified, added; None is nothing
SAME: Parts = (None, None, None)
MODIFIED: Parts = (None, LEAF, None)


def compare(node: Node, old: Any, new: Any) -> Comparison:
    """Raises typed.Untypable."""
    removed, modified, added = _compare(node, old, new)
    return Comparison(removed or fields.NONE, modified or fields.NONE, added or fields.NONE)


def _compare(node: Node, old: Any, new: Any) -> Parts:
    if old is new:
        return SAME
    if old is ABSENT:
        return None, None, whole(node, new)
    if new is ABSENT:
        return whole(node, old), None, None
    was, now = typed.shape(node, old), typed.shape(node, new)
    if was != now:
        return _bare(whole(node, old)), LEAF, _bare(whole(node, new))
    if typed.is_atomic(node, now) or not (old or new):
        return SAME if equal(old, new) else MODIFIED
    return _compare_maps(node, old or {}, new or {}) if now == "map" else _compare_lists(node, old, new)


def _compare_maps(node: Node, old: Mapping[str, Any], new: Mapping[str, Any]) -> Parts:
    gathered: tuple[dict[str, Any], ...] = ({}, {}, {})
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if before is not value and (parts := _compare(typed.entry(node, name), before, value)) is not SAME:
            _gather(gathered, fields.field(name), parts)
    for name, value in old.items():
        if name not in new:
            _gather(gathered, fields.field(name), _compare(typed.entry(node, name), value, ABSENT))
    return gathered[0] or None, gathered[1] or None, gathered[2] or None


def _compare_lists(node: Node, old: list[Any] | None, new: list[Any] | None) -> Parts:
    gathered: tuple[dict[str, Any], ...] = ({}, {}, {})
    before, after = _by_element(node, old), _by_element(node, new)
    for element in {**before, **after}:
        was, now = before.get(element, []), after.get(element, [])
        if len(was) > 1 and len(now) > 1:  # duplicates are owned by their element alone
            parts = SAME if equal(was, now) else MODIFIED
        elif len(was) > 1:
            parts = LEAF, None, whole(node.item, now[0]) if now else None
        elif len(now) > 1:
            parts = whole(node.item, was[0]) if was else None, None, LEAF
        else:
            parts = _compare(node.item, was[0] if was else ABSENT, now[0] if now else ABSENT)
        _gather(gathered, element, parts)
    return gathered[0] or None, gathered[1] or None, gathered[2] or None


def _by_element(node: Node, items: list[Any] | None) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for element, item in typed.elements(node, items):
        found.setdefault(element, []).append(item)
    return found


def _gather(gathered: tuple[dict[str, Any], ...], element: str, parts: Parts) -> None:
    removed, modified, added = parts
    if removed is not None:
        gathered[0][element] = removed
    if modified is not None:
        gathered[1][element] = modified
    if added is not None:
        gathered[2][element] = added


def _bare(node: Fields) -> Fields | None:
    """What is under a member, without itself."""
    return {element: under for element, under in node.items() if element != SELF} or None


def equal(one: Any, other: Any) -> bool:
    """JSON equality: true is not 1."""
    return bool(one == other) and (isinstance(one, bool) == isinstance(other, bool))


_remembered: dict[tuple[int, int], tuple[Any, Any, Node, Fields | None]] = {}


def created(node: Node, empty: Mapping[str, Any], new: Mapping[str, Any], server_owned: Container[str]) -> Fields:
    """The fields that a new object sets, compared with its kind's empty one; of its metadata none that are the server's."""
    found: dict[str, Any] = {}
    for name, value in new.items():
        if name in ("apiVersion", "kind"):
            continue
        before = empty.get(name, ABSENT)
        child = typed.entry(node, name)
        if name == "metadata":  # no two objects share it
            part: Fields | None = {
                fields.field(key): whole(typed.entry(child, key), item) for key, item in value.items() if key not in server_owned
            }
        else:
            part = whole(child, value) if before is ABSENT else _remember(child, before, value)
        if part or (part is not None and name != "metadata"):
            found[fields.field(name)] = part
    return found


def whole(node: Node, value: Any) -> Fields:
    """The fields of a value that came or went as a whole: every one of them, and what holds them."""
    if not value or not isinstance(value, dict | list):
        return LEAF
    if isinstance(value, dict):
        if not any(item and isinstance(item, dict | list) for item in value.values()):
            return _flat(node, tuple(value))
        if not node.properties:
            return _whole(node, value)  # a map with free keys is seldom shared, and may be large
    return _remember(node, ABSENT, value) or LEAF


@lru_cache(maxsize=REMEMBERED)
def _flat(node: Node, names: tuple[str, ...]) -> Fields:
    """The fields of all maps with these keys and nothing beneath, as conditions and labels are."""
    return _whole(node, dict.fromkeys(sorted(names)))


def _remember(node: Node, before: Any, value: Any) -> Fields | None:
    """What `value` sets over `before`, a part of an empty object or ABSENT. Both are kept, so that their ids are theirs."""
    key = (id(before), id(value))
    known = _remembered.get(key)
    if known is not None and known[2] is node:
        return known[3]
    found = _whole(node, value) if before is ABSENT else _set_over(node, before, value)
    if len(_remembered) >= REMEMBERED:
        del _remembered[next(iter(_remembered))]
    _remembered[key] = (before, value, node, found)
    return found


def _set_over(node: Node, before: Any, value: Any) -> Fields | None:
    _, modified, added = _compare(node, before, value)
    return fields.join(modified, added)


def _whole(node: Node, value: Any) -> Fields:
    kind = typed.shape(node, value)
    if typed.is_atomic(node, kind):
        return LEAF
    if node.is_map and node.values is not None and node.values.type == "string":  # labels and the like
        return {SELF: LEAF, **{fields.field(name): LEAF for name in value}}
    found: dict[str, Any] = {SELF: LEAF}
    if kind == "list" and isinstance(value, list):
        for element, items in _by_element(node, value).items():
            found[element] = whole(node.item, items[0]) if len(items) == 1 else LEAF
    elif kind == "map" and isinstance(value, Mapping):
        for name, item in value.items():
            found[fields.field(name)] = whole(typed.entry(node, name), item)
    return found if len(found) > 1 else LEAF
