"""Pruning: what a structural schema does not know is dropped, and named for strict decoding.

An object without anything to drop comes back as itself. metadata of whole objects is not this module's business.
"""

from typing import Any

from reconciler.model.structural.schema import META_FIELDS, Structural


def prune(obj: Any, schema: Structural) -> tuple[Any, list[str]]:
    """A custom resource without unknown fields, and their paths in order."""
    unknown: list[str] = []
    pruned = _prune(obj, schema, "", True, unknown)
    return pruned, sorted(unknown)


def prune_value(value: Any, schema: Structural) -> Any:
    """A value inside an object, such as a default."""
    return _prune(value, schema, "value", schema.is_embedded, [])


def _prune(value: Any, schema: Structural | None, path: str, is_whole: bool, unknown: list[str]) -> Any:
    if isinstance(value, dict):
        return _prune_map(value, schema, path, is_whole, unknown)
    if isinstance(value, list):
        items = schema.items if schema is not None else None
        if schema is not None and schema.preserves_unknown and items is None:
            return value
        made = [
            _prune(item, items, f"{path}[{index}]", items is not None and items.is_embedded, unknown) for index, item in enumerate(value)
        ]
        return value if all(new is old for new, old in zip(made, value, strict=True)) else made
    return value


def _prune_map(value: dict[str, Any], schema: Structural | None, path: str, is_whole: bool, unknown: list[str]) -> dict[str, Any]:
    preserves = schema is not None and schema.preserves_unknown
    made: dict[str, Any] = {}
    is_changed = False
    for key, item in value.items():
        if is_whole and key in META_FIELDS:
            made[key] = item
            continue
        below = schema.properties.get(key) if schema is not None else None
        is_known = below is not None or (schema is not None and (schema.additional is not None or schema.allows_any))
        if below is None and schema is not None:
            below = schema.additional
        at = f"{path}.{key}" if path else key
        if is_known:
            made[key] = _prune(item, below, at, below is not None and below.is_embedded, unknown)
            is_changed = is_changed or made[key] is not item
        elif preserves:
            made[key] = item
        else:
            unknown.append(at)
            is_changed = True
    return made if is_changed else value
