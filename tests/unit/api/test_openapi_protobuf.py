"""OpenAPI v2 in protobuf, read back as a tree of field numbers."""

import orjson

from reconciler.api import openapi, openapi_protobuf
from reconciler.kit import definitions
from tests.oracle import replay
from tests.unit.api.test_discovery import ROSTER


def test_a_schema_and_the_parameters_of_a_patch() -> None:
    mark = {"group": "g", "kind": "K", "version": "v1"}
    patch = {"x-kubernetes-group-version-kind": mark, "parameters": [{"name": "dryRun", "in": "query", "type": "string"}]}
    document = {
        "info": {"title": "T", "version": "v"},
        "paths": {"/p": {"patch": patch}},
        "definitions": {"D": {"type": "object", "properties": {"f": {"$ref": "#/definitions/E"}, "e": {"enum": ["A"]}}}},
    }
    query = [[1, [[2, [[3, [[2, "query"], [4, "dryRun"], [6, "string"]]]]]]]]
    named = [[1, "x-kubernetes-group-version-kind"], [2, [[2, orjson.dumps(mark).decode()]]]]
    schema = [[22, [[1, "object"]]], [25, [[1, [[1, "f"], [2, [[1, "#/definitions/E"]]]]], [1, [[1, "e"], [2, [[20, [[2, '"A"']]]]]]]]]]
    assert replay.fields(openapi_protobuf.encode(document)) == [
        [1, "2.0"],
        [2, [[1, "T"], [2, "v"]]],
        [8, [[2, [[1, "/p"], [2, [[8, [[8, query], [13, named]]]]]]]]],
        [9, [[1, [[1, "D"], [2, schema]]]]],
    ]


def test_whoever_asks_finds_that_a_kind_can_be_written_in_a_dry_run() -> None:
    document = orjson.loads(openapi.OpenApi(ROSTER, definitions.load(), "1.36.2", definitions.enums()).v2)
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "kind": "Deployment", "version": "v1"}
    assert "dryRun" in [parameter["name"] for parameter in patch["parameters"]]
