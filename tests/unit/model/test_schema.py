"""Walking definitions: references, lists and their keys, maps, patch strategies, descriptions."""

import pytest

from reconciler.kit import definitions
from reconciler.model import schema
from reconciler.model.schema import Node

POD = "io.k8s.api.core.v1.Pod"


@pytest.fixture(scope="module")
def schemas() -> schema.Schemas:
    return schema.Schemas(definitions.load(), definitions.shapes())


@pytest.fixture(scope="module")
def pod(schemas: schema.Schemas) -> Node:
    return schemas.of(POD)


def at(node: Node, *path: str | int) -> Node:
    found = node.at(path)
    assert found is not None
    return found


def test_nodes_are_made_once(schemas: schema.Schemas, pod: Node) -> None:
    assert schemas.of(POD) is pod
    assert pod.field("spec") is pod.field("spec")


def test_paths_lead_through_references_lists_and_maps(pod: Node) -> None:
    assert at(pod, "spec", "containers", 0, "name").type == "string"
    assert at(pod, "metadata", "labels", "any").type == "string"
    assert pod.at(("spec", "nope")) is None


def test_lists_know_how_their_items_are_told_apart(pod: Node) -> None:
    ports = at(pod, "spec", "containers", 0, "ports")
    assert (ports.list_type, ports.map_keys) == ("map", ("containerPort", "protocol"))
    assert at(pod, "metadata", "finalizers").list_type == "set"
    assert at(pod, "spec", "containers", 0, "command").is_atomic
    assert at(pod, "spec", "nodeSelector").is_atomic
    assert not at(pod, "metadata", "labels").is_atomic


def test_strategic_merge(pod: Node) -> None:
    containers = at(pod, "spec", "containers")
    assert (containers.patch_strategy, containers.patch_merge_key) == (("merge",), "name")
    assert at(pod, "spec", "volumes").patch_strategy == ("merge", "retainKeys")
    assert at(pod, "spec", "tolerations").patch_strategy == ()


def test_int_or_string(pod: Node) -> None:
    assert at(pod, "spec", "containers", 0, "livenessProbe", "httpGet", "port").is_int_or_string


def test_a_schema_without_a_name(schemas: schema.Schemas) -> None:
    node = schemas.of({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}})
    assert at(node, "a", 3).type == "integer"
    assert {name for name, _ in node.fields()} == {"a"}


def test_columns_may_point_at_a_description(pod: Node) -> None:
    assert schema.described(pod, "plain text") == "plain text"
    assert schema.described(pod, "@spec.nodeName").startswith("NodeName indicates in which node this pod is scheduled")
