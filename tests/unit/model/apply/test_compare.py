"""What a change did, by example; its laws are in test_merge.py."""

from typing import Any

import pytest

from reconciler.model.apply import compare, fields
from reconciler.model.schema import Schemas

STRING = {"type": "string"}
NODE = Schemas({}).of(
    {
        "type": "object",
        "properties": {
            "text": STRING,
            "labels": {"type": "object", "additionalProperties": STRING},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
            "items": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": STRING, "value": STRING}},
            },
            "free": {"x-kubernetes-preserve-unknown-fields": True},
            "inner": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": STRING}}}},
        },
    }
)
A = 'k:{"name":"a"}'


@pytest.mark.parametrize(
    ("old", "new", "removed", "modified", "added"),
    [
        ({"text": "x"}, {"text": "y"}, {}, {"f:text": {}}, {}),
        ({}, {"inner": {"spec": {"a": "x"}}}, {}, {}, {"f:inner": {".": {}, "f:spec": {".": {}, "f:a": {}}}}),
        ({"inner": {"spec": {}}}, {"inner": {"spec": {"a": "x"}}}, {}, {}, {"f:inner": {"f:spec": {"f:a": {}}}}),
        ({"labels": {}}, {}, {"f:labels": {}}, {}, {}),
        ({"labels": None}, {"labels": {"a": "1"}}, {}, {}, {"f:labels": {"f:a": {}}}),
        ({"set": ["a"]}, {"set": ["b"]}, {"f:set": {'v:"a"': {}}}, {}, {"f:set": {'v:"b"': {}}}),
        ({"set": ["a"]}, {"set": []}, {"f:set": {'v:"a"': {}}}, {}, {}),
        ({"items": [{"name": "a", "value": "1"}]}, {"items": [{"name": "a"}]}, {"f:items": {A: {"f:value": {}}}}, {}, {}),
        ({"items": [{"name": "a"}]}, {"items": [{"name": "a"}] * 2}, {"f:items": {A: {".": {}, "f:name": {}}}}, {}, {"f:items": {A: {}}}),
        ({"items": [{"name": "a"}] * 2}, {"items": [{"name": "a"}]}, {"f:items": {A: {}}}, {}, {"f:items": {A: {".": {}, "f:name": {}}}}),
        ({"items": [{"name": "a"}] * 2}, {"items": [{"name": "a", "value": "1"}] * 2}, {}, {"f:items": {A: {}}}, {}),
        ({"free": {"a": 1}}, {"free": "text"}, {"f:free": {"f:a": {}}}, {"f:free": {}}, {}),
        ({"free": True}, {"free": 1}, {}, {"f:free": {}}, {}),
        ({"free": [1]}, {"free": [1, 2]}, {}, {"f:free": {}}, {}),
    ],
)
def test_a_change_is_told_field_by_field(old: Any, new: Any, removed: Any, modified: Any, added: Any) -> None:
    change = compare.compare(NODE, old, new)
    assert (change.removed, change.modified, change.added) == (removed, modified, added)


def test_a_new_object_sets_what_its_empty_one_does_not_have() -> None:
    empty = {"metadata": {}, "inner": {"spec": {}}, "text": "", "items": None}
    new = {"inner": {"spec": {"a": "x"}}, "text": "", "items": [{"name": "a"}], "labels": {"l": "1"}}
    assert compare.created(NODE, empty, new, ()) == {
        "f:inner": {"f:spec": {"f:a": {}}},
        "f:items": {A: {".": {}, "f:name": {}}},
        "f:labels": {".": {}, "f:l": {}},
    }


def test_field_sets_of_shared_parts_are_shared_and_bounded() -> None:
    part = {"spec": {"a": "x"}}
    first = compare.created(NODE, {}, {"inner": part}, ())
    assert compare.created(NODE, {}, {"inner": part}, ())["f:inner"] is first["f:inner"]
    for number in range(compare.REMEMBERED + 1):
        compare.created(NODE, {}, {"inner": {"spec": {"a": str(number)}}}, ())
    assert len(compare._remembered) == compare.REMEMBERED
    assert compare.created(NODE, {}, {"inner": part}, ()) == first


def test_of_metadata_nothing_is_set_that_belongs_to_the_server() -> None:
    node = Schemas({}).of(
        {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": STRING, "labels": {"type": "object"}}}}}
    )
    made = compare.created(node, {"metadata": {}}, {"metadata": {"name": "x", "labels": {"a": "b"}}}, ("name",))
    assert made == fields.of(("f:metadata", "f:labels"), ("f:metadata", "f:labels", "f:a"))
    assert compare.created(node, {"metadata": {}}, {"metadata": {"name": "x"}}, ("name",)) == {}
