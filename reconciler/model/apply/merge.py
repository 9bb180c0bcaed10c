"""Merging a configuration into a live value, and taking given-up fields out of one. All by path copy.

The applied value wins wherever it says something. Items of a list keep the configuration's order; live items that it
does not name stay where they stood between the shared ones.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.model.apply import fields, typed
from reconciler.model.apply.fields import SELF, Fields
from reconciler.model.apply.typed import ABSENT
from reconciler.model.schema import Node


def merge(node: Node, live: Any, config: Any) -> Any:
    """`live` with what `config` says; `config` has passed `check`. Raises typed.Untypable for live."""
    if config is ABSENT or live is config:
        return live
    kind = typed.shape(node, config)
    if live is ABSENT or kind != typed.shape(node, live) or typed.is_atomic(node, kind) or not live:
        return config
    if not config:
        return live
    return _merge_maps(node, live, config) if kind == "map" else _merge_lists(node, live, config)


def _merge_maps(node: Node, live: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    merged = dict(live)
    for name, value in config.items():
        merged[name] = merge(typed.entry(node, name), live.get(name, ABSENT), value)
    return merged


def _merge_lists(node: Node, live: list[Any], config: list[Any]) -> list[Any]:
    old = list(typed.elements(node, live))
    new = dict(typed.elements(node, config))
    known: dict[str, Any] = {}
    for element, item in old:
        known[element] = None if element in known else item  # duplicates are replaced, not merged
    shared = [element for element in new if element in known]  # not merged yet, in the order wanted
    merged: dict[str, Any] = {}
    result: list[Any] = []
    waiting = list(new.items())
    place = 0
    while place < len(old) or len(merged) < len(waiting):
        element = old[place][0] if place < len(old) else ""
        if element and element not in new:
            result.append(old[place][1])
            place += 1
            continue
        upcoming, value = waiting[len(merged)] if len(merged) < len(waiting) else ("", None)
        if element and upcoming and element != upcoming and shared and element != shared[0]:
            place += 1  # its turn is another
            continue
        if element and (element == upcoming or element in merged):
            place += 1
        if upcoming:
            merged[upcoming] = value
            result.append(merge(node.item, known.get(upcoming, ABSENT), value))
            if shared and shared[0] == upcoming:
                shared.pop(0)
    return result


def remove(node: Node, value: Any, gone: Fields) -> Any:
    """`value` without the fields and items in `gone`; a container that is emptied so becomes null."""
    kind = typed.shape(node, value)
    if kind == "scalar":
        return value
    if not value or typed.is_atomic(node, kind):
        return None
    if kind == "list":
        return _remove_items(node, value, gone)
    return _remove_entries(node, value, gone)


def _remove_entries(node: Node, value: Mapping[str, Any], gone: Fields) -> Any:
    left: dict[str, Any] = {}
    for name, item in value.items():
        under = gone.get(fields.field(name))
        if under is None:
            left[name] = item
        elif under and SELF not in under:
            left[name] = remove(typed.entry(node, name), item, under)
    return left or None


def _remove_items(node: Node, value: list[Any], gone: Fields) -> Any:
    left: list[Any] = []
    for element, item in typed.elements(node, value):
        under = gone.get(element)
        if under is None:
            left.append(item)
        elif under and SELF not in under:
            left.append(remove(node.item, item, under))
    return left or None
