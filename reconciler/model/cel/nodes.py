"""From a published schema (model/schema.py) to the types of an object's fields, for checking policies' expressions.

Structs refer to each other in circles, so the fields of each are looked at only when an expression names one. What
has no one type (int-or-string, quantities, free-form fields) is dyn, of which nothing is complained.
"""

from collections.abc import Iterator, Mapping

from reconciler.model.cel import declare, types
from reconciler.model.cel.types import Type
from reconciler.model.schema import Node

_FORMATTED = {
    "byte": types.BYTES,
    "date": types.TIMESTAMP,
    "date-time": types.TIMESTAMP,
    "micro-time": types.TIMESTAMP,
    "duration": types.DURATION,
}
_SIMPLE = {"string": types.STRING, "boolean": types.BOOL, "integer": types.INT, "number": types.DOUBLE}


def type_of(node: Node) -> Type:
    if node.is_int_or_string or node.preserves_unknown or node.format in ("int-or-string", "quantity"):
        return types.DYN
    if node.type == "array":
        return types.list_of(type_of(node.item))
    if node.type == "object" and node.properties:
        return Type("object", fields=_Fields(node))
    if node.type == "object":
        return types.map_of(types.STRING, type_of(node.values)) if node.values is not None else types.DYN
    if node.type == "string":
        return _FORMATTED.get(node.format, types.STRING)
    return _SIMPLE.get(node.type, types.DYN)


class _Fields(Mapping[str, Type]):
    """The fields of a struct by their names in expressions."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._names = {escaped: name for name in node.properties if (escaped := declare.escape(name)) is not None}

    def __getitem__(self, escaped: str) -> Type:
        found = self._node.field(self._names[escaped])
        assert found is not None
        return type_of(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
