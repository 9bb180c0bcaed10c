"""Sets of field paths, kept in the very form that managedFields have on the wire (FieldsV1).

A set is a mapping of path elements to sub-sets: "f:NAME" a field or a map's key, 'k:{"KEY":VALUE}' an item of a list
of maps, "v:VALUE" an item of a set, "i:N" an index. An element is itself a member if its sub-set is empty or has
the key "."; the root never is, so an empty root is the empty set. Keys and values are compact JSON with sorted
keys, which makes equal elements equal strings. Sets are never changed: every operation shares what it can, and
returns its operand where nothing changed.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from reconciler.model import govalue

Fields = Mapping[str, Any]
Path = tuple[str, ...]

SELF = "."
LEAF: dict[str, Any] = {}
NONE: Fields = {}
KEPT = 8192  # ordered sets that are looked for before an equal one is made
MOST_ELEMENTS = 64  # of these; larger sets are seldom alike

_by_content: dict[tuple[tuple[str, int], ...], Fields] = {}
_by_id: dict[int, Fields] = {}


def of(*paths: Path) -> Fields:
    """The set of some paths, given as elements: of(("f:metadata", "f:name"))."""
    result: Fields = NONE
    for path in paths:
        node: Fields = LEAF
        for element in reversed(path):
            node = {element: node}
        result = union(result, node)
    return result


def field(name: str) -> str:
    return "f:" + name


def key(values: Mapping[str, Any]) -> str:
    """The element of a list item with these key fields."""
    return _key(tuple(values.items()))


@lru_cache(maxsize=4096, typed=True)
def _key(items: tuple[tuple[str, Any], ...]) -> str:
    return "k:" + govalue.marshal(dict(items))


def value(item: Any) -> str:
    """The element of an item of a set."""
    return "v:" + govalue.marshal(item)


def with_self(node: Fields | None) -> Fields:
    """The node of an element that is a member, beside what is under it."""
    if not node:
        return LEAF
    return node if SELF in node else {SELF: LEAF, **node}


def union(one: Fields, other: Fields) -> Fields:
    if not one:
        return other
    return _union(one, other) if other else one


def join(one: Fields | None, other: Fields | None) -> Fields | None:
    """The union of two nodes, of which None is nothing and an empty one a member."""
    if one is None or other is None:
        return other if one is None else one
    return _union(one, other)


def difference(one: Fields, other: Fields) -> Fields:
    """Members of `one` that `other` does not have. A member's loss says nothing about what is under it."""
    if not one or not other:
        return one
    return _difference(one, other) or NONE


def deep_difference(one: Fields, other: Fields) -> Fields:
    """`one` without the members of `other` and everything under them."""
    return one if one.keys().isdisjoint(other) else _deep_difference(one, other) or NONE


def intersection(one: Fields, other: Fields) -> Fields:
    return _intersection(one, other) or NONE if one and other else NONE


def under(fields: Fields, roots: Fields) -> Fields:
    """What is at or under the leaves of `roots`."""
    found: dict[str, Any] = {}
    for element, node in fields.items():
        root = roots.get(element)
        kept = None if root is None or element == SELF else under(node, root) if root else node
        if kept or (kept is not None and not root):
            found[element] = kept
    return found


def has(fields: Fields, path: Path) -> bool:
    node: Fields | None = fields
    for element in path:
        node = node.get(element) if node else None
        if node is None:
            return False
    return bool(path) and (not node or SELF in node)


def paths(fields: Fields) -> Iterator[Path]:
    """Every member: at each level the members first, then what is under them, both in order."""
    elements = sorted((element for element in fields if element != SELF), key=_order)
    for element in elements:
        if not fields[element] or SELF in fields[element]:
            yield (element,)
    for element in elements:
        for path in paths(fields[element]):
            yield (element, *path)


def shown(path: Path) -> str:
    """As errors name it: .spec.containers[name="web"].image"""
    return "".join(map(element_shown, path))


def element_shown(element: str) -> str:
    kind, content = element[0], element[2:]
    if kind == "f":
        return "." + content
    if kind == "k":
        keys = json.loads(content)
        return "[" + ",".join(f"{name}={_value_shown(keys[name])}" for name in sorted(keys)) + "]"
    return f"[={_value_shown(json.loads(content))}]" if kind == "v" else f"[{content}]"


