"""Defaulting: absent fields get the schema's defaults, and so do nulls where the schema allows none.

A null without a default, in a place that is not nullable, is dropped first. An object that has everything comes back
as itself.
"""

from typing import Any

from reconciler.model.structural.schema import NOTHING, Structural


def default(value: Any, schema: Structural | None) -> Any:
    """`value` with defaults filled in; what it shares with the schema is never changed."""
    if schema is None or not schema.has_defaults:
        return value
    if isinstance(value, dict):
        return _default_map(value, schema)
    if isinstance(value, list):
        made = [default(_unless_null(item, schema.items), schema.items) for item in value]
        return value if all(new is old for new, old in zip(made, value, strict=True)) else made
    return value


def _default_map(value: dict[str, Any], schema: Structural) -> dict[str, Any]:
    made = dict(value)
    is_changed = False
    for key, below in schema.properties.items():
        if below.default is not NOTHING and (key not in value or (value[key] is None and not below.nullable)):
            made[key] = below.default
            is_changed = True
    for key, item in made.items():
        below_ = schema.properties.get(key)
        if below_ is None:
            below_ = schema.additional
            item = _unless_null(item, below_)
        filled = default(item, below_)
        if filled is not value.get(key, NOTHING):
            made[key] = filled
            is_changed = True
    return made if is_changed else value


def _unless_null(item: Any, schema: Structural | None) -> Any:
    if item is None and schema is not None and not schema.nullable and schema.default is not NOTHING:
        return schema.default
    return item


def without_nulls(value: Any, schema: Structural | None) -> Any:
    """`value` without the nulls that stand where the schema has neither `nullable` nor a default."""
    if isinstance(value, dict):
        made: dict[str, Any] = {}
        is_changed = False
        for key, item in value.items():
            below = schema.child(key) if schema is not None else None
            if item is None and below is not None and not below.nullable and below.default is NOTHING:
                is_changed = True
                continue
            made[key] = without_nulls(item, below)
            is_changed = is_changed or made[key] is not item
        return made if is_changed else value
    if isinstance(value, list) and schema is not None and schema.items is not None:
        items = [without_nulls(item, schema.items) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value
