"""Discovery and OpenAPI are the roster, told in Kubernetes' forms."""

import orjson

from reconciler import kinds
from reconciler.api import discovery, openapi
from reconciler.kit import definitions

ROSTER = kinds.builtin()
FOUND = discovery.Discovery(ROSTER, "127.0.0.1:6443")


def test_every_kind_is_listed_in_both_forms() -> None:
    documents = (FOUND.aggregated_core, FOUND.aggregated_groups)
    aggregated = {
        (item["metadata"].get("name", ""), version["version"], resource["resource"])
        for document in documents
        for item in document["items"]
        for version in item["versions"]
        for resource in version["resources"]
    }
    legacy = {
        (group, version, resource["name"])
        for group, version in {(group, version) for group, version, _ in aggregated}
        for resource in (FOUND.resources(group, version) or {})["resources"]
        if "/" not in resource["name"]
    }
    served = {(kind.group, version.name, kind.plural) for kind in ROSTER for version in kind.versions if version.served}
    assert aggregated == legacy == served


def test_versions_come_the_most_stable_first() -> None:
    versions = ["v1alpha1", "v2", "v1beta2", "v1", "v2beta1", "odd"]
    assert sorted(versions, key=discovery.priority, reverse=True) == ["v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "odd"]


def test_openapi_documents_have_every_schema_that_they_refer_to() -> None:
    made = openapi.OpenApi(ROSTER, definitions.load(), "1.36.2", definitions.enums())
    for path in made.index["paths"]:
        raw = made.document(path)
        assert raw is not None
        document = orjson.loads(raw)
        schemas = document["components"]["schemas"]
        assert set(openapi._references(document)) <= schemas.keys()


def test_openapi_addresses_change_with_their_content() -> None:
    one = openapi.OpenApi(ROSTER, definitions.load(), "1.36.2", definitions.enums()).index["paths"]["apis/apps/v1"]
    other = openapi.OpenApi(ROSTER.without(["deployments.apps"]), definitions.load(), "1.36.2", definitions.enums()).index["paths"][
        "apis/apps/v1"
    ]
    assert one != other
