"""Definitions as OpenAPI v3 shows them to kubectl explain."""

from typing import Any

import pytest

from reconciler.api import published
from reconciler.kit import definitions

REFERENCE = {"$ref": "#/components/schemas/Q"}


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        (REFERENCE, REFERENCE),
        ({**REFERENCE, "description": "d"}, {"allOf": [REFERENCE], "description": "d"}),
        ({"type": "array", "items": {**REFERENCE, "default": {}}}, {"type": "array", "items": {"allOf": [REFERENCE], "default": {}}}),
        ({"type": "object", "additionalProperties": REFERENCE}, {"type": "object", "additionalProperties": REFERENCE}),
    ],
)
def test_a_reference_with_more_beside_it_stands_in_an_all_of(field: dict[str, Any], shown: dict[str, Any]) -> None:
    assert published.definition({"properties": {"f": field}}) == {"properties": {"f": shown}}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("io.k8s.apimachinery.pkg.api.resource.Quantity", ["string", "number"]),
        ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", ["integer", "string"]),
    ],
)
def test_numbers_or_strings_have_no_single_type(name: str, kinds: list[str]) -> None:
    made = published.definition(definitions.load()[name])
    assert "type" not in made
    assert [one["type"] for one in made["oneOf"]] == kinds


def test_values_are_named() -> None:
    field = {"description": "Which way.", "type": "string"}
    made = published.with_values({"properties": {"way": field}}, {"way": ["Down", "Up"]})
    assert made["properties"]["way"] == {
        "type": "string",
        "enum": ["Down", "Up"],
        "description": 'Which way.\n\nPossible enum values:\n - `"Down"`\n - `"Up"`',
    }
    assert field == {"description": "Which way.", "type": "string"}


def test_values_are_explained_where_there_is_a_sentence() -> None:
    field = {"type": "string", published.SENTENCES: {"Up": "goes up."}}
    made = published.with_values({"properties": {"way": field}}, {"way": ["Down", "Up"]})
    assert made["properties"]["way"] == {
        "type": "string",
        "description": '\n\nPossible enum values:\n - `"Down"`\n - `"Up"` goes up.',
        "enum": ["Down", "Up"],
    }


def test_values_of_elements_are_in_no_description() -> None:
    made = published.with_values({"properties": {"f": {"type": "array", "items": {"type": "string"}}}}, {"f": ["A", "B"]})
    assert made["properties"]["f"] == {"type": "array", "items": {"type": "string", "enum": ["A", "B"]}}


def test_every_enum_is_of_a_field_that_there_is() -> None:
    known = definitions.load()
    missing = [(name, field) for name, fields in definitions.enums().items() for field in fields if field not in known[name]["properties"]]
    assert missing == []


EVERY = {"kind": {"type": "string"}}
PRESERVE = "x-kubernetes-preserve-unknown-fields"


def test_custom_resources_have_what_every_object_has() -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "nullable": True}}}
    assert published.custom(schema, EVERY) == {**schema, "properties": {**schema["properties"], **EVERY}}


def test_embedded_objects_have_it_as_well() -> None:
    schema = {"properties": {"template": {"type": "object", "x-kubernetes-embedded-resource": True}}}
    template = published.custom(schema, EVERY)["properties"]["template"]
    assert template["properties"] == EVERY
    assert template["required"] == ["kind", "apiVersion"]


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ({"type": "integer", "anyOf": [{"minimum": 3}]}, {"type": "integer"}),
        ({"type": "object", "nullable": True, "properties": {}}, {}),
        ({"type": "object", PRESERVE: True, "properties": {}}, {PRESERVE: True}),
        ({"type": "array", PRESERVE: True, "items": {}}, {PRESERVE: True}),
        ({"type": "array", "items": {"nullable": True, "type": "string"}}, {"type": "array", "items": {}}),
    ],
)
def test_version_2_leaves_out_what_older_clients_misunderstand(field: dict[str, Any], shown: dict[str, Any]) -> None:
    made = published.custom({"type": "object", "properties": {"f": field}}, EVERY, version_2=True)
    assert made == {"type": "object", "properties": {"f": shown, **EVERY}}


def test_version_2_requires_no_field_that_may_be_null() -> None:
    schema = {"required": ["a", "b"], "properties": {"a": {"nullable": True}, "b": {}}}
    assert published.custom(schema, EVERY, version_2=True)["required"] == ["b"]


def test_version_2_says_nothing_of_an_object_of_unknown_fields() -> None:
    assert published.custom({"type": "object", PRESERVE: True, "properties": {"a": {}}}, EVERY, version_2=True) == {"type": "object"}
