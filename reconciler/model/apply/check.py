"""Whether a value can be walked at all: wrong types, unknown fields, items that appear twice.

The words are structured-merge-diff's. Whether the values themselves are allowed is asked later, of the merged object.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model import govalue
from reconciler.model.apply import fields, typed
from reconciler.model.schema import Node

STRINGS = ("", "byte")  # formats whose value must be a string; any other may be written as another scalar


def problems(node: Node, value: Any) -> str:
    """What is wrong with an applied value, on one line or as a list; "" when nothing is."""
    found = [f"{path}: {text}" if path else text for path, text in _walk(node, value)]
    if len(found) < 2:
        return "".join(found)
    return "\n".join(["errors:", *("  " + line for line in found)])


def _walk(node: Node, value: Any) -> Iterator[tuple[str, str]]:
    kind = typed.shape(node, value)
    if value is None:
        return
    if kind == "scalar":
        if text := _scalar(node, value):
            yield "", text
    elif kind == "list":
        if not isinstance(value, list):
            yield "", f"expected list, got {_wrapped(value)}"
        else:
            yield from _items(node, value)
    elif not isinstance(value, Mapping):
        yield "", f"expected map, got {_wrapped(value)}"
    else:
        yield from _entries(node, value)


def _items(node: Node, items: list[Any]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = f"[{index}]"
        if not typed.is_atomic(node, "list"):
            try:
                element = typed.item_element(node, item)
            except typed.Untypable as problem:
                yield "", f"element {index}: {problem}"
                return
            name = fields.element_shown(element)
            if element in seen:
                yield "", f"duplicate entries for key {name}"
            seen.add(element)
        for path, text in _walk(node.item, item):
            yield name + path, text


def _entries(node: Node, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in sorted(value):
        child = typed.find_entry(node, name)
        if child is None:
            yield f".{name}", "field not declared in schema"
            return
        for path, text in _walk(child, value[name]):
            yield f".{name}{path}", text


def _scalar(node: Node, value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if node.type in ("integer", "number"):
        return "" if is_number else f"expected numeric (int or float), got {govalue.type_name(value)}"
    if node.type == "boolean":
        return "" if isinstance(value, bool) else f"expected boolean, got {_wrapped(value)}"
    if node.type == "string" and node.format in STRINGS:
        return "" if isinstance(value, str) else f"expected string, got &value.valueUnstructured{{Value:{govalue.literal(value)}}}"
    return "" if isinstance(value, str | bool) or is_number else f"expected any scalar, got {_wrapped(value)}"


def _wrapped(value: Any) -> str:
    return f"&{{{govalue.plain(value)}}}"
