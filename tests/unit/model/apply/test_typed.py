"""What values mention, seen through their schema."""

from typing import Any

import pytest

from reconciler.model.apply import fields, typed
from reconciler.model.schema import Schemas

STRING = {"type": "string"}
PORT = {
    "type": "object",
    "required": ["port"],
    "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": STRING},
}
ROOT = {
    "type": "object",
    "properties": {
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {"$ref": "#/components/schemas/io.example.v1.Port"},
        },
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        "plain": {"type": "array", "items": STRING},
        "labels": {"type": "object", "additionalProperties": STRING},
        "atom": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": STRING}},
        "inner": {"type": "object", "properties": {"a": STRING, "b": {"type": "object", "properties": {"c": STRING}}}},
        "bare": {"type": "object"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "raw": {"$ref": f"#/components/schemas/{typed.RAW}"},
    },
}
SCHEMAS = Schemas({"io.example.v1.Port": PORT, typed.RAW: {"type": "object", "x-kubernetes-preserve-unknown-fields": True}})
NODE = SCHEMAS.of(ROOT)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"inner": {"a": "x", "b": {}}}, {"f:inner": {"f:a": {}, "f:b": {}}}),
        ({"inner": None}, {"f:inner": {}}),
        ({"labels": {"l": "1"}}, {"f:labels": {"f:l": {}}}),
        ({"labels": {}}, {"f:labels": {}}),
        ({"set": ["a"], "plain": []}, {"f:set": {'v:"a"': {}}, "f:plain": {}}),
        ({"set": []}, {}),
        ({"set": ["a", "a", "b"]}, {"f:set": {'v:"a"': {}, 'v:"b"': {}}}),
        ({"atom": {"a": "x"}, "raw": {"x": 1}}, {"f:atom": {}, "f:raw": {}}),
        ({"ports": [{"port": 80}]}, {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}),
        ({"ports": [{"name": "x"}]}, {"f:ports": {'k:{"port":0,"protocol":"TCP"}': {".": {}, "f:name": {}}}}),
        ({"bare": {"a": {"b": 1}}}, {"f:bare": {"f:a": {".": {}, "f:b": {}}}}),
        ({"free": {"a": {"b": [1]}, "c": {}}}, {"f:free": {"f:a": {".": {}, "f:b": {}}, "f:c": {}}}),
    ],
)
def test_the_fields_that_a_value_mentions(value: Any, wanted: fields.Fields) -> None:
    assert typed.of(NODE, value) == wanted


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"unknown": 1}, ".unknown: field not declared in schema"),
        ({"set": [{}]}, "element 0: associative list without keys has an element that's a map type"),
        ({"set": ["a", []]}, "element 1: not supported: associative list with lists as elements"),
        ({"set": [None]}, "element 0: associative list without keys has an element that's an explicit null"),
        ({"ports": [None]}, "element 0: associative list with keys may not have a null element"),
        ({"ports": ["x"]}, "element 0: associative list with keys may not have non-map elements"),
    ],
)
def test_what_has_no_path_is_untypable(value: Any, message: str) -> None:
    with pytest.raises(typed.Untypable) as problem:
        typed.of(NODE, value)
    assert str(problem.value) == message


def test_named_fields_on_the_way_become_members() -> None:
    owned = fields.of(("f:inner", "f:b", "f:c"), ("f:labels", "f:l"), ("f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name"))
    assert set(fields.paths(typed.members(NODE, owned))) - set(fields.paths(owned)) == {
        ("f:inner",),
        ("f:inner", "f:b"),
        ("f:labels",),
        ("f:ports",),
    }


def test_what_became_atomic_is_owned_as_a_whole() -> None:
    owned = fields.of(
        ("f:atom", "f:a"), ("f:atom",), ("f:plain", 'v:"x"'), ("f:labels", "f:a"), ("f:gone", "f:x"), ("f:free", "f:a", "f:b")
    )
    assert typed.settle(NODE, owned) == fields.of(
        ("f:atom",), ("f:plain",), ("f:labels", "f:a"), ("f:gone", "f:x"), ("f:free", "f:a", "f:b")
    )