def parse(wire: Any) -> Fields:
    """A set as a client wrote it, made canonical. Raises ValueError for what is none."""
    if not isinstance(wire, Mapping):
        raise ValueError("a field set must be an object")
    result: dict[str, Any] = {}
    for element, node in wire.items():
        result[element if element == SELF else _element(element)] = parse(node)
    return result


def ordered(owned: Fields) -> Fields:
    """The same with the order of elements that upstream writes; of equal sets one is kept, for most pods' are alike."""
    if _by_id.get(id(owned)) is owned:
        return owned
    found = {element: ordered(owned[element]) if owned[element] else LEAF for element in sorted(owned)}
    if len(found) > MOST_ELEMENTS:
        return found
    content = tuple([(element, id(node)) for element, node in found.items()])  # `found` keeps the nodes, and so their ids
    known = _by_content.get(content)
    if known is not None:
        return known
    if len(_by_content) >= KEPT:
        oldest = next(iter(_by_content))
        del _by_id[id(_by_content.pop(oldest))]
    _by_content[content] = _by_id[id(found)] = found
    return found


def _element(text: str) -> str:
    kind, colon, content = text[:1], text[1:2], text[2:]
    if colon != ":" or kind not in "fkvi":
        raise ValueError(f"missing colon: {text}")
    if kind == "f":
        return text
    if kind == "i":
        return f"i:{int(content)}"
    return f"{kind}:{govalue.marshal(json.loads(content))}"


def _value_shown(item: Any) -> str:
    return govalue.quoted(item) if isinstance(item, str) else "null" if item is None else govalue.plain(item)


def _order(element: str) -> tuple[Any, ...]:
    kind, content = element[0], element[2:]
    if kind == "f":
        return (0, content)
    if kind == "k":
        keys = json.loads(content)
        return (1, [(name, _rank(keys[name])) for name in sorted(keys)])
    return (2, _rank(json.loads(content))) if kind == "v" else (3, int(content))


def _rank(item: Any) -> tuple[int, Any]:
    """Numbers before strings before booleans."""
    if isinstance(item, bool):
        return (2, item)
    return (1, item) if isinstance(item, str) else (0, item if isinstance(item, int | float) else 0)


def _union(one: Fields, other: Fields) -> Fields:
    if one is other:
        return one
    if not one or not other:
        return with_self(one or other)
    merged: dict[str, Any] | None = None
    for element, node in other.items():
        mine = one.get(element)
        both = node if mine is None else _union(mine, node)
        if both is not mine:
            merged = dict(one) if merged is None else merged
            merged[element] = both
    return one if merged is None else merged


def _difference(one: Fields, other: Fields) -> Fields | None:
    """What is left of a node; None for nothing."""
    if one is other:
        return None
    member = (not one or SELF in one) and bool(other) and SELF not in other
    left: dict[str, Any] = {}
    changed = False
    for element, node in one.items():
        if element == SELF:
            continue
        taken = other.get(element)
        rest = node if taken is None else _difference(node, taken)
        changed = changed or rest is not node
        if rest is not None:
            left[element] = rest
    if not left:
        return LEAF if member else None
    if not changed and member == (SELF in one):
        return one
    return {SELF: LEAF, **left} if member else left


def _deep_difference(one: Fields, other: Fields) -> Fields | None:
    left: dict[str, Any] = {}
    changed = False
    for element, node in one.items():
        cut = other.get(element) if element != SELF else None
        if cut is None:
            left[element] = node
            continue
        rest = None if not cut or SELF in cut else _deep_difference(node, cut) if node else node
        changed = changed or rest is not node
        if rest is not None:
            left[element] = rest
    if not changed:
        return one
    if left.keys() <= {SELF}:
        return LEAF if left else None
    return left


def _intersection(one: Fields, other: Fields) -> Fields | None:
    if one is other:
        return one
    member = (not one or SELF in one) and (not other or SELF in other)
    small, large = (one, other) if len(one) <= len(other) else (other, one)
    both: dict[str, Any] = {}
    for element, node in small.items():
        match = large.get(element)
        if element != SELF and match is not None and (common := _intersection(node, match)) is not None:
            both[element] = common
    if not both:
        return LEAF if member else None
    return {SELF: LEAF, **both} if member else both
