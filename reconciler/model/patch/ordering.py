"""The order of merged lists: what the patch orders comes in its order, live items keep theirs among them."""

from typing import Any

from reconciler.model import govalue

DIRECTIVE = "$patch"


class Failed(Exception):
    """The patch does not fit; the message is upstream's."""


def require_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        actual = "%!s(<nil>)" if value is None else govalue.type_name(value)
        raise Failed(f"expected a []interface {{}}, but received a {actual}")
    return value


def element_type(*lists: list[Any]) -> str:
    """The one type that all items have. Raises Failed where they differ or there are none."""
    found = ""
    for items in lists:
        for item in items:
            kind = govalue.type_name(item)
            if found and kind != found:
                raise Failed(f"list element types are not identical: {govalue.plain(list(lists))}")
            found = kind
    if not found:
        raise Failed("no elements in any of the given slices")
    return found


def key_of(item: Any, key: str) -> Any:
    """An item's merge key; of a scalar itself."""
    if not key:
        return item
    if not isinstance(item, dict):
        raise Failed(f"expected a map[string]interface {{}}, but received a {govalue.type_name(item)}")
    if key not in item:
        raise Failed(f"map: {govalue.plain(item)} does not contain declared merge key: {key}")
    return item[key]


def require_same_order(patch: list[Any], order: list[Any], key: str) -> None:
    """Items of `patch` must all be in `order`, in the same order; directives do not count."""
    if not patch or not order:
        return
    waiting = [item for item in patch if not (isinstance(item, dict) and DIRECTIVE in item)] if key else patch
    place = 0
    for wanted in order:
        if place < len(waiting) and key_of(waiting[place], key) == key_of(wanted, key):
            place += 1
    if place < len(waiting):
        raise Failed(f"The order in patch list:\n{govalue.plain(patch)}\n doesn't match $setElementOrder list:\n{govalue.plain(order)}\n")


def partition(merged: list[Any], ordered: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """The items that `ordered` names, and the others."""
    named = [item.get(key) for item in ordered if isinstance(item, dict)] if key else ordered
    first: list[Any] = []
    rest: list[Any] = []
    for item in merged:
        (first if key_of(item, key) in named else rest).append(item)
    return first, rest


def interleave(first: list[Any], rest: list[Any], order: list[Any], live: list[Any], key: str) -> list[Any]:
    """`first` in the order of `order`, with `rest` (in the order of `live`) each before the first item it preceded live."""
    live_places = _places(live, key)
    first = _sorted(first, _places(order, key), key)
    rest = _sorted(rest, live_places, key)
    result: list[Any] = []
    while first and rest:
        left, right = live_places.get(_hashable(rest[0], key)), live_places.get(_hashable(first[0], key))
        result.append(rest.pop(0) if left is not None and right is not None and left < right else first.pop(0))
    return result + first + rest


def _places(items: list[Any], key: str) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for place, item in enumerate(items):
        found.setdefault(_hashable(item, key), place)
    return found


def _sorted(items: list[Any], places: dict[Any, int], key: str) -> list[Any]:
    """Stable; what has no place stays in front."""
    return sorted(items, key=lambda item: places.get(_hashable(item, key), -1))


def _hashable(item: Any, key: str) -> Any:
    value = key_of(item, key)
    return (type(value).__name__, value) if isinstance(value, str | int | float | None) else govalue.plain(value)
