"""JSON patch (RFC 6902) with the leniency of the library that kube-apiserver uses.

Lenient in: a path's first segment is ignored, whatever it is; negative indices count from the end; a missing value is
null; `test` for null holds where nothing is, and `copy` of nothing makes null. Strict in: numbers of different kind
differ. All operations apply or none.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.model import errors, govalue

MOST_OPERATIONS = 10_000
MOST_COPIED_BYTES = 3 * 1024 * 1024  # by all copy operations of one patch

_TEXT_FIELDS = ("op", "path", "from")


class _Failed(Exception):
    """An operation does not apply; upstream tells the client no more than that."""


Change = Callable[[Any, str], Any]  # (container, decoded last segment) -> the changed copy


def json_patch(document: Any, operations: Any, *, strict: bool = True) -> Any:
    """`document` after `operations`. `strict` is field validation Strict or Warn, which looks at the patch's own fields.

    Raises StatusError: 400 for what is no JSON patch, 413 for too many operations, 422 where one does not apply.
    """
    _require_operations([] if operations is None else operations, strict)
    copied_bytes = 0
    try:
        for operation in map(_or_empty, operations or ()):
            if operation.get("op") == "copy":
                document, size = _copy(document, operation)
                copied_bytes += size
                if copied_bytes > MOST_COPIED_BYTES:
                    raise _Failed
            else:
                document = _apply(document, operation)
    except _Failed:
        message = "the server rejected our request due to an error in our request"
        raise errors.StatusError(422, "Invalid", message, details={}) from None
    return document


def _require_operations(operations: Any, strict: bool) -> None:
    name, prefix = ("handlers.jsonPatchOp", "error decoding patch: ") if strict else ("jsonpatch.Operation", "")
    array = "[]handlers.jsonPatchOp" if strict else "jsonpatch.Patch"
    if not isinstance(operations, list):
        raise errors.bad_request(f"{prefix}json: cannot unmarshal {_json_type(operations)} into Go value of type {array}")
    for operation in operations:
        if operation is not None and not isinstance(operation, Mapping):
            raise errors.bad_request(f"{prefix}json: cannot unmarshal {_json_type(operation)} into Go value of type {name}")
        for field in _TEXT_FIELDS:
            value = _or_empty(operation).get(field)
            if strict and value is not None and not isinstance(value, str):
                text = f"json: cannot unmarshal {_json_type(value)} into Go struct field jsonPatchOp.{field} of type string"
                raise errors.bad_request(prefix + text)
    if len(operations) > MOST_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}"
        raise errors.StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {text}")


def _or_empty(operation: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return operation or {}


def _json_type(value: Any) -> str:
    name = govalue.type_name(value)
    return {"int64": "number", "float64": "number", "[]interface {}": "array", "map[string]interface {}": "object"}.get(name, name)


def _apply(document: Any, operation: Mapping[str, Any]) -> Any:
    kind, value = operation.get("op"), operation.get("value")
    if kind == "add":
        return _changed(document, _path(operation, "path"), lambda container, key: _added(container, key, value))
    if kind == "remove":
        return _changed(document, _path(operation, "path"), _removed)
    if kind == "replace":
        return _replace(document, _path(operation, "path"), value)
    if kind == "test":
        return _test(document, _path(operation, "path"), value)
    if kind == "move":
        source = _path(operation, "from")
        moved = _get(document, source)
        document = _changed(document, source, _removed)
        return _changed(document, _path(operation, "path"), lambda container, key: _added(container, key, moved))
    raise _Failed


def _copy(document: Any, operation: Mapping[str, Any]) -> tuple[Any, int]:
    value = _get(document, _path(operation, "from"))
    document = _changed(document, _path(operation, "path"), lambda container, key: _added(container, key, value))
    return document, len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _replace(document: Any, path: str, value: Any) -> Any:
    if path:
        _get(document, path)
        return _changed(document, path, lambda container, key: _set(container, key, value))
    if not isinstance(value, Mapping | list):
        raise _Failed
    return value


def _test(document: Any, path: str, value: Any) -> Any:
    if not _same(_get(document, path) if path else document, value):
        raise _Failed
    return document


def _path(operation: Mapping[str, Any], field: str) -> str:
    path = operation.get(field)
    if not isinstance(path, str):
        raise _Failed
    return path


def _segments(path: str) -> list[str]:
    segments = path.split("/")[1:]
    if not segments:
        raise _Failed
    return [segment.replace("~1", "/").replace("~0", "~") for segment in segments]


def _get(document: Any, path: str) -> Any:
    """The value at `path`; None in a map that does not have it."""
    *way, last = _segments(path)
    for segment in way:
        document = _child(document, segment)
    if isinstance(document, list):
        return document[_index(document, last)]
    if not isinstance(document, Mapping):
        raise _Failed
    return document.get(last)


def _child(container: Any, segment: str) -> Any:
    child = container[_index(container, segment)] if isinstance(container, list) else container.get(segment)
    if not isinstance(child, Mapping | list):
        raise _Failed
    return child


def _changed(document: Any, path: str, change: Change) -> Any:
    return _changed_at(document, _segments(path), change)


def _changed_at(container: Any, segments: Sequence[str], change: Change) -> Any:
    segment, rest = segments[0], segments[1:]
    if not rest:
        return change(container, segment)
    return _set(container, segment, _changed_at(_child(container, segment), rest, change))


def _set(container: Any, key: str, value: Any) -> Any:
    if isinstance(container, list):
        index = _index(container, key)
        return [*container[:index], value, *container[index + 1 :]]
    return {**container, key: value}


def _added(container: Any, key: str, value: Any) -> Any:
    if not isinstance(container, list):
        return {**container, key: value}
    index = len(container) if key == "-" else _index(container, key, room=1)
    return [*container[:index], value, *container[index:]]


def _removed(container: Any, key: str) -> Any:
    if isinstance(container, list):
        index = _index(container, key)
        return [*container[:index], *container[index + 1 :]]
    if key not in container:
        raise _Failed
    return {name: value for name, value in container.items() if name != key}


def _index(items: list[Any], text: str, room: int = 0) -> int:
    """Where an index points; `room` is 1 where one past the end may be named."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdecimal()):
        raise _Failed
    index, size = int(text), len(items) + room
    if not -size <= index < size:
        raise _Failed
    return index + size if index < 0 else index


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)
