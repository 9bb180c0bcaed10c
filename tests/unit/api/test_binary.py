"""The protobuf form at the edge: what comes in as text goes out as the same text."""

import orjson
import pytest

from reconciler.api import binary
from reconciler.model import protobuf, rawjson

REVISION = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "x"}, "revision": 7}


def with_data(text: bytes) -> bytes:
    return orjson.dumps({**REVISION, "data": orjson.Fragment(text)})


def read(sent: bytes) -> dict[str, object]:
    return binary.decode(*protobuf.unpack(sent))


@pytest.mark.parametrize("text", [b'{"spec": {"x": [1, "a", null]}}', b'{"spec":{}}', b'[1,"a"]', b'{ "\xc3\xa9" : "\\u00e9" }'])
def test_raw_extensions_go_both_ways_as_text(text: bytes) -> None:
    sent = binary.encode(with_data(text))
    assert protobuf.length_delimited(1, text) in sent
    assert binary.encode(rawjson.dumps(read(sent))) == sent


def test_lists_and_events_too() -> None:
    items = [{**REVISION, "data": orjson.Fragment(b'{"a": %d}' % number)} for number in range(3)]
    many = binary.encode(orjson.dumps({"apiVersion": "apps/v1", "kind": "ControllerRevisionList", "metadata": {}, "items": items}))
    assert all(b'{"a": %d}' % number in many for number in range(3))
    assert b'{"a": 1}' in binary.frame("ADDED", with_data(b'{"a": 1}'))


def test_definitions_of_custom_resources_are_read_and_written_anew() -> None:
    schema = {"type": "object", "default": orjson.Fragment(b'{"b": 1, "a": 2}')}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x"}, "spec": spec}
    sent = binary.encode(orjson.dumps(body))
    assert b'{"a":2,"b":1}' in sent
    assert rawjson.dumps(read(sent)) == orjson.dumps(read(sent))


@pytest.mark.parametrize(
    "text", [b'{"a": NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b"nope", b'{"a": 1} 2', b'{"a":' * 300 + b"1" + b"}" * 300]
)
def test_what_the_journal_could_not_be_read_with_is_refused(text: bytes) -> None:
    good = binary.encode(with_data(b"{}"))
    _, _, message = protobuf.unpack(good)
    bad = protobuf.length_delimited(2, protobuf.length_delimited(1, text))
    with pytest.raises(protobuf.Malformed):
        binary.decode("apps/v1", "ControllerRevision", message + bad)
