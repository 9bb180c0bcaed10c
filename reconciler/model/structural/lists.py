"""Lists of type set and map hold nothing twice."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model import errors, govalue
from reconciler.model.errors import FieldError
from reconciler.model.structural.schema import Structural


def duplicates(obj: Mapping[str, Any], schema: Structural) -> list[FieldError]:
    """Every item of `obj` that a list of type set or map already holds."""
    return list(_of(obj, schema, "")) if schema.has_lists else []


def _of(value: Any, schema: Structural | None, path: str) -> Iterator[FieldError]:
    if schema is None or not schema.has_lists:
        return
    if isinstance(value, list):
        yield from _of_list(value, schema, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in schema.properties:
                yield from _of(item, schema.properties[key], f"{path}.{key}" if path else key)
            else:
                yield from _of(item, schema.additional, f"{path}[{key}]")


def _of_list(items: list[Any], schema: Structural, path: str) -> Iterator[FieldError]:
    if schema.list_type == "set":
        for index in _repeated(items):
            yield errors.duplicate(f"{path}[{index}]", items[index])
    elif schema.list_type == "map":
        strange = next((index for index, item in enumerate(items) if item is not None and not isinstance(item, dict)), None)
        if strange is not None:
            yield errors.invalid(f"{path}[{strange}]", items[strange], "must be an object for an array of list-type map")
        else:
            keys = [{name: item[name] for name in sorted(schema.map_keys) if name in item} if item else {} for item in items]
            for index in _repeated(keys):
                yield errors.duplicate(f"{path}[{index}]", keys[index])
    for index, item in enumerate(items):
        yield from _of(item, schema.items, f"{path}[{index}]")


def _repeated(items: list[Any]) -> list[int]:
    """Where a value stands for the second time; further times are not told."""
    seen: dict[str, int] = {}
    found = []
    for index, item in enumerate(items):
        text = govalue.marshal(item)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            found.append(index)
    return found
