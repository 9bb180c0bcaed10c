"""The bytes of objects and lists, and the form a client gets."""

import orjson
import pytest

from reconciler import kinds
from reconciler.api import wire
from reconciler.api.cache import Item, stamped
from reconciler.model import errors

CONFIG_MAP = kinds.builtin()["configmaps"]
HPA = kinds.builtin()["horizontalpodautoscalers.autoscaling"]
STORED = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "u"}, "data": {"x": "y"}}


def item() -> Item:
    return Item(stamped(STORED, 7), 7, orjson.dumps(STORED))


def test_spliced_bytes_are_the_object() -> None:
    made = item()
    assert orjson.loads(wire.json_of(CONFIG_MAP, CONFIG_MAP.hub_version, made)) == made.obj


def test_items_of_a_list_leave_out_what_the_list_says() -> None:
    inside = orjson.loads(wire.list_item(CONFIG_MAP, CONFIG_MAP.hub_version, item()))
    assert inside == {key: value for key, value in item().obj.items() if key not in ("apiVersion", "kind")}


def test_bytes_that_begin_otherwise_are_encoded_anew() -> None:
    odd = Item(stamped(STORED, 7), 7, orjson.dumps(dict(reversed(STORED.items()))))
    assert orjson.loads(wire.json_of(CONFIG_MAP, CONFIG_MAP.hub_version, odd)) == odd.obj


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", wire.Form()),
        ("*/*", wire.Form()),
        ("application/json;q=0.5,application/yaml", wire.Form(wire.YAML)),
        ("text/plain, application/json;q=0.9", wire.Form()),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", wire.Form(shape="Table")),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", wire.Form()),
    ],
)
def test_negotiation(accept: str, form: wire.Form) -> None:
    assert wire.negotiate(accept, False) == form


@pytest.mark.parametrize("accept", ["text/html", "application/*", "application/json;as=Nothing", "bad"])
def test_what_cannot_be_had_is_not_acceptable(accept: str) -> None:
    with pytest.raises(errors.StatusError) as refused:
        wire.negotiate(accept, True)
    assert refused.value.code == 406


def test_of_a_custom_resource_protobuf_has_the_metadata_only() -> None:
    partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert wire.negotiate(f"{partial},application/json", False, has_protobuf=False) == wire.Form(wire.PROTOBUF, "PartialObjectMetadata")
    assert wire.negotiate("application/vnd.kubernetes.protobuf,application/json", False, has_protobuf=False) == wire.Form()


def test_chunks_joined_are_the_list() -> None:
    parts = [b"x" * size for size in (1, 5, 100, 3, 3)]
    for most in (1, 10, 1000):
        assert b"".join(wire.chunks(parts, most)) == b",".join(parts)


def test_versions_are_converted() -> None:
    assert {version.name for version in HPA.versions} == {"v1", "v2"}
