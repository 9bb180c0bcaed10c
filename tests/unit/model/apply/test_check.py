"""Upstream's words for values that cannot be walked."""

from typing import Any

import pytest

from reconciler.model.apply import check
from reconciler.model.schema import Schemas

STRING = {"type": "string"}
NODE = Schemas({}).of(
    {
        "type": "object",
        "properties": {
            "text": STRING,
            "date": {"type": "string", "format": "date-time"},
            "number": {"type": "integer"},
            "flag": {"type": "boolean"},
            "plain": {"type": "array", "items": STRING},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
            "inner": {"type": "object", "properties": {"a": {"type": "number"}}},
            "either": {"x-kubernetes-int-or-string": True},
        },
    }
)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"text": "x", "number": 1, "flag": False, "plain": ["y"], "set": ["a"], "inner": {"a": 1.5}, "either": "5%", "date": 5}, ""),
        ({"text": None, "inner": None, "set": None}, ""),
        ({"text": 1}, ".text: expected string, got &value.valueUnstructured{Value:1}"),
        (
            {"text": {"a": ["b"]}},
            '.text: expected string, got &value.valueUnstructured{Value:map[string]interface {}{"a":[]interface {}{"b"}}}',
        ),
        ({"number": "x"}, ".number: expected numeric (int or float), got string"),
        ({"number": True}, ".number: expected numeric (int or float), got bool"),
        ({"flag": "x"}, ".flag: expected boolean, got &{x}"),
        ({"plain": {"a": "b"}}, ".plain: expected list, got &{map[a:b]}"),
        ({"plain": [1]}, ".plain[0]: expected string, got &value.valueUnstructured{Value:1}"),
        ({"inner": "x"}, ".inner: expected map, got &{x}"),
        ({"inner": {"b": 1}}, ".inner.b: field not declared in schema"),
        ({"set": ["a", "b", "a"]}, '.set: duplicate entries for key [="a"]'),
        ({"set": [{}]}, ".set: element 0: associative list without keys has an element that's a map type"),
        ({"date": {}}, ".date: expected any scalar, got &{map[]}"),
        ("x", "expected map, got &{x}"),
        (
            {"flag": 1, "text": 1.5},
            "errors:\n  .flag: expected boolean, got &{1}\n  .text: expected string, got &value.valueUnstructured{Value:1.5}",
        ),
    ],
)
def test_problems(value: Any, message: str) -> None:
    assert check.problems(NODE, value) == message
