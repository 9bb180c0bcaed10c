"""Pruning, defaults, validation and ratcheting by structural schemas."""

import pytest

from reconciler.model.structural import check, default, fieldpath, lists, numbers, prune, schema, validate
from reconciler.model.structural.correlate import Link, same

SPEC = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 2},
                "size": {"type": "integer", "default": 3, "maximum": 5},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "items": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}},
                },
            },
        }
    },
}
ROOT = schema.parse(SPEC)


def refused(value, old=None):
    link = Link(ROOT, old) if old is not None else None
    return [str(error) for error in validate.compile(SPEC).run(value, "", link).errors]


def test_unknown_fields_are_dropped_and_named():
    obj = {"kind": "K", "metadata": {}, "spec": {"name": "ab", "free": {"x": 1}, "odd": 1}, "extra": 2}
    pruned, unknown = prune.prune(obj, ROOT)
    assert pruned == {"kind": "K", "metadata": {}, "spec": {"name": "ab", "free": {"x": 1}}}
    assert unknown == ["extra", "spec.odd"]


def test_what_needs_no_change_is_returned_as_itself():
    obj = {"spec": {"name": "ab", "size": 1}}
    assert prune.prune(obj, ROOT)[0] is obj
    assert default.default(obj, ROOT) is obj
    assert numbers.canonical(obj) is obj


def test_defaults_fill_absent_fields_and_nulls():
    assert default.default({"spec": {}}, ROOT) == {"spec": {"size": 3}}
    assert default.default({"spec": {"size": None}}, ROOT) == {"spec": {"size": 3}}
    assert default.without_nulls({"spec": {"name": None}}, ROOT) == {"spec": {}}
    assert default.default({}, ROOT) == {}


def test_refusals_name_field_and_value():
    assert refused({"spec": {"name": "a", "size": 6}}) == [
        'spec.name: Invalid value: "a": spec.name in body should be at least 2 chars long',
        "spec.size: Invalid value: 6: spec.size in body should be less than or equal to 5",
    ]
    assert refused({"spec": {}}) == ["spec.name: Required value"]
    assert refused({"spec": {"name": 1}}) == ['spec.name: Invalid value: "integer": spec.name in body must be of type string: "integer"']


def test_what_was_wrong_before_and_is_unchanged_passes():
    old = {"spec": {"name": "ab", "items": [{"k": "a", "v": "x"}, {"k": "b"}]}}
    assert refused({"spec": {"name": "cd", "items": [{"k": "b"}, {"k": "a", "v": "x"}]}}, old) == []
    assert refused({"spec": {"name": "cd", "items": [{"k": "a", "v": "y"}]}}, old) != []


def test_lists_of_type_map_hold_no_key_twice():
    found = lists.duplicates({"spec": {"items": [{"k": "a"}, {"k": "b"}, {"k": "a"}]}}, ROOT)
    assert [str(error) for error in found] == ['spec.items[2]: Duplicate value: {"k":"a"}']


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "s.type: Required value: must not be empty at the root"),
        ({"type": "array"}, "s.items: Required value: must be specified"),
        ({"type": "object", "anyOf": [{"type": "string"}]}, "s.anyOf[0].type: Forbidden: must be empty to be structural"),
        (
            {"type": "object", "properties": {"x": {"type": "string", "pattern": "["}}},
            's.properties[x].pattern: Invalid value: "[": must be a valid regular expression, but isn\'t:'
            " error parsing regexp: missing closing ]: `[`",
        ),
    ],
)
def test_schemas_that_are_not_structural(raw, message):
    assert message in [str(error) for error in check.refused(raw, "s")]


def test_field_paths():
    assert fieldpath.resolve(".spec.name", ROOT)[0] == "spec.name"
    with pytest.raises(fieldpath.Malformed, match="does not refer to a valid field"):
        fieldpath.resolve(".spec.nope", ROOT)
    with pytest.raises(fieldpath.Malformed, match="expected"):
        fieldpath.resolve("spec", ROOT)


def test_numbers_are_written_as_go_writes_them():
    made = numbers.canonical({"a": [2.0, 1.5, 12345678901234567890]})
    assert made == {"a": [2, 1.5, 12345678901234567000]}
    assert isinstance(made["a"][0], int)


def test_true_is_not_one():
    assert not same(True, 1)
    assert same({"a": [1, 2.0]}, {"a": [1.0, 2]})
