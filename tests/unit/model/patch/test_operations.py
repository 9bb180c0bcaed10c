"""JSON patch: the operations of RFC 6902, and what kube-apiserver makes of the odd ones."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import errors, patch
from reconciler.model.patch import operations

DOCUMENT: dict[str, Any] = {"data": {"a": "1", "x/y": "2", "t~e": "3"}, "list": ["p", "q"], "none": None}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "~/"]), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        ({"op": "add", "path": "/data/b", "value": "2"}, {"data": {**DOCUMENT["data"], "b": "2"}}),
        ({"op": "add", "path": "/list/-", "value": "r"}, {"list": ["p", "q", "r"]}),
        ({"op": "add", "path": "/list/1", "value": "r"}, {"list": ["p", "r", "q"]}),
        ({"op": "add", "path": "/list/2", "value": "r"}, {"list": ["p", "q", "r"]}),
        ({"op": "add", "path": "/list/-1", "value": "r"}, {"list": ["p", "q", "r"]}),
        ({"op": "add", "path": "/new"}, {"new": None}),
        ({"op": "add", "path": "whatever/new", "value": 1}, {"new": 1}),
        ({"op": "remove", "path": "/data/x~1y"}, {"data": {"a": "1", "t~e": "3"}}),
        ({"op": "remove", "path": "/data/t~0e"}, {"data": {"a": "1", "x/y": "2"}}),
        ({"op": "remove", "path": "/list/-1"}, {"list": ["p"]}),
        ({"op": "replace", "path": "/list/0", "value": {"z": 1}}, {"list": [{"z": 1}, "q"]}),
        ({"op": "replace", "path": "/absent", "value": 1}, {"absent": 1}),
        ({"op": "move", "from": "/data/a", "path": "/b"}, {"data": {"x/y": "2", "t~e": "3"}, "b": "1"}),
        ({"op": "copy", "from": "/list", "path": "/data/l"}, {"data": {**DOCUMENT["data"], "l": ["p", "q"]}}),
        ({"op": "copy", "from": "/absent", "path": "/b"}, {"b": None}),
        ({"op": "test", "path": "/data/none", "value": None}, {}),
        ({"op": "test", "path": "/list", "value": ["p", "q"]}, {}),
    ],
)
def test_an_operation_changes_what_it_says(operation: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert patch.json_patch(DOCUMENT, [operation]) == {**DOCUMENT, **wanted}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "", "value": {}},
        {"op": "add", "path": "/absent/x", "value": 1},
        {"op": "add", "path": "/none/x", "value": 1},
        {"op": "add", "path": "/list/3", "value": 1},
        {"op": "add", "path": "/list/-4", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "value": 1},
        {"op": "remove", "path": "/absent"},
        {"op": "remove", "path": "/list/2"},
        {"op": "remove", "path": "/list/-"},
        {"op": "replace", "path": "/list/7", "value": 1},
        {"op": "replace", "path": "", "value": "x"},
        {"op": "move", "from": "/absent", "path": "/b"},
        {"op": "copy", "path": "/b"},
        {"op": "test", "path": "/data/a", "value": 1},
        {"op": "test", "path": "/data/absent", "value": "1"},
        {"op": "test", "path": "/none", "value": False},
        {"op": "Add", "path": "/x", "value": 1},
        {"path": "/x"},
        {},
        None,
    ],
)
def test_an_operation_that_does_not_apply_refuses_the_patch(operation: Any) -> None:
    with pytest.raises(errors.StatusError) as refusal:
        patch.json_patch(DOCUMENT, [{"op": "add", "path": "/kept", "value": 1}, operation])
    assert refusal.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    }
    assert "kept" not in DOCUMENT


@pytest.mark.parametrize(
    ("body", "strict", "message"),
    [
        (["x"], True, "error decoding patch: json: cannot unmarshal string into Go value of type handlers.jsonPatchOp"),
        (["x"], False, "json: cannot unmarshal string into Go value of type jsonpatch.Operation"),
        ({"op": "add"}, True, "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        ({"op": "add"}, False, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (
            [{"op": "add", "path": 5}],
            True,
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.path of type string",
        ),
    ],
)
def test_what_is_no_patch_is_refused(body: Any, strict: bool, message: str) -> None:
    with pytest.raises(errors.StatusError) as refusal:
        patch.json_patch(DOCUMENT, body, strict=strict)
    assert (refusal.value.code, refusal.value.message) == (400, message)


def test_limits() -> None:
    with pytest.raises(errors.StatusError) as refusal:
        patch.json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * (operations.MOST_OPERATIONS + 1))
    assert (refusal.value.code, refusal.value.reason) == (413, "RequestEntityTooLarge")
    doubling = [{"op": "copy", "from": "/a", "path": f"/{number}"} for number in range(4)]
    with pytest.raises(errors.StatusError) as refusal:
        patch.json_patch({"a": "x" * (operations.MOST_COPIED_BYTES // 3)}, doubling)
    assert refusal.value.code == 422


def test_null_is_an_empty_patch() -> None:
    assert patch.json_patch(DOCUMENT, None) is DOCUMENT


@given(JSON.filter(lambda value: isinstance(value, dict)), JSON)
def test_adding_and_removing_comes_back(document: dict[str, Any], value: Any) -> None:
    before = json.dumps(document)
    added = patch.json_patch(document, [{"op": "add", "path": "/new", "value": value}, {"op": "test", "path": "/new", "value": value}])
    assert added == {**document, "new": value}
    assert patch.json_patch(added, [{"op": "remove", "path": "/new"}]) == document
    assert json.dumps(document) == before


@given(JSON.filter(lambda value: isinstance(value, dict)), JSON.filter(lambda value: isinstance(value, dict)))
def test_replacing_the_root(document: dict[str, Any], value: dict[str, Any]) -> None:
    assert patch.json_patch(document, [{"op": "replace", "path": "", "value": value}]) == value


@pytest.mark.parametrize("body", [{}, "", 0, False])
def test_what_is_no_list_is_refused_even_when_empty(body: Any) -> None:
    with pytest.raises(errors.StatusError) as refused:
        patch.json_patch(DOCUMENT, body)
    assert refused.value.code == 400
    assert "into Go value of type []handlers.jsonPatchOp" in refused.value.message


def test_null_is_no_operation_at_all() -> None:
    assert patch.json_patch(DOCUMENT, None) == DOCUMENT
