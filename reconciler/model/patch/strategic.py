"""Strategic merge patch: maps merge, lists merge or are replaced as their field's schema says.

Directives in a patch: `$patch: replace|delete` in a map or a list's item, `$retainKeys` (what else the map has is
dropped), `$setElementOrder/FIELD` (the order of a merged list) and `$deleteFromPrimitiveList/FIELD`. Errors that
upstream does not classify are answered with 500, as it does.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.model import errors, govalue
from reconciler.model.patch import ordering
from reconciler.model.patch.ordering import DIRECTIVE, Failed
from reconciler.model.schema import Node

RETAIN_KEYS = "$retainKeys"
DELETE_FROM = "$deleteFromPrimitiveList"
SET_ORDER = "$setElementOrder"


class _Malformed(Exception):
    """A directive is written wrongly: 400."""


class _ListOfLists(Exception):
    pass


def strategic_patch(node: Node, document: Mapping[str, Any], patch: Any) -> Mapping[str, Any]:
    """`document` with `patch` merged in; what kind it is stays. Raises StatusError."""
    if patch is not None and not isinstance(patch, Mapping):
        kind = "array" if isinstance(patch, list) else govalue.type_name(patch).replace("int64", "number").replace("float64", "number")
        raise errors.bad_request(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    try:
        merged = _merge_map(node, document, patch or {})
        return merged | {name: document[name] for name in ("apiVersion", "kind") if name in document}
    except _Malformed as problem:
        raise errors.bad_request(str(problem)) from None
    except _ListOfLists:
        message = "the server rejected our request due to an error in our request"
        raise errors.StatusError(422, "Invalid", message, details={}) from None
    except Failed as problem:
        raise errors.StatusError(500, "", str(problem)) from None


def _merge_map(node: Node | None, original: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    if DIRECTIVE in patch:
        return _directed(patch)
    merged, rest = _retained(dict(original), dict(patch))
    for name in [name for name in rest if name.startswith(SET_ORDER)]:
        _merge_in_order(node, merged, rest, name)
    for name, value in rest.items():
        is_deletion = name.startswith(DELETE_FROM)
        field = _target(name, "invalid patch format of primitive list") if is_deletion else name
        before = merged.get(field)
        if value is None:
            merged.pop(field, None)
        elif field not in merged or govalue.type_name(before) != govalue.type_name(value):
            if not is_deletion:
                _put_new(merged, field, _without_nulls(value))
        elif isinstance(value, Mapping):
            child = _field(node, field)
            replace = "replace" in child.patch_strategy if child else False
            merged[field] = dict(value) if replace else _merge_map(child, before or {}, value)
        elif isinstance(value, list):
            merged[field] = _merge_field_list(node, field, before or [], value, is_deletion)
        else:
            merged[field] = value
    return merged


def _directed(patch: Mapping[str, Any]) -> dict[str, Any]:
    if patch[DIRECTIVE] == "replace":
        return {name: value for name, value in patch.items() if name != DIRECTIVE}
    if patch[DIRECTIVE] == "delete":
        return {}
    raise _unknown_directive(patch)


def _unknown_directive(patch: Mapping[str, Any]) -> Failed:
    return Failed(f"unknown patch type: {govalue.plain(patch[DIRECTIVE])} in map: {govalue.plain(patch)}")


def _retained(original: dict[str, Any], patch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`original` with the keys that $retainKeys names, and the patch without the directive."""
    if RETAIN_KEYS not in patch:
        return original, patch
    retained = patch.pop(RETAIN_KEYS)
    if not isinstance(retained, list):
        raise _Malformed("invalid patch format of retainKeys")
    for name, value in patch.items():
        if value is not None and not name.startswith((DELETE_FROM, SET_ORDER)) and name not in retained:
            raise _Malformed("invalid patch format of retainKeys")
    return {name: value for name, value in original.items() if name in retained}, patch


def _target(name: str, otherwise: str) -> str:
    """The field that a $directive/FIELD is about."""
    prefix, slash, field = name.partition("/")
    if not slash or prefix not in (DELETE_FROM, SET_ORDER):
        raise _Malformed(otherwise)
    return field


