"""Whole objects inside custom resources (x-kubernetes-embedded-resource) must name themselves and have good metadata."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.model import errors, names
from reconciler.model.errors import FieldError
from reconciler.model.structural.schema import Structural

# The refusals on an embedded object's metadata, its paths below "metadata".
CheckMetadata = Callable[[Mapping[str, Any]], list[FieldError]]


def refused(obj: Mapping[str, Any], schema: Structural, check: CheckMetadata) -> list[FieldError]:
    return list(_of(obj, schema, "", check)) if schema.has_embedded else []


def _of(value: Any, schema: Structural | None, path: str, check: CheckMetadata) -> Iterator[FieldError]:
    if schema is None or not schema.has_embedded:
        return
    if isinstance(value, dict):
        if schema.is_embedded:
            yield from _whole(value, path, check)
        for key, item in value.items():
            is_named = key in schema.properties
            yield from _of(item, schema.child(key), _child(path, key) if is_named else f"{path}[{key}]", check)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _of(item, schema.items, f"{path}[{index}]", check)


def _whole(value: Mapping[str, Any], path: str, check: CheckMetadata) -> Iterator[FieldError]:
    for name in ("apiVersion", "kind"):
        if name not in value:
            yield errors.required(_child(path, name))
    for name, item in value.items():
        if name in ("apiVersion", "kind") and not isinstance(item, str):
            yield errors.invalid(_child(path, name), item, "must be a string")
        elif name in ("apiVersion", "kind") and not item:
            yield errors.invalid(_child(path, name), item, "must not be empty")
        elif name == "apiVersion" and item.count("/") > 1:
            yield errors.invalid(_child(path, name), item, f"unexpected GroupVersion string: {item}")
        elif name == "kind" and (reasons := names.dns_label_1035(item.lower())):
            yield errors.invalid(_child(path, name), item, f"may have mixed case, but should otherwise match: {','.join(reasons)}")
        elif name == "metadata" and isinstance(item, dict):
            for error in check(item):
                yield FieldError(_child(path, error.path), error.reason, error.message)


def _child(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
