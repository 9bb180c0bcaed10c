"""What is refused in a definition's openAPIV3Schema, after k8s.io/apiextensions-apiserver's validation.

First whether it is structural, then its defaults, then the schema field by field, at last its CEL rules; a later check
runs only on what the earlier ones let pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.kinds import customresourcedefinition_cel as cel
from reconciler.model import errors, metadata
from reconciler.model.errors import FieldError
from reconciler.model.structural import check, correlate, embedded, fieldpath, prune, validate
from reconciler.model.structural import schema as structural
from reconciler.model.structural.schema import META_FIELDS, NOTHING, Structural

Schema = Mapping[str, Any]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
ALLOWED_AT_ROOT = frozenset(
    {
        "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength",
        "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "required", "items", "properties",
        "externalDocs", "example", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
    }
)  # fmt: skip
_ROOT_NAMES = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems"
    " MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations"
)
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def refused(schema: Schema, path: str, *, has_status: bool) -> list[FieldError]:
    """The errors of one openAPIV3Schema; `has_status`: a status subresource is enabled."""
    found = list(_root(schema, path, has_status))
    field = check.unsupported(schema)
    checked: list[FieldError] = []
    if not field:
        checked = check.refused(schema, path) or list(_defaults(structural.parse(schema), path))
    found += checked
    walk = _Walk()
    found += walk.of(schema, path, True)
    if not found and not field:
        found += cel.refused(structural.parse(schema), path)
    if field and not found:
        found.append(errors.invalid(path, "", f"OpenAPIV3Schema '{field.removeprefix('$')}' is not supported"))
    return found


def _root(schema: Schema, path: str, has_status: bool) -> Iterator[FieldError]:
    if has_status:
        if schema.get("type") not in (None, "object"):
            detail = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            yield errors.invalid(f"{path}.type", schema["type"], detail)
        elif any(key not in ALLOWED_AT_ROOT and value for key, value in schema.items()):
            detail = f"only [{_ROOT_NAMES}] fields are allowed at the root of the schema if the status subresource is enabled"
            yield errors.invalid(path, schema, detail)
    if schema.get("nullable"):
        yield errors.forbidden(f"{path}.nullable", "nullable cannot be true at the root")


def _defaults(schema: Structural, path: str, is_root: bool = True, in_meta: bool = False) -> Iterator[FieldError]:
    """Defaults must themselves be what the schema asks for, without unknown fields."""
    in_meta = in_meta and not schema.is_embedded
    if schema.default is not NOTHING and not in_meta:
        value, at = schema.default, f"{path}.default"
        if not correlate.same(prune.prune_value(value, schema), value):
            yield errors.invalid(at, value, "must not have unknown fields")
        whole = embedded.refused(value, schema, metadata.refused_embedded) if isinstance(value, dict) else []
        yield from whole or validate.compile(schema.raw).run(value, "", None, at).errors
    if schema.items is not None:
        yield from _defaults(schema.items, f"{path}.items", False, in_meta)
    for name, one in schema.properties.items():
        is_meta = (is_root or schema.is_embedded) and name in META_FIELDS
        yield from _defaults(one, f"{path}.properties[{name}]", False, in_meta or is_meta)


@dataclass(frozen=True, slots=True)
class _Walk:
    """What the schemas around one forbid in it."""

    no_defaults: str | None = None  # the reason, after "must not be set"
    in_meta: bool = False

    def of(self, schema: Schema, path: str, is_root: bool = False) -> Iterator[FieldError]:
        yield from self._standard(schema, path)
        if schema.get("uniqueItems"):
            yield errors.forbidden(
                f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            )
        yield from self._free(schema, path)
        for name, one in (schema.get("properties") or {}).items():
            yield from self._in_property(schema, name, is_root).of(one, f"{path}.properties[{name}]")
        if isinstance(schema.get("not"), Mapping):
            yield from self.of(schema["not"], f"{path}.not")
        for key in ("allOf", "oneOf", "anyOf"):
            for index, one in enumerate(schema.get(key) or ()):
                yield from self.of(one, f"{path}.{key}[{index}]")
        for name, one in (schema.get("definitions") or {}).items():
            yield from self.of(one, f"{path}.definitions[{name}]")
        items = schema.get("items")
        if isinstance(items, Mapping):
            yield from self.of(items, f"{path}.items")
        for index, one in enumerate(items if isinstance(items, list) else ()):
            yield from self.of(one, f"{path}.items[{index}]")
        yield from _extensions(schema, path)
        yield from _rules(schema.get("x-kubernetes-validations") or (), schema, f"{path}.x-kubernetes-validations")

    def _free(self, schema: Schema, path: str) -> Iterator[FieldError]:
        additional = schema.get("additionalProperties")
        if additional is None:
            return
        if schema.get("properties") and additional is not True:
            yield errors.forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
        if isinstance(additional, Mapping):
            walk = replace(self, no_defaults=" inside additionalProperties applying to object metadata") if self.in_meta else self
            yield from walk.of(additional, f"{path}.additionalProperties")

    def _in_property(self, schema: Schema, name: str, is_root: bool) -> "_Walk":
        if name not in META_FIELDS or not (is_root or schema.get("x-kubernetes-embedded-resource")):
            return self
        return replace(self, in_meta=True, no_defaults=f" in top-level {name}" if is_root else self.no_defaults)

    def _standard(self, schema: Schema, path: str) -> Iterator[FieldError]:
        kind = schema.get("type", "")
        if kind and kind not in TYPES:
            yield errors.not_supported(f"{path}.type", kind, TYPES)
        if schema.get("default") is not None and self.no_defaults is not None:
            yield errors.forbidden(f"{path}.default", f"must not be set{self.no_defaults}")
        for key in ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"):
            if schema.get(key):
                yield errors.forbidden(f"{path}.{key}", f"{key} is not supported")
        if kind == "null":
            yield errors.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
        if isinstance(schema.get("items"), list):
            yield errors.forbidden(f"{path}.items", "items must be a schema object and not an array")
        if self.in_meta and schema.get("x-kubernetes-embedded-resource"):
            yield errors.forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")


def _extensions(schema: Schema, path: str) -> Iterator[FieldError]:
    """x-kubernetes-preserve-unknown-fields, -map-type, -list-type and -list-map-keys."""
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield errors.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    kind = schema.get("type", "")
    for name, wanted, values in (("map", "object", ("atomic", "granular")), ("list", "array", ("atomic", "set", "map"))):
        given = schema.get(f"x-kubernetes-{name}-type")
        if given is None:
            continue
        if kind != wanted:
            detail = f"must be {wanted} if x-kubernetes-{name}-type is specified"
            yield errors.invalid(f"{path}.type", kind, detail) if kind else errors.required(f"{path}.type", detail)
        elif given == "set" and isinstance(schema.get("items"), Mapping):
            yield from _atomic_items(schema["items"], f"{path}.items")
        if given not in values:
            yield errors.not_supported(f"{path}.x-kubernetes-{name}-type", given, values)
    yield from _map_keys(schema, path)
    yield from _set_and_map_items(schema, path)


def _atomic_items(items: Schema, path: str) -> Iterator[FieldError]:
    detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
    list_type = items.get("x-kubernetes-list-type")
    if items.get("type") == "array" and list_type not in (None, "atomic"):
        yield errors.invalid(f"{path}.x-kubernetes-list-type", list_type, detail)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield errors.invalid(f"{path}.x-kubernetes-map-type", list_type, detail)


def _map_keys(schema: Schema, path: str) -> Iterator[FieldError]:
    keys, list_type, items = schema.get("x-kubernetes-list-map-keys") or [], schema.get("x-kubernetes-list-type"), schema.get("items")
    if keys and list_type != "map":
        at, detail = f"{path}.x-kubernetes-list-type", "must be map if x-kubernetes-list-map-keys is non-empty"
        yield errors.required(at, detail) if list_type is None else errors.invalid(at, list_type, detail)
    if list_type != "map":
        return
    if not keys:
        yield errors.required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        yield errors.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
    elif not isinstance(items, Mapping):
        yield errors.invalid(f"{path}.items", items, "must only have a single schema if x-kubernetes-list-type is map")
    elif items.get("type", "") != "object":
        yield errors.invalid(f"{path}.items.type", items.get("type", ""), "must be object if parent array's x-kubernetes-list-type is map")
    else:
        yield from _key_entries(keys, items, path)


def _key_entries(keys: Sequence[str], items: Schema, path: str) -> Iterator[FieldError]:
    at = f"{path}.x-kubernetes-list-map-keys"
    for index, key in enumerate(keys):
        known = (items.get("properties") or {}).get(key)
        if known is None:
            yield errors.invalid(at, list(keys), "entries must all be names of item properties")
        elif known.get("type") in ("array", "object"):
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield errors.invalid(f"{path}.items.properties[{key}].type", items.get("type"), detail)
        if key in keys[:index]:
            yield errors.invalid(at, list(keys), "must not contain duplicate entries")


def _set_and_map_items(schema: Schema, path: str) -> Iterator[FieldError]:
    list_type, items = schema.get("x-kubernetes-list-type"), schema.get("items")
    if list_type not in ("set", "map") or not isinstance(items, Mapping):
        return
    if items.get("nullable"):
        yield errors.forbidden(f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}")
    for key in (schema.get("x-kubernetes-list-map-keys") or ()) if list_type == "map" else ():
        known = (items.get("properties") or {}).get(key)
        if known is None:
            continue
        at, prefix = f"{path}.items.properties[{key}]", "this property is in x-kubernetes-list-map-keys, so it"
        if key not in (items.get("required") or ()) and known.get("default") is None:
            yield errors.required(f"{at}.default", f"{prefix} must have a default or be a required property")
        if known.get("nullable"):
            yield errors.forbidden(f"{at}.nullable", f"{prefix} cannot be nullable")


def _rules(rules: Sequence[Mapping[str, Any]], schema: Schema, path: str) -> Iterator[FieldError]:
    """The form of x-kubernetes-validations, without compiling them."""
    for index, rule in enumerate(rules):
        at = f"{path}[{index}]"
        text, message, expression = (str(rule.get(key) or "") for key in ("rule", "message", "messageExpression"))
        if not text.strip():
            yield errors.required(f"{at}.rule", "rule is not specified")
        elif message and not message.strip():
            yield errors.invalid(f"{at}.message", message, "must be non-empty if specified")
        elif _has_newlines(message.strip()):
            yield errors.invalid(f"{at}.message", message, "must not contain line breaks")
        elif _has_newlines(text.strip()) and not message.strip():
            yield errors.required(f"{at}.message", "message must be specified if rule contains line breaks")
        if expression and not expression.strip():
            yield errors.required(f"{at}.messageExpression", "messageExpression must be non-empty if specified")
        if rule.get("reason") is not None and rule["reason"] not in REASONS:
            yield errors.not_supported(f"{at}.reason", rule["reason"], REASONS)
        yield from _rule_path(str(rule.get("fieldPath") or ""), schema, f"{at}.fieldPath")


def _rule_path(given: str, schema: Schema, path: str) -> Iterator[FieldError]:
    if not given:
        return
    if not given.strip():
        yield errors.invalid(path, given, "must be non-empty if specified")
    if _has_newlines(given):
        yield errors.invalid(path, given, "must not contain line breaks")
    try:
        fieldpath.resolve(given, structural.parse(schema))
    except fieldpath.Malformed:
        yield errors.invalid(path, given, "must be a valid path")


def _has_newlines(text: str) -> bool:
    return "\n" in text or "\r" in text
