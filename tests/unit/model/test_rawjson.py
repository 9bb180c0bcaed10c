"""Raw extensions keep the text that was submitted."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kit import definitions
from reconciler.model import rawjson
from reconciler.model.schema import Schemas

FIELDS = rawjson.Fields(Schemas(definitions.load(), definitions.shapes()))
REVISION = "io.k8s.api.apps.v1.ControllerRevision"
CLAIM = "io.k8s.api.resource.v1.ResourceClaim"
POD = "io.k8s.api.core.v1.Pod"
CHARACTERS = st.characters(exclude_categories=["Cs"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(CHARACTERS, max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(CHARACTERS, max_size=8), inner, max_size=4),
    max_leaves=20,
)


def kept(definition: str, text: bytes) -> bytes:
    """What the journal would hold of a body."""
    value = orjson.loads(text)
    FIELDS.remember(definition, value, text)
    return rawjson.dumps(value)


@pytest.mark.parametrize(
    ("definition", "text", "stored"),
    [
        (REVISION, b' { "revision": 1, "data" : {"a": [1, 2.50, "]}\\""]} } ', b'{"revision":1,"data":{"a": [1, 2.50, "]}\\""]}}'),
        (REVISION, b'{"data": { "a":\t1 }, "x": "y"}', b'{"data":{ "a":\t1 },"x":"y"}'),
        (REVISION, b'{"data": {"a":\n 1}}', b'{"data":{"a":1}}'),  # a line of a watch is one line
        (REVISION, b'{"data": [ 1 ]}', b'{"data":[1]}'),
        (REVISION, b'{"d\\u0061ta": {"a": 1}}', b'{"data":{"a": 1}}'),
        (REVISION, b'{"data": {"a": 1}, "data": {"a": 2 }}', b'{"data":{"a": 2 }}'),
        (
            f"{REVISION}List",
            b'{"items": [{"data": { }}, {}, {"metadata": { }, "data": {"b": 1}}]}',
            b'{"items":[{"data":{ }},{},{"metadata":{},"data":{"b": 1}}]}',
        ),
        (
            CLAIM,
            b'{"spec": {"devices": {"config": [{"requests": ["a"], "opaque": {"driver": "d", "parameters": {"a": 1}}}]}}}',
            b'{"spec":{"devices":{"config":[{"requests":["a"],"opaque":{"driver":"d","parameters":{"a": 1}}}]}}}',
        ),
        (CLAIM, b'{"spec": 1, "status": {"devices": [{"data": {"a": 1}}]}}', b'{"spec":1,"status":{"devices":[{"data":{"a": 1}}]}}'),
        (POD, b'{"data": {"a": 1}}', b'{"data":{"a":1}}'),
    ],
)
def test_texts_are_kept_where_kubernetes_keeps_them(definition: str, text: bytes, stored: bytes) -> None:
    assert kept(definition, text) == stored


@given(before=JSON, data=st.dictionaries(st.text(CHARACTERS, max_size=8), JSON), after=JSON, comma=st.sampled_from([",", ", ", " ,\t"]))
def test_whatever_is_around_them(before: object, data: dict[str, object], after: object, comma: str) -> None:
    text = json.dumps({"before": before, "data": data, "after": after}, separators=(comma, " : ")).encode()
    stored = kept(REVISION, text)
    assert orjson.loads(stored) == {"before": before, "data": data, "after": after}
    assert json.dumps(data, separators=(comma, " : ")).encode() in stored


def test_what_is_not_what_was_read_is_written_anew() -> None:
    value = {"data": {"a": "\ufffd"}}  # bytes that are no characters were replaced
    FIELDS.remember(REVISION, value, b'{"data": {"a": "\xff"}}')
    assert rawjson.dumps(value) == '{"data":{"a":"\ufffd"}}'.encode()


def test_other_subclasses_are_their_values() -> None:
    class Text(str):
        __slots__ = ()

    class Pairs(list[int]):
        pass

    class Fields(dict[str, int]):
        pass

    assert rawjson.dumps({"a": Text("x"), "b": Pairs([1]), "c": Fields(d=1)}) == b'{"a":"x","b":[1],"c":{"d":1}}'
