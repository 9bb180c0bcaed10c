"""From a structural schema to CEL: the type of its values, how large they can be, and how JSON becomes CEL's values.

What has no type (free-form fields) cannot be named in a rule. Sizes follow k8s.io/apiserver/pkg/cel/common: what a
schema does not limit is limited by the largest request.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.model.cel import durations, types, values
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.types import Type
from reconciler.model.structural.schema import Structural

REQUEST_MOST_BYTES = 3 * 1024 * 1024
STRING_LEAST, NUMBER_LEAST, BOOL_LEAST = 2, 1, 4
_FORMATTED: Mapping[str, tuple[str, Type, int]] = {  # by format: kind, type, characters at most
    "byte": ("bytes", types.BYTES, REQUEST_MOST_BYTES - 2),
    "duration": ("duration", types.DURATION, 32),
    "date": ("date", types.TIMESTAMP, 12),
    "date-time": ("date-time", types.TIMESTAMP, 32),
}
_KEYWORDS = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
        "loop", "package", "namespace", "return", "var", "void", "while",
    }
)  # fmt: skip
_ESCAPED = {".": "__dot__", "-": "__dash__", "/": "__slash__"}
Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Declared:
    """`least_bytes` is what a value takes in JSON at least."""

    type: Type
    least_bytes: int


def declare(schema: Structural, *, is_whole: bool = False) -> Declared | None:
    """The type of a schema's values; `is_whole`: of a whole object, which has apiVersion, kind and a name."""
    if schema.is_int_or_string:
        most = schema.raw.get("maxLength")
        return Declared(Type("dyn", size=REQUEST_MOST_BYTES - 2 if most is None else 4 * max(0, most)), 1)
    if schema.type == "array":
        return _list(schema)
    if schema.type == "object":
        return _map(schema) if schema.additional is not None else _object(schema, is_whole)
    if schema.type == "string":
        return _string(schema)
    simple = {
        "boolean": (types.BOOL, BOOL_LEAST),
        "integer": (types.INT, NUMBER_LEAST),
        "number": (types.DOUBLE, NUMBER_LEAST),
    }.get(schema.type)
    return Declared(*simple) if simple else None


def _list(schema: Structural) -> Declared | None:
    item = declare(schema.items, is_whole=schema.items.is_embedded) if schema.items is not None else None
    if item is None:
        return None
    most = schema.raw.get("maxItems")
    size = (REQUEST_MOST_BYTES - 2) // (item.least_bytes + 1) if most is None else max(0, most)
    return Declared(types.list_of(item.type, size), 2)


def _map(schema: Structural) -> Declared | None:
    assert schema.additional is not None
    value = declare(schema.additional, is_whole=schema.additional.is_embedded)
    if value is None:
        return None
    most = schema.raw.get("maxProperties")
    size = (REQUEST_MOST_BYTES - 2) // (value.least_bytes + 6) if most is None else max(0, most)
    return Declared(types.map_of(types.STRING, value.type, size), 2)


def _object(schema: Structural, is_whole: bool) -> Declared:
    fields: dict[str, Type] = {}
    least = 2
    required = schema.raw.get("required") or ()
    for name, below in schema.properties.items():
        declared = declare(below, is_whole=below.is_embedded)
        if declared is None:
            continue
        escaped = escape(name)
        if escaped is not None:
            fields[escaped] = declared.type
        if name in required and below.raw.get("default") is None:
            least += len(name) + declared.least_bytes + 4
    if is_whole:
        text = Type("string", size=REQUEST_MOST_BYTES - 2)
        fields.update(apiVersion=text, kind=text, metadata=types.object_of("object", {"name": text, "generateName": text}))
    return Declared(types.object_of("object", fields), least)


def _string(schema: Structural) -> Declared:
    _, type, size = _FORMATTED.get(str(schema.raw.get("format", "")), ("", types.STRING, REQUEST_MOST_BYTES - 2))
    most, enum = schema.raw.get("maxLength"), schema.raw.get("enum")
    if type in (types.STRING, types.BYTES) and most is not None:
        size = max(0, most) * (4 if type is types.STRING else 1)
    elif type is types.STRING and enum:
        size = max((len(one) for one in enum if isinstance(one, str)), default=0)
    return Declared(Type(type.name, size=size), STRING_LEAST)


def escape(name: str) -> str | None:
    """A property's name in an expression; None for one that cannot be written."""
    if name in _KEYWORDS:
        return f"__{name}__"
    if re.fullmatch(r"[A-Za-z_.\-/][A-Za-z0-9_.\-/]*", name) is None:
        return None
    return re.sub(r"__|[.\-/]", lambda found: _ESCAPED.get(found[0], "__underscores__"), name)


def converter(schema: Structural) -> Convert | None:
    """How a JSON value of a schema becomes CEL's; None where it already is."""
    if schema.is_int_or_string:
        return None
    if schema.type == "number":
        return lambda value: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if schema.type == "string":
        kind = _FORMATTED.get(str(schema.raw.get("format", "")), ("", types.STRING, 0))[0]
        return _OF_TEXT.get(kind)
    if schema.type == "array" and schema.items is not None:
        of_item = converter(schema.items)
        return (lambda value: [of_item(item) for item in value] if isinstance(value, list) else value) if of_item else None
    if schema.type == "object" and schema.additional is not None:
        of_value = converter(schema.additional)
        if of_value is None:
            return None
        return lambda value: {key: of_value(item) for key, item in value.items()} if isinstance(value, dict) else value
    return _object_converter(schema) if schema.type == "object" else None


def _object_converter(schema: Structural) -> Convert | None:
    changed: dict[str, tuple[str, Convert | None]] = {}
    for name, below in schema.properties.items():
        of_value, escaped = converter(below), escape(name) or name
        if of_value is not None or escaped != name:
            changed[name] = escaped, of_value
    if not changed:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        made: dict[str, Any] = {}
        for key, item in value.items():
            escaped, of_value = changed.get(key, (key, None))
            made[escaped] = item if of_value is None else of_value(item)
        return made

    return convert


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _time(value: Any) -> Any:
    return values.timestamp(value) if isinstance(value, str) else value


def _date(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value
    except ValueError:
        raise Failed(f"invalid date {value}") from None


def _duration(value: Any) -> Any:
    return durations.parse(value) if isinstance(value, str) else value


_OF_TEXT: Mapping[str, Convert] = {"bytes": _bytes, "duration": _duration, "date": _date, "date-time": _time}
