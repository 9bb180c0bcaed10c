"""kustomize's strategic merge, which differs from the API server's: what a patch adds to a list comes first, several
fields together may identify an item, and a field that the schema does not know is merged all the same.
"""

from typing import Any

from reconciler.model.schema import Node

DIRECTIVE = "$patch"
GONE: Any = object()


class Malformed(Exception):
    """A directive is none, or two values that are to be merged are of different form."""


def merge(old: Any, patch: Any, node: Node | None) -> Any:
    """`old` with `patch` merged in; GONE where the patch deletes it."""
    if patch is None:
        return GONE
    if isinstance(patch, dict):
        if old is not None and not isinstance(old, dict):
            raise Malformed(f"a mapping cannot be merged with {old!r}")
        return _map(old, patch, node)
    if isinstance(patch, list):
        if old is not None and not isinstance(old, list):
            raise Malformed(f"a list cannot be merged with {old!r}")
        return _list(old or [], patch, node) if node is not None and "merge" in node.patch_strategy else patch
    if isinstance(old, dict | list):
        raise Malformed(f"{patch!r} cannot be merged with a {'mapping' if isinstance(old, dict) else 'list'}")
    return patch


def _map(old: dict[str, Any] | None, patch: dict[str, Any], node: Node | None) -> Any:
    directive = patch.get(DIRECTIVE)
    if directive == "delete":
        return GONE
    if directive not in (None, "replace", "merge"):
        raise Malformed(f"{DIRECTIVE}: {directive!r} is none of replace, merge and delete")
    merged = {} if directive == "replace" or old is None else dict(old)
    for name, value in patch.items():
        if name == DIRECTIVE:
            continue
        new = merge(merged.get(name), value, node.field(name) if node is not None else None)
        if new is GONE:
            merged.pop(name, None)
        else:
            merged[name] = new
    return merged


def _list(old: list[Any], patch: list[Any], node: Node) -> Any:
    directives = {item[DIRECTIVE] for item in patch if isinstance(item, dict) and item.keys() == {DIRECTIVE}}
    patch = [item for item in patch if not (isinstance(item, dict) and item.keys() == {DIRECTIVE})]
    if "delete" in directives:
        return GONE
    if "replace" in directives:
        return patch
    keys = node.map_keys or ((node.patch_merge_key,) if node.patch_merge_key else ())
    if not keys:
        return list(dict.fromkeys([*patch, *old]))
    if not all(isinstance(item, dict) for item in (*old, *patch)):
        raise Malformed(f"the items of a list that is merged by {' and '.join(keys)} must be mappings")
    return _items(old, patch, keys, node)


def _items(old: list[Any], patch: list[Any], keys: tuple[str, ...], node: Node) -> Any:
    """What the patch adds comes first. What it changes comes next in its order, or, where several keys are in use, stays."""
    keys = tuple(key for key in keys if any(item.get(key) not in (None, "") for item in (*old, *patch))) or keys
    merged: list[Any] = []
    changed: dict[int, Any] = {}  # place in `old` -> what became of the item
    for item in patch:
        place = _place(old, item, keys)
        known = old[place] if place is not None else None
        new = merge(known, item, node.item)
        kept = [] if new is GONE or not new else [{**{key: known[key] for key in keys if known and key in known}, **new}]
        if place is None or len(keys) == 1:
            merged += kept
        if place is not None:
            changed[place] = kept if len(keys) > 1 else []
    rest = [one for place, item in enumerate(old) for one in changed.get(place, [item])]
    return [*merged, *rest] or GONE


def _place(items: list[Any], wanted: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    """Where the item that `wanted` is about is: the one with the same keys, else one that leaves out some of them."""
    for place, item in enumerate(items):
        if all(item.get(key) == wanted.get(key) for key in keys):
            return place
    shared = ((place, [key for key in keys if item.get(key) and wanted.get(key)]) for place, item in enumerate(items))
    return next((place for place, both in shared if both and all(items[place][key] == wanted[key] for key in both)), None)
