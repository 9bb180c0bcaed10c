"""Why a text is no JSON, in the words of Go's encoding/json."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import gojson

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ('{"a":1', "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{x", "invalid character 'x' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("1 2", "invalid character '2' after top-level value"),
        ("nul", "unexpected end of JSON input"),
        ("nulx", "invalid character 'x' in literal null (expecting 'l')"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
    ],
)
def test_complaints(text: str, complaint: str) -> None:
    assert gojson.complaint(text) == complaint


@given(VALUES)
def test_good_json_is_not_complained_of(value: object) -> None:
    assert gojson.complaint(json.dumps(value)) == ""


@given(VALUES)
def test_half_a_structure_is_complained_of(value: object) -> None:
    text = json.dumps([value])
    assert gojson.complaint(text[:-1]) == "unexpected end of JSON input"


def test_numbers_are_quoted_as_they_were_written() -> None:
    read = gojson.as_written('{"a": [1e3, 1.50, 18446744073709551616, -0.0], "b": true}')
    assert [str(number) for number in read["a"]] == ["1e3", "1.50", "18446744073709551616", "-0.0"]
    assert f"{read['a'][0]}" == "1e3"
    assert read == {"a": [1000, 1.5, 2**64, 0], "b": True}
