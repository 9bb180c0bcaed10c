"""Values seen through their schema, as structured-merge-diff sees them: who can own what in them.

A scalar, an atomic list and an atomic map are owned as a whole; a granular map by its entries; a list of type map or
set by its items, which are found by their keys or values. Where the schema allows anything, the value decides: maps
are granular, lists atomic. Walks raise Untypable where a list's item has no path; `check` finds every such place
beforehand and says it in upstream's words.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from reconciler.model import govalue
from reconciler.model.apply import fields
from reconciler.model.apply.fields import Fields
from reconciler.model.schema import ANY, Node, Schemas

Shape = Literal["map", "list", "scalar"]
ABSENT: Any = object()  # no value at all, where None is JSON's null
DEDUCED = Schemas({}).of(ANY)
ZEROS: Mapping[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False}
RAW = "io.k8s.apimachinery.pkg.runtime.RawExtension"


class Untypable(Exception):
    """A value does not fit its schema so far that its fields have no paths."""


def shape(node: Node, value: Any) -> Shape:
    """How a value is walked: by the schema's type, else by its own."""
    declared = node.type
    if declared == "object":
        return "map"
    if declared == "array":
        return "list"
    if declared or isinstance(value, str | int | float):
        return "scalar"
    return "list" if isinstance(value, list) else "map"


def is_atomic(node: Node, kind: Shape) -> bool:
    if kind == "map":
        return node.map_type == "atomic" or node.name == RAW
    return kind == "scalar" or (node.list_type or "atomic") == "atomic"


def is_declared(node: Node, name: str) -> bool:
    return name in node.properties


def entry(node: Node, name: str) -> Node:
    """The schema of a map's entry. Raises Untypable for one that the schema does not know."""
    found = node.field(name) or find_entry(node, name)
    if found is None:
        raise Untypable(f".{name}: field not declared in schema")
    return found


def find_entry(node: Node, name: str) -> Node | None:
    found = node.field(name)
    if found is None and not node.properties and "additionalProperties" not in node.schema:
        return DEDUCED  # an object of which nothing is said
    return found


def item_element(node: Node, item: Any) -> str:
    """The path element of a list's item. Raises Untypable where it has none."""
    keys = node.map_keys
    if keys:
        return _keyed_element(node, keys, item)
    if isinstance(item, Mapping):
        raise Untypable("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise Untypable("not supported: associative list with lists as elements")
    if item is None:
        raise Untypable("associative list without keys has an element that's an explicit null")
    return fields.value(item)


def _keyed_element(node: Node, keys: tuple[str, ...], item: Any) -> str:
    if item is None:
        raise Untypable("associative list with keys may not have a null element")
    if not isinstance(item, Mapping):
        raise Untypable("associative list with keys may not have non-map elements")
    found: dict[str, Any] = {}
    for name in keys:
        value = item[name] if name in item else key_default(node.item, name)
        if value is not None or name in item:
            found[name] = value
    if not found:
        names = " ".join(map(govalue.quoted, keys))
        raise Untypable(
            f"associative list with keys has an element that omits all key fields [{names}]"
            " (and doesn't have default values for any key fields)"
        )
    return fields.key(found)


def key_default(item: Node, name: str) -> Any:
    """A key's value where an item leaves it out: the schema's default; in Kubernetes' own types a required scalar's zero."""
    node = item.field(name)
    if node is None:
        return None
    if node.default is None and item.name and name in (item.schema.get("required") or ()):
        return ZEROS.get(node.type)
    return node.default


def elements(node: Node, items: list[Any] | None) -> Iterator[tuple[str, Any]]:
    for index, item in enumerate(items or ()):
        try:
            yield item_element(node, item), item
        except Untypable as problem:
            raise Untypable(f"element {index}: {problem}") from None


def of(node: Node, value: Any) -> Fields:
    """Every field and item that a value mentions."""
    return _of(node, value) or fields.NONE


def _of(node: Node, value: Any) -> Fields | None:
    kind = shape(node, value)
    if is_atomic(node, kind):
        return fields.LEAF
    found: dict[str, Any] = {}
    if kind == "list":
        seen: dict[str, Any] = {}
        for element, item in elements(node, value):
            seen[element] = ABSENT if element in seen else item
        for element, item in seen.items():  # of duplicates only the element is owned
            found[element] = fields.LEAF if item is ABSENT else fields.with_self(_of(node.item, item))
        return found or None
    for name, item in (value or {}).items():
        under = _of(entry(node, name), item)
        if item is None or item == {} or not is_declared(node, name):
            under = fields.with_self(under)
        if under is not None:
            found[fields.field(name)] = under
    return found or None


def members(node: Node | None, owned: Fields) -> Fields:
    """`owned` with every named field on the way to a member as a member too."""
    result: dict[str, Any] = {}
    for element, under in owned.items():
        if not under:
            result[element] = under
            continue
        child = _under(node, element)
        whole = members(child, under)
        named = node is not None and element[0] == "f" and node.type != "array" and is_declared(node, element[2:])
        result[element] = fields.with_self(whole) if named else whole
    return result


def settle(node: Node | None, owned: Fields) -> Fields:
    """`owned` as the schema has it now: what became atomic is owned as a whole."""
    result: dict[str, Any] = {}
    for element, under in owned.items():
        child = _under(node, element) if under else None
        if child is None:
            result[element] = under
        elif is_atomic(child, _declared_shape(child)):
            result[element] = fields.LEAF
        else:
            result[element] = settle(child, under)
    return result


def _declared_shape(node: Node) -> Shape:
    return "list" if node.type == "array" else "map"


def _under(node: Node | None, element: str) -> Node | None:
    if node is None:
        return None
    if element[0] == "f":
        return find_entry(node, element[2:]) if node.type != "array" else None
    return node.item if element[0] == "k" and node.type == "array" else None
