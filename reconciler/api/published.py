"""Definitions as Kubernetes publishes them in OpenAPI v3, made from the condensed ones that objects are decoded by.

Three things differ. A reference with a description beside it stands in an allOf, for siblings of $ref do not count;
types that are a number or a string are a oneOf; fields of types with known values name and explain them. The values are
for people and clients: what is refused is said by each kind's own rules.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
Enums = Mapping[str, Mapping[str, Mapping[str, str]]]  # definition to field to value to what it means

_SPECIAL: Mapping[str, Schema] = {
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "int-or-string": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}


def definition(schema: Schema, values: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """One definition; `values` are the enums of its fields."""
    special = _SPECIAL.get(schema.get("format", ""))
    if special is not None:
        return {**{name: schema[name] for name in ("description", "default") if name in schema}, **special}
    made = _node(schema)
    for name, known in values.items():
        if name in made.get("properties", {}):
            made["properties"][name] = _with_values(made["properties"][name], known)
    return made


def _node(schema: Schema) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: _node(field) for name, field in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, Mapping):
            made[key] = _node(value)
        elif key == "$ref" and len(schema) > 1:
            made["allOf"] = [{key: value}]
        else:
            made[key] = value
    return made


def _with_values(field: dict[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """A field whose values are known; those of a list's or a map's elements are named without being explained."""
    for holder in ("items", "additionalProperties"):
        if holder in field:
            return {**field, holder: {**field[holder], "enum": sorted(known)}}
    lines = sorted(f' - `"{value}"` {meaning}'.rstrip() for value, meaning in known.items())
    description = "\n".join([field.get("description", ""), "", "Possible enum values:", *lines])
    return {**field, "description": description, "enum": sorted(known)}
