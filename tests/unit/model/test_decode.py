"""Decoding: canonical form, unknown fields, and Kubernetes' words for values of the wrong type."""

from typing import Any

import pytest

from reconciler.kit import definitions
from reconciler.model import decode, schema
from reconciler.model.schema import Node


@pytest.fixture(scope="module")
def pod() -> Node:
    return schema.Schemas(definitions.load(), definitions.shapes()).of("io.k8s.api.core.v1.Pod")


def spec(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], **fields}}


def decoded(pod: Node, **fields: Any) -> Any:
    return decode.decode(pod, spec(**fields)).obj["spec"]


def test_fields_go_round_as_in_go(pod: Node) -> None:
    found = decoded(pod, nodeName="", nodeSelector={}, volumes=[], hostNetwork=False, terminationGracePeriodSeconds=0)
    assert found == {"containers": [{"name": "c", "resources": {}}], "terminationGracePeriodSeconds": 0}


def test_null_is_nothing(pod: Node) -> None:
    assert decoded(pod, tolerations=None, priority=None) == decoded(pod)


def test_quantities_and_times_are_canonical(pod: Node) -> None:
    body = spec(containers=[{"name": "c", "resources": {"requests": {"cpu": "1000m", "memory": 1024}}}])
    body["metadata"]["creationTimestamp"] = "2026-01-01T02:00:00+02:00"
    obj = decode.decode(pod, body).obj
    assert obj["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1", "memory": "1024"}}
    assert obj["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"


def test_unknown_fields_are_named_by_their_paths(pod: Node) -> None:
    body = spec(nope=1)
    body["spec"]["containers"][0]["Image"] = "x"
    body["extra"] = {}
    found = decode.decode(pod, body)
    assert set(found.unknown) == {"spec.nope", "spec.containers[0].Image", "extra"}
    assert "nope" not in found.obj["spec"]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"hostNetwork": "yes"}, "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool"),
        ({"priority": 2**31}, "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32"),
        ({"priority": 80.0}, "json: cannot unmarshal number 80.0 into Go struct field PodSpec.spec.priority of type int32"),
        ({"priority": 1.5}, "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32"),
        ({"nodeSelector": []}, "json: cannot unmarshal array into Go struct field PodSpec.spec.nodeSelector of type map[string]string"),
        ({"containers": {}}, "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
    ],
)
def test_wrong_types(pod: Node, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(decode.DecodeError) as caught:
        decode.decode(pod, spec(**fields))
    assert str(caught.value) == complaint


def test_what_was_sent_is_not_changed(pod: Node) -> None:
    body = spec(volumes=[], nope=1)
    decode.decode(pod, body)
    assert body == spec(volumes=[], nope=1)


def test_what_was_sent_empty_can_be_put_back(pod: Node) -> None:
    body = spec(nodeSelector={}, containers=[{"name": "c", "args": []}])
    found = decode.decode(pod, body)
    assert "args" not in found.obj["spec"]["containers"][0]
    again = decode.refilled(found.obj, found.emptied)
    assert (again["spec"]["nodeSelector"], again["spec"]["containers"][0]["args"]) == ({}, [])
    moved = {**found.obj, "spec": {"containers": [], "nodeSelector": {"a": "b"}}}
    assert decode.refilled(moved, found.emptied) == moved


@pytest.mark.parametrize(
    ("text", "fault"), [("1", 0), ("abc", 0), ("abcde", 4), ("ab!d", 2), ("a===", 1), ("ab=", 3), ("ab=c", 3), ("ab==cd", 4), ("abc=d", 4)]
)
def test_base64_is_refused_where_go_stops(text: str, fault: int) -> None:
    secret = schema.Schemas(definitions.load(), definitions.shapes()).of("io.k8s.api.core.v1.Secret")
    with pytest.raises(decode.DecodeError, match=f"illegal base64 data at input byte {fault}$"):
        decode.decode(secret, {"data": {"a": text}})
