"""JSON merge patch: RFC 7386's own examples, and the laws behind them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import errors, patch

VALUES = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def diff(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A merge patch that leads from one object to the other."""
    made: dict[str, Any] = dict.fromkeys(one.keys() - other.keys())
    for name, value in other.items():
        if isinstance(value, dict) and isinstance(one.get(name), dict):
            made[name] = diff(one[name], value)
        elif name not in one or one[name] != value or type(one[name]) is not type(value):
            made[name] = value
    return made


@pytest.mark.parametrize(
    ("document", "body", "wanted"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "x"}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({}, {"a": [{"b": None, "c": 1}, None]}, {"a": [{"c": 1}, None]}),
    ],
)
def test_examples(document: dict[str, Any], body: Any, wanted: dict[str, Any]) -> None:
    assert patch.merge_patch(document, body) == wanted


@given(OBJECTS, OBJECTS)
def test_a_difference_leads_to_the_other_object(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert patch.merge_patch(one, diff(one, other)) == other


@given(OBJECTS, OBJECTS)
def test_merging_twice_is_merging_once(one: dict[str, Any], body: dict[str, Any]) -> None:
    once = patch.merge_patch(one, body)
    assert patch.merge_patch(once, body) == once


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "Invalid JSON Patch"),
        ([], "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ("x", "error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}"),
        (1, "error decoding patch: json: cannot unmarshal number into Go value of type map[string]interface {}"),
    ],
)
def test_what_is_no_object_is_refused(body: Any, message: str) -> None:
    with pytest.raises(errors.StatusError) as refusal:
        patch.merge_patch({}, body)
    assert (refusal.value.code, refusal.value.message) == (400, message)


def test_maps_that_the_patch_went_into_are_shown_with_sorted_keys() -> None:
    before = {"kind": "K", "b": {"z": 1, "a": {"y": 1, "x": 2}}, "a": 1}
    after = patch.merge_patch(before, {"b": {"new": {"q": 1, "p": "<"}}})
    shown = patch.shown(None, before, after, sort_new=True)
    assert shown == '{"a":1,"b":{"a":{"x":2,"y":1},"new":{"p":"\\u003c","q":1},"z":1},"kind":"K"}'
    assert patch.shown(None, before, before, sort_new=False) == '{"a":1,"b":{"a":{"x":2,"y":1},"z":1},"kind":"K"}'
