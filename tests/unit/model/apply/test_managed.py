"""managedFields as entries by writer: reading, order, names."""

from typing import Any

import pytest

from reconciler.model.apply import managed

ENTRY = {"manager": "w", "operation": "Update", "apiVersion": "v1", "time": "t1", "fieldsType": "FieldsV1", "fieldsV1": {"f:a": {}}}


def test_reading_and_writing_comes_back() -> None:
    entries = [
        {**ENTRY, "operation": "Apply", "manager": "z"},
        {**ENTRY, "subresource": "status"},
        {**ENTRY, "time": "t2", "manager": "a"},
    ]
    assert managed.wire(managed.of({"metadata": {"managedFields": entries[::-1]}})) == entries
    assert managed.wire(managed.parse(entries)) == entries


def test_an_applier_is_one_writer_whatever_its_version() -> None:
    entries = [{**ENTRY, "operation": "Apply"}, {**ENTRY, "operation": "Apply", "apiVersion": "v2"}]
    assert len(managed.parse(entries)) == 1
    assert len(managed.parse([ENTRY, {**ENTRY, "apiVersion": "v2"}])) == 2


def test_an_entry_without_a_time_has_none_again() -> None:
    untimed = {name: value for name, value in ENTRY.items() if name != "time"}
    assert managed.wire(managed.parse([untimed])) == [untimed]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"operation": "Other"}, "operation must be `Apply` or `Update`"),
        ("text", "operation must be `Apply` or `Update`"),
        ({"operation": "Apply"}, "apiVersion must not be empty"),
        ({"operation": "Apply", "apiVersion": "v1"}, "missing fieldsType in managed fields entry 0"),
        ({"operation": "Apply", "apiVersion": "v1", "fieldsType": "V2"}, 'invalid fieldsType "V2" in managed fields entry 0'),
        (
            {"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"a": {}}},
            "error decoding set: missing colon: a",
        ),
    ],
)
def test_what_cannot_be_read_says_why(entry: Any, message: str) -> None:
    with pytest.raises(managed.Malformed) as problem:
        managed.parse([entry])
    assert str(problem.value) == message


def test_only_an_empty_list_or_entry_forgets() -> None:
    assert managed.is_reset([])
    assert managed.is_reset([{}])
    assert not managed.is_reset([ENTRY])
    assert not managed.is_reset(None)


def test_writers_are_named_as_conflicts_name_them() -> None:
    assert managed.shown(managed.applier("one", "")) == '"one"'
    assert managed.shown(managed.updater("", "v1", "status")) == '"unknown" with subresource "status" using v1'
