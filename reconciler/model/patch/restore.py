"""Why a strategically merged object cannot be restored into its Go type, in the words of upstream's converter.

The other patches go through JSON text and are refused in encoding/json's words (model/decode.py); this one converts
values, which says other things and is more lenient: 2.0 is an integer. A value it lets pass is decoded as usual.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.model import govalue
from reconciler.model.schema import Node

# Formats whose Go types decode themselves; what is wrong with them is said elsewhere.
_OWN_DECODERS = ("date-time", "micro-time", "quantity", "int-or-string", "byte", "schema-or-bool", "schema-or-array", "schema-or-strings")
_KINDS = {"string": "string", "boolean": "bool", "number": "float64"}


def misfit(node: Node, value: Any) -> str:
    """What the converter says of the first value that does not fit; "" when all do."""
    return _misfit(node, value, node.name)


def _misfit(node: Node, value: Any, go_type: str) -> str:
    if value is None or node.format in _OWN_DECODERS or node.preserves_unknown or node.type == "":
        return ""
    if node.type == "array":
        if not isinstance(value, list):
            return f"cannot restore slice from {_kind(value)}"
        return next(filter(None, (_misfit(node.item, item, go_type.removeprefix("[]")) for item in value)), "")
    if node.type == "object":
        return _misfit_entries(node, value, go_type)
    return _misfit_scalar(node, value, go_type)


def _misfit_entries(node: Node, value: Any, go_type: str) -> str:
    if not isinstance(value, Mapping):
        return f"cannot restore {'struct from:' if node.properties else 'map from'} {_kind(value)}"
    named = node.properties or value
    for name in named:
        child = node.field(name) if name in value else None
        if child is not None and (text := _misfit(child, value[name], _go_type(node, name, go_type))):
            return text
    return ""


def _misfit_scalar(node: Node, value: Any, go_type: str) -> str:
    wanted = node.format or "int64" if node.type == "integer" else _KINDS[node.type]
    got = govalue.type_name(value)
    if got == wanted or (got == "int64" and wanted in ("int32", "float64")):
        return ""
    if got == "float64" and wanted in ("int32", "int64"):
        return "" if value.is_integer() else f"cannot convert float64 to {wanted}"
    if got == "int64" and wanted == "string":  # Go converts integers to strings, JSON does not
        return f"cannot convert int64 to {go_type or 'string'}"
    return f"unrecognized type: {wanted}"


def _go_type(node: Node, name: str, go_type: str) -> str:
    if not node.properties:
        return go_type.rpartition("]")[2]
    known = node.shape.get(name, "").split(" ")
    short = known[2] if len(known) > 2 else "string"
    return short if "." in short or short[:1].islower() or short[:1] == "[" else f"{node.name.split('.')[-2]}.{short}"


def _kind(value: Any) -> str:
    name = govalue.type_name(value)
    return {"[]interface {}": "slice", "map[string]interface {}": "map"}.get(name, name)
