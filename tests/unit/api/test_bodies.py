"""Bodies: what is read, what is refused before anybody looks at it."""

import re

import orjson
import pytest

from reconciler.api import bodies
from reconciler.model import errors


def parse(text: str | bytes, content_type: str = "application/json") -> bodies.Body:
    return bodies.parse(text.encode() if isinstance(text, str) else text, content_type, bodies.Expected("v1", "ConfigMap"))


def test_duplicate_keys_are_named_and_maps_merged() -> None:
    body = parse('{"metadata":{"name":"a","name":"b"},"data":{"x":"1"},"data":{"y":"2"}}')
    assert body.value == {"metadata": {"name": "b"}, "data": {"x": "1", "y": "2"}}
    assert body.duplicates == ('duplicate field "metadata.name"', 'duplicate field "data"')


def test_a_colon_in_a_value_is_no_duplicate() -> None:
    assert parse(orjson.dumps({"a": 'x":y'})).duplicates == ()


@pytest.mark.parametrize("depth", [201, 5000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_nesting_is_refused(depth: int, brackets: str) -> None:
    opening = "[" if brackets == "[]" else '{"a":'
    text = '{"x":' + opening * depth + "1" + brackets[1] * depth + "}"
    with pytest.raises(errors.StatusError) as refused:
        parse(text)
    assert refused.value.code == 400


def test_wide_bodies_are_fine() -> None:
    assert len(parse(orjson.dumps({"a": [{} for _ in range(1000)]})).value["a"]) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\nb: &b [" + ", ".join(["*a"] * 300) + "]\nc: [" + ", ".join(["*b"] * 1000) + "]",
        "x: " + "[" * 500 + "]" * 500,
        "&a [*a]",
        "a: b: c",
    ],
)
def test_yaml_bombs_are_refused(text: str) -> None:
    with pytest.raises(errors.StatusError) as refused:
        parse(text, "application/yaml")
    assert refused.value.code == 400


def test_yaml_is_read_as_kubectl_reads_it() -> None:
    body = parse("metadata: {name: a}\ndata: {on: yes, t: 12:30:45}\n---\nkind: Other\n", "application/yaml; charset=utf-8")
    assert body.value == {"metadata": {"name": "a"}, "data": {"true": True, "t": "12:30:45"}}


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "bad", "application/merge-patch+json"])
def test_other_types_are_unsupported(content_type: str) -> None:
    with pytest.raises(errors.StatusError) as refused:
        parse("{}", content_type)
    assert refused.value.code == 415


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("nonsense", "invalid character 'o' in literal null (expecting 'u')"),
        ('{"a":', "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
    ],
)
def test_faults_are_told_in_the_words_that_clients_know(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        bodies.parse_json(text.encode())


def test_keys_written_twice_in_yaml_are_told_of_and_the_last_counts() -> None:
    body = parse("kind: ConfigMap\ndata:\n  a: '1'\n  a: '2'\n", "application/yaml")
    assert body.value["data"] == {"a": "2"}
    assert body.duplicates == (f'{bodies.REPEATS}line 4: key "a" already set in map',)


def test_bytes_that_are_no_characters_are_replaced() -> None:
    assert parse(b'{"data":{"a":"\xff"}}').value == {"data": {"a": "\ufffd"}}
    assert parse('{"data":{"a":"\\ud800"}}').value == {"data": {"a": "\ufffd"}}


@pytest.mark.parametrize("text", ["application/json;;", "application", "a/b/c"])
def test_what_is_no_media_type_is_none(text: str) -> None:
    assert bodies.media_type(text) == ""
