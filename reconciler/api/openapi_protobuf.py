"""/openapi/v2 in protobuf: the only form that kubectl before 1.27 reads, for apply and explain.

The messages are gnostic's OpenAPIv2.proto; of paths only what a PATCH takes is there, for nothing else is asked for.
Extensions are YAML texts, which JSON is.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from reconciler.model import protobuf

MEDIA = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"  # the older name of the same
ANSWERED_AS = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# Fields of Schema: name to number.
_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4}
_REQUIRED, _ENUM, _ADDITIONAL, _TYPE, _ITEMS, _PROPERTIES, _EXTENSION = 19, 20, 21, 22, 23, 25, 31
# Of PathItem and Operation.
_PATCH, _PARAMETERS, _OPERATION_EXTENSION = 8, 8, 13


def encode(document: Mapping[str, Any]) -> bytes:
    """A whole OpenAPI v2 document."""
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    definitions = b"".join(_named(name, schema) for name, schema in document["definitions"].items())
    paths = b"".join(_path(path, item["patch"]) for path, item in document["paths"].items())
    parts = [protobuf.length_delimited(2, info), protobuf.length_delimited(8, paths), protobuf.length_delimited(9, definitions)]
    return _text(1, "2.0") + b"".join(parts)


def _path(path: str, patch: Mapping[str, Any]) -> bytes:
    """A NamedPathItem with its one operation."""
    parameters = b"".join(protobuf.length_delimited(_PARAMETERS, _query_parameter(one)) for one in patch["parameters"])
    marks = b"".join(_extension(_OPERATION_EXTENSION, name, value) for name, value in patch.items() if name.startswith("x-"))
    item = protobuf.length_delimited(_PATCH, parameters + marks)
    return protobuf.length_delimited(2, _text(1, path) + protobuf.length_delimited(2, item))


def _query_parameter(one: Mapping[str, Any]) -> bytes:
    """ParametersItem > Parameter > NonBodyParameter > QueryParameterSubSchema."""
    query = _text(2, one["in"]) + _text(4, one["name"]) + _text(6, one["type"])
    return protobuf.length_delimited(1, protobuf.length_delimited(2, protobuf.length_delimited(3, query)))


def _named(name: str, schema: Mapping[str, Any]) -> bytes:
    return protobuf.length_delimited(1, _text(1, name) + protobuf.length_delimited(2, _schema(schema)))


def _schema(schema: Mapping[str, Any]) -> bytes:
    parts = [_text(number, str(schema[name])) for name, number in _TEXTS.items() if name in schema]
    parts += [_text(_REQUIRED, name) for name in schema.get("required") or ()]
    parts += [protobuf.length_delimited(_ENUM, _yaml(value)) for value in schema.get("enum") or ()]
    for name, (number, write) in _NESTED.items():
        if schema.get(name) not in (None, False):
            parts.append(protobuf.length_delimited(number, write(schema[name])))
    parts += [_extension(_EXTENSION, name, value) for name, value in schema.items() if name.startswith("x-")]
    return b"".join(parts)


def _extension(number: int, name: str, value: Any) -> bytes:
    return protobuf.length_delimited(number, _text(1, name) + protobuf.length_delimited(2, _yaml(value)))


def _yaml(value: Any) -> bytes:
    """An Any of the document, not of protobuf."""
    return protobuf.length_delimited(2, orjson.dumps(value))


def _additional(value: Any) -> bytes:
    return protobuf.length_delimited(1, _schema(value)) if isinstance(value, Mapping) else b"\x10\x01"


def _text(number: int, text: str) -> bytes:
    return protobuf.length_delimited(number, text.encode())


_NESTED: Mapping[str, tuple[int, Callable[[Any], bytes]]] = {
    "additionalProperties": (_ADDITIONAL, _additional),
    "type": (_TYPE, lambda value: _text(1, value)),
    "items": (_ITEMS, lambda value: protobuf.length_delimited(1, _schema(value))),
    "properties": (_PROPERTIES, lambda value: b"".join(_named(name, schema) for name, schema in value.items())),
}