def _field(node: Node | None, name: str) -> Node | None:
    """The schema of a field; None inside free-form values. Raises Failed for a field that its type does not have."""
    if node is None:
        return None
    found = node.field(name)
    if found is None and node.properties:
        type_ = node.name.rpartition(".")[2] or "struct"
        raise Failed(f"unable to find api field in struct {type_} for the json field {govalue.quoted(name)}")
    return found


def _put_new(merged: dict[str, Any], name: str, value: Any) -> None:
    kept, keep = _without_directives(value)
    if keep:
        merged[name] = kept
    else:
        merged.pop(name, None)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _without_directives(value: Any) -> tuple[Any, bool]:
    """A new value without maps that are directives, and whether it is none itself."""
    if isinstance(value, Mapping):
        if DIRECTIVE in value:
            return None, False
        entries = {name: _without_directives(item) for name, item in value.items()}
        return {name: kept for name, (kept, keep) in entries.items() if keep}, True
    if isinstance(value, list):
        return [kept for kept, keep in map(_without_directives, value) if keep], True
    return value, True


def _merge_in_order(node: Node | None, merged: dict[str, Any], patch: dict[str, Any], directive: str) -> None:
    """Merge the list that `directive` orders, and take both out of the patch."""
    order = ordering.require_list(patch.pop(directive))
    name = _target(directive, "invalid patch format of setElementOrder list")
    live = ordering.require_list(merged[name]) if name in merged else None
    new = ordering.require_list(patch[name]) if name in patch else None
    child = _field(node, name)
    key = child.patch_merge_key if child else ""
    ordering.require_same_order(new or [], order, key)
    if live is None and new is None:
        return
    if live is None:
        result = _without_directives(new)[0]
    elif new is None:
        result = live
    else:
        result = _merge_field_list(node, name, live, new, is_deletion=False)
    first, rest = ordering.partition(result, order, key)
    ordering.element_type(live or [], new or [])
    merged[name] = ordering.interleave(first, rest, order, live or [], key)
    patch.pop(name, None)


def _merge_field_list(node: Node | None, name: str, live: list[Any], patch: list[Any], is_deletion: bool) -> list[Any]:
    child = _field(node, name)
    if is_deletion or (child is not None and "merge" in child.patch_strategy):
        return _merge_list(child.item if child else None, live, patch, child.patch_merge_key if child else "", is_deletion)
    return patch


def _merge_list(item: Node | None, live: list[Any], patch: list[Any], key: str, is_deletion: bool) -> list[Any]:
    if not live and not patch:
        return live
    kind = ordering.element_type(live, patch)
    if kind == "[]interface {}":
        raise _ListOfLists
    if kind != "map[string]interface {}":
        if is_deletion:
            return [value for value in live if value not in patch]
        merged = list(dict.fromkeys([*live, *patch]))
        key = ""
    else:
        if not key:
            raise Failed("cannot merge lists without merge key for struct")
        live, patch = _directed_items(live, patch, key)
        merged = _merge_items(item, live, patch, key)
    first, rest = ordering.partition(merged, patch, key)
    return ordering.interleave(first, rest, patch, live, key)


def _directed_items(live: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """The live list after its items' deletions, and the patch without directives; all of it new after a replace."""
    plain = []
    replaced = False
    for item in patch:
        directive = item.get(DIRECTIVE)
        if DIRECTIVE not in item:
            plain.append(item)
        elif directive == "delete":
            wanted = ordering.key_of(item, key)
            live = [one for one in live if one.get(key) != wanted]
        elif directive == "replace":
            replaced = True
        elif directive == "merge":
            raise Failed("merging lists cannot yet be specified in the patch")
        else:
            raise _unknown_directive(item)
    return (plain, []) if replaced else (live, plain)


def _merge_items(item: Node | None, live: list[Any], patch: list[Any], key: str) -> list[Any]:
    merged = list(live)
    for new in patch:
        wanted = ordering.key_of(new, key)
        place = next((place for place, one in enumerate(merged) if key in one and one[key] == wanted), None)
        if place is None:
            merged.append(new)
        else:
            merged[place] = _merge_map(item, merged[place], new)
    return merged
