"""Values as Go prints them."""

from typing import Any

import pytest

from reconciler.model import govalue


@pytest.mark.parametrize(
    ("value", "plain", "literal", "type_name"),
    [
        (None, "<nil>", "interface {}(nil)", "<nil>"),
        (True, "true", "true", "bool"),
        (-3, "-3", "-3", "int64"),
        (1.5, "1.5", "1.5", "float64"),
        (2.0, "2", "2", "float64"),
        (1e21, "1e+21", "1e+21", "float64"),
        (0.00001, "1e-05", "1e-05", "float64"),
        ('a"b', 'a"b', '"a\\"b"', "string"),
        ([1, "x"], "[1 x]", '[]interface {}{1, "x"}', "[]interface {}"),
        ({"b": 1, "a": None}, "map[a:<nil> b:1]", 'map[string]interface {}{"a":interface {}(nil), "b":1}', "map[string]interface {}"),
    ],
)
def test_printing(value: Any, plain: str, literal: str, type_name: str) -> None:
    assert (govalue.plain(value), govalue.literal(value), govalue.type_name(value)) == (plain, literal, type_name)


def test_json_as_go_writes_it() -> None:
    assert govalue.marshal("\u2028") == '"\\u2028"'
    assert govalue.marshal({"b": "<&>", "a": "ü"}) == '{"a":"ü","b":"\\u003c\\u0026\\u003e"}'
