"""Whether a schema is structural: every value has one type that can be told without looking at values.

After k8s.io/apiextensions-apiserver/pkg/apiserver/schema. Schemas are in wire form; paths begin with the caller's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from reconciler.model import errors, regexp
from reconciler.model.errors import FieldError

Schema = Mapping[str, Any]
Level = Literal["root", "item", "field"]

UNSUPPORTED = ("id", "$schema", "$ref", "definitions", "dependencies", "patternProperties", "additionalItems")
_BELOW = ("items", "not", "additionalProperties", "additionalItems")
_LISTS = ("anyOf", "oneOf", "allOf")
_NO_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
# What a schema inside anyOf, allOf, oneOf or not may not say: the value's schema itself says it.
_FORBIDDEN_NESTED = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}


def below(schema: Schema) -> Iterator[Schema]:
    """Every schema directly inside another."""
    for key in ("properties", "patternProperties", "definitions", "dependencies"):
        yield from (one for one in (schema.get(key) or {}).values() if isinstance(one, Mapping))
    for key in _BELOW:
        if isinstance(schema.get(key), Mapping):
            yield schema[key]
    for key in _LISTS:
        yield from schema.get(key) or ()
    if isinstance(schema.get("items"), list):
        yield from schema["items"]


def unsupported(schema: Schema) -> str:
    """The first field that no structural schema can have, "" where there is none."""
    own = next((key for key in UNSUPPORTED if schema.get(key)), "")
    return own or next(filter(None, map(unsupported, below(schema))), "")


def refused(schema: Schema, path: str) -> list[FieldError]:
    """Why a schema is not structural, in the order of the messages."""
    found = [*_invariants(schema, "root", path), *_complete(schema, schema, path, path)]
    return sorted(found, key=str)


def _invariants(schema: Schema, level: Level, path: str) -> Iterator[FieldError]:
    items, properties, additional = schema.get("items"), schema.get("properties") or {}, schema.get("additionalProperties")
    if schema.get("type") == "array" and not isinstance(items, Mapping):
        yield errors.required(f"{path}.items", "must be specified")
    if isinstance(items, Mapping):
        yield from _invariants(items, "item", f"{path}.items")
    for name, one in properties.items():
        yield from _invariants(one, "field", f"{path}.properties[{name}]")
    if additional is not None and additional is not False:
        if level == "root":
            yield errors.forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(additional, Mapping):
            yield from _invariants(additional, "field", f"{path}.additionalProperties")
    yield from _extensions(schema, path)
    skip_any = schema.get("anyOf") == _INT_OR_STRING and bool(schema.get("x-kubernetes-int-or-string"))
    first_all = (schema.get("allOf") or [{}])[0].get("anyOf") == _INT_OR_STRING and bool(schema.get("x-kubernetes-int-or-string"))
    yield from _values(schema, skip_any, first_all, level, path)
    yield from _type(schema, level, path)
    yield from _meta_fields(schema, level, path)


def _extensions(schema: Schema, path: str) -> Iterator[FieldError]:
    if schema.get("x-kubernetes-int-or-string"):
        for name in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if schema.get(name):
                yield errors.invalid(f"{path}.{name}", True, "must be false if x-kubernetes-int-or-string is true")


def _type(schema: Schema, level: Level, path: str) -> Iterator[FieldError]:
    kind, is_embedded = schema.get("type", ""), bool(schema.get("x-kubernetes-embedded-resource"))
    preserves = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if is_embedded and kind != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        yield errors.invalid(f"{path}.type", kind, detail) if kind else errors.required(f"{path}.type", detail)
    elif not kind and not schema.get("x-kubernetes-int-or-string") and not preserves:
        yield errors.required(f"{path}.type", _NO_TYPE[level])
    if is_embedded and schema.get("additionalProperties") is not None:
        yield errors.forbidden(f"{path}.additionalProperties", "must not be used if x-kubernetes-embedded-resource is set")
    if level == "root" and kind not in ("", "object"):
        yield errors.invalid(f"{path}.type", kind, "must be object at the root")
    if is_embedded and not preserves and not schema.get("properties"):
        detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        yield errors.required(f"{path}.properties", detail)


def _meta_fields(schema: Schema, level: Level, path: str) -> Iterator[FieldError]:
    properties = schema.get("properties") or {}
    is_whole = level == "root" or bool(schema.get("x-kubernetes-embedded-resource"))
    for name, wanted in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        if is_whole and name in properties and properties[name].get("type", "") != wanted:
            yield errors.invalid(f"{path}.properties[{name}].type", properties[name].get("type", ""), f"must be {wanted}")
    metadata = properties.get("metadata")
    if metadata is not None and level == "root":
        rest = {key: value for key, value in metadata.items() if key not in ("type", "default", "properties", "description") and value}
        if rest or set(metadata.get("properties") or ()) - {"name", "generateName"} or metadata.get("description"):
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield errors.forbidden(f"{path}.properties[metadata]", detail)


def _values(schema: Schema, skip_any: bool, skip_first: bool, level: Level, path: str) -> Iterator[FieldError]:
    for key in ("anyOf", "allOf", "oneOf"):
        if key == "anyOf" and skip_any:
            continue
        for index, one in enumerate(schema.get(key) or ()):
            yield from _nested(one, skip_first and key == "allOf" and index == 0, level, f"{path}.{key}[{index}]")
    if isinstance(schema.get("not"), Mapping):
        yield from _nested(schema["not"], False, level, f"{path}.not")
    if schema.get("pattern"):
        try:
            regexp.compile(schema["pattern"])
        except regexp.Invalid as error:
            yield errors.invalid(f"{path}.pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {error}")


def _nested(schema: Schema, skip_any: bool, level: Level, path: str) -> Iterator[FieldError]:
    """A schema inside anyOf, allOf, oneOf or not."""
    yield from _values(schema, skip_any, False, level, path)
    if isinstance(schema.get("items"), Mapping):
        yield from _nested(schema["items"], False, level, f"{path}.items")
    for name, one in (schema.get("properties") or {}).items():
        yield from _nested(one, False, "field", f"{path}.properties[{name}]")
    for key, detail in _FORBIDDEN_NESTED.items():
        if schema.get(key) or (key in ("additionalProperties", "default") and schema.get(key) is not None):
            yield errors.forbidden(f"{path}.{key}", detail)
    if "metadata" in (schema.get("properties") or {}):
        yield errors.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _complete(values: Schema, schema: Schema | None, path: str, at: str) -> Iterator[FieldError]:
    """What is said of a value under anyOf and its like must be about something that the schema itself specifies."""
    for key in ("not", "allOf", "anyOf", "oneOf"):
        nested = values.get(key)
        for index, one in enumerate(nested if isinstance(nested, list) else [nested] if isinstance(nested, Mapping) else ()):
            yield from _complete_nested(one, schema, path, f"{at}.{key}" if key == "not" else f"{at}.{key}[{index}]")


def _complete_nested(values: Schema, schema: Schema | None, path: str, at: str) -> Iterator[FieldError]:
    if schema is None:
        yield errors.required(path, f"because it is defined in {at}")
        return
    yield from _complete(values, schema, path, at)
    if isinstance(values.get("items"), Mapping):
        items = schema.get("items") if isinstance(schema.get("items"), Mapping) else None
        yield from _complete_nested(values["items"], items, f"{path}.items", f"{at}.items")
    properties = schema.get("properties") or {}
    for name, one in (values.get("properties") or {}).items():
        yield from _complete_nested(one, properties.get(name), f"{path}.properties[{name}]", f"{at}.properties[{name}]")
