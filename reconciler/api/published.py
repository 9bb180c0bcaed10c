"""Schemas as Kubernetes publishes them in OpenAPI, made from the condensed ones that objects are decoded by.

Fields of types with known values name and explain them; the values are for people and clients, for what is refused is
said by each kind's own rules. In v3 a reference with a description beside it stands in an allOf, for siblings of $ref do
not count, and types that are a number or a string are a oneOf.

Schemas of custom resources leave out what every object has, which is added here, for kubectl refuses what a schema does
not name. In v2 they lose what kubectl's validation before 1.25 misunderstands.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
Enums = Mapping[str, Mapping[str, Sequence[str]]]  # definition to field to the values that it knows

SENTENCES = "x-enum-sentences"  # beside the description of such a field: value to a sentence on it (kinds/schema/build.py)
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_JUNCTORS = ("allOf", "anyOf", "oneOf", "not")
_SPECIAL: Mapping[str, Schema] = {
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "int-or-string": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}


def definition(schema: Schema) -> dict[str, Any]:
    """One definition."""
    special = _SPECIAL.get(schema.get("format", ""))
    if special is not None:
        return {**{name: schema[name] for name in ("description", "default") if name in schema}, **special}
    return _node(schema)


def with_values(schema: Schema, values: Mapping[str, Sequence[str]]) -> Schema:
    """A definition, of either version, with the values that its fields know."""
    properties = schema.get("properties", {})
    named = {name: _with_values(properties[name], known) for name, known in values.items() if name in properties}
    return {**schema, "properties": {**properties, **named}} if named else schema


def custom(schema: Schema, of_every_object: Schema, *, version_2: bool = False) -> dict[str, Any]:
    """The schema of a custom resource; `of_every_object` are the properties apiVersion, kind and metadata."""
    if version_2 and schema.get(_PRESERVE):
        return {"type": "object"}
    made = _custom_node(schema, of_every_object, version_2)
    made["properties"] = {**made.get("properties", {}), **of_every_object}
    return made if version_2 else _node(made)


def _custom_node(schema: Schema, of_every_object: Schema, version_2: bool) -> dict[str, Any]:
    made = dict(schema)
    if version_2:
        _reduce(made)
    if "properties" in made:
        made["properties"] = {name: _custom_node(field, of_every_object, version_2) for name, field in made["properties"].items()}
    for holder in ("items", "additionalProperties"):
        if isinstance(made.get(holder), Mapping):
            made[holder] = _custom_node(made[holder], of_every_object, version_2)
    if made.get("x-kubernetes-embedded-resource") and not (version_2 and made.get(_PRESERVE)):
        made["properties"] = {**made.get("properties", {}), **of_every_object}
        made["required"] = [*made.get("required", ()), *(name for name in ("kind", "apiVersion") if name not in made.get("required", ()))]
    return made


def _reduce(made: dict[str, Any]) -> None:
    """Leave out of one node what v2 has no words for: junctors, null, and fields beside unknown ones."""
    nullable = [name for name, field in made.get("properties", {}).items() if field.get("nullable")]
    if nullable and "required" in made:
        made["required"] = [name for name in made["required"] if name not in nullable]
    untyped = bool(made.pop("nullable", False))
    without = list(_JUNCTORS)
    if untyped or made.get(_PRESERVE):
        without += ["items", "properties"]
    if untyped or (made.get(_PRESERVE) and made.get("type") == "object"):
        without.append("type")
    for name in without:
        made.pop(name, None)
    if made.get("type") == "array" and "items" not in made:
        del made["type"]


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


def _with_values(field: Schema, known: Sequence[str]) -> dict[str, Any]:
    """A field whose values are known; those of a list's or a map's elements stand in no description."""
    for holder in ("items", "additionalProperties"):
        if holder in field:
            return {**field, holder: {**field[holder], "enum": [*known]}}
    sentences = field.get(SENTENCES, {})
    lines = [f' - `"{value}"` {sentences.get(value, "")}'.rstrip() for value in known]
    description = "\n".join([field.get("description", ""), "", "Possible enum values:", *lines])
    return {**{name: field[name] for name in field if name != SENTENCES}, "description": description, "enum": [*known]}
