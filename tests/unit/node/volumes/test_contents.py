import base64
from typing import Any

import pytest

from reconciler.model import meta
from reconciler.node.volumes import contents
from reconciler.node.volumes.contents import File


class View:
    """Only what volumes read: objects by kind, namespace and name."""

    def __init__(self, *objects: tuple[str, dict[str, Any]]) -> None:
        self._objects = {(kind, *meta.key(obj)): obj for kind, obj in objects}

    def get(self, kind: str, namespace: str, name: str) -> meta.Obj | None:
        return self._objects.get((kind, namespace, name))


POD = {"metadata": {"name": "p", "namespace": "n", "labels": {"app": "web", "tier": 'a"b'}}, "spec": {"serviceAccountName": "robot"}}
CONFIG = {"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": {"a": "1", "b": "2"}, "binaryData": {"z": "/w=="}}
SECRET = {"kind": "Secret", "metadata": {"name": "s", "namespace": "n"}, "data": {"key": base64.b64encode(b"top").decode()}}
VIEW: Any = View(("configmaps", CONFIG), ("secrets", SECRET))


def test_every_key_of_a_config_map() -> None:
    found = contents.files({"name": "v", "configMap": {"name": "c", "defaultMode": 0o400}}, POD, VIEW)
    assert found == {"a": File(b"1", 0o400), "b": File(b"2", 0o400), "z": File(b"\xff", 0o400)}


def test_chosen_items_with_modes() -> None:
    volume = {"name": "v", "secret": {"secretName": "s", "items": [{"key": "key", "path": "dir/k", "mode": 0o600}]}}
    assert contents.files(volume, POD, VIEW) == {"dir/k": File(b"top", 0o600)}


def test_projected_joins_sources_and_downward_fields() -> None:
    token_asked: list[tuple[str, int]] = []

    def tokens(audience: str, seconds: int) -> str:
        token_asked.append((audience, seconds))
        return "jwt"

    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    parts = [{"configMap": {"name": "c"}}, {"downwardAPI": {"items": items}}, {"serviceAccountToken": {"path": "token", "audience": "x"}}]
    found = contents.files({"name": "v", "projected": {"sources": parts}}, POD, VIEW, tokens=tokens)
    assert found["labels"].content == b'app="web"\ntier="a\\"b"'
    assert found["token"].content == b"jwt"
    assert token_asked == [("x", 3600)]


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        ({"configMap": {"name": "c", "items": [{"key": "q", "path": "q"}]}}, "non-existent config key: q"),
        ({"configMap": {"name": "c", "items": [{"key": "a", "path": "../q"}]}}, "leads out of the volume"),
        ({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}, "robot is not there yet"),
    ],
)
def test_what_is_missing_is_named(volume: dict[str, Any], message: str) -> None:
    with pytest.raises(contents.Missing, match=message):
        contents.files({"name": "v", **volume}, POD, VIEW)


def test_optional_sources_may_be_absent() -> None:
    assert contents.files({"name": "v", "configMap": {"name": "none", "optional": True}}, POD, VIEW) == {}
