"""JSON merge patch (RFC 7386), and patched objects as text."""

import json
from collections.abc import Mapping
from typing import Any

from reconciler.model import errors, gostruct, govalue
from reconciler.model.schema import Node


def merge_patch(document: Mapping[str, Any], patch: Any) -> Mapping[str, Any]:
    """`document` with what `patch` says; null removes. Raises StatusError 400 for a patch that is no object."""
    if patch is None:
        raise errors.bad_request("Invalid JSON Patch")
    if not isinstance(patch, Mapping):
        kind = "array" if isinstance(patch, list) else govalue.type_name(patch).replace("int64", "number").replace("float64", "number")
        raise errors.bad_request(f"error decoding patch: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    return _merged(document, patch)


def _merged(document: Mapping[str, Any], patch: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = dict(document)
    for name, value in patch.items():
        before = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[name] = _merged(before, value)
        elif before is None or isinstance(value, Mapping):
            merged[name] = _without_nulls(value)
        else:
            merged[name] = value
    return merged


def _without_nulls(value: Any) -> Any:
    """Nulls in maps remove what is not there; in lists they are items."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def shown(node: Node | None, before: Any, after: Any, *, sort_new: bool) -> str:
    """A patched document as upstream quotes it: maps that the patch went into have sorted keys, others Go's order.

    `node` is the type of the document, None for a custom resource. `sort_new` says that what the patch brought is
    sorted too, as in a merge patch.
    """
    return govalue.escaped(json.dumps(_ordered(node, before, after, sort_new, 0), separators=(",", ":"), ensure_ascii=False))


def _ordered(node: Node | None, before: Any, after: Any, sort_new: bool, depth: int) -> Any:
    if depth and after is before:
        return gostruct.ordered(node, after)
    if isinstance(after, Mapping) and (sort_new or isinstance(before, Mapping)):
        old = before if isinstance(before, Mapping) else {}
        fields = {name: node.field(name) if node is not None else None for name in after}
        return {name: _ordered(fields[name], old.get(name), after[name], sort_new, depth + 1) for name in sorted(after)}
    if isinstance(after, list):
        old_items = before if isinstance(before, list) else []
        known = {id(item): item for item in old_items}
        item_node = node.item if node is not None and node.type == "array" else None
        return [_ordered(item_node, known.get(id(item)), item, sort_new, depth + 1) for item in after]
    return after
