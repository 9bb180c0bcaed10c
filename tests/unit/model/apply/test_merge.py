"""Laws of merging and removing, told by comparison and field sets."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.apply import check, compare, fields, merge, typed
from reconciler.model.schema import Schemas

THING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "number": {"type": "integer"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "atom": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "plain": {"type": "array", "items": {"type": "string"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "items": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "value": {"type": "string"},
                    "more": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
                },
            },
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
NODE = Schemas({}).of(THING)

TEXT = st.sampled_from(["", "x", "y"])
NAMES = st.sampled_from(["a", "b", "c"])
STRINGS = st.dictionaries(NAMES, TEXT, max_size=3)
FREE = st.recursive(
    TEXT | st.integers(0, 2), lambda inner: st.dictionaries(NAMES, inner, max_size=2) | st.lists(inner, max_size=2), max_leaves=4
)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES}, optional={"value": TEXT, "more": STRINGS.map(lambda m: {k: v for k, v in m.items() if k != "c"})}
    ),
    max_size=3,
    unique_by=lambda item: item["name"],
)
THINGS = st.fixed_dictionaries(
    {},
    optional={
        "text": TEXT,
        "number": st.integers(0, 2),
        "labels": STRINGS,
        "atom": STRINGS,
        "plain": st.lists(TEXT, max_size=2),
        "set": st.lists(NAMES, max_size=3, unique=True),
        "items": ITEMS,
        "free": st.dictionaries(NAMES, FREE, max_size=2),
    },
)


def changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> fields.Fields:
    change = compare.compare(NODE, one, other)
    return fields.union(change.removed, fields.union(change.modified, change.added))


@given(THINGS)
def test_whatever_fits_the_schema_passes_the_check(thing: dict[str, Any]) -> None:
    assert check.problems(NODE, thing) == ""


@given(THINGS)
def test_nothing_changed_between_equal_values(thing: dict[str, Any]) -> None:
    assert changes(thing, {**thing}) == {}


@given(THINGS, THINGS)
def test_a_comparison_turned_round_swaps_removed_and_added(one: dict[str, Any], other: dict[str, Any]) -> None:
    there, back = compare.compare(NODE, one, other), compare.compare(NODE, other, one)
    assert (there.removed, there.modified) == (back.added, back.modified)


@given(THINGS, THINGS)
def test_removed_modified_and_added_have_nothing_in_common(one: dict[str, Any], other: dict[str, Any]) -> None:
    change = compare.compare(NODE, one, other)
    assert fields.intersection(change.removed, change.added) == {}
    assert fields.intersection(change.modified, change.added) == {}


@given(THINGS)
def test_merging_into_nothing_and_nothing_into_a_value(thing: dict[str, Any]) -> None:
    assert merge.merge(NODE, {}, thing) == thing
    assert merge.merge(NODE, thing, {}) == thing


@given(THINGS, THINGS)
@settings(max_examples=300)
def test_merging_is_idempotent_and_says_all_that_the_configuration_says(live: dict[str, Any], config: dict[str, Any]) -> None:
    merged = merge.merge(NODE, live, config)
    assert merge.merge(NODE, merged, config) == merged
    change = compare.compare(NODE, config, merged)
    assert (change.removed, change.modified) == ({}, {})


@given(THINGS, THINGS)
def test_merging_takes_nothing_away(live: dict[str, Any], config: dict[str, Any]) -> None:
    change = compare.compare(NODE, live, merge.merge(NODE, live, config))
    # only free-form values may turn into something of another shape
    assert fields.deep_difference(change.removed, fields.of(("f:free",))) == {}


@given(ITEMS, ITEMS)
def test_shared_items_stand_in_the_configurations_order(live: list[Any], config: list[Any]) -> None:
    merged = [item["name"] for item in merge.merge(NODE, {"items": live}, {"items": config}).get("items", [])]
    wanted = [item["name"] for item in config]
    assert [name for name in merged if name in wanted] == wanted
    others = [item["name"] for item in live if item["name"] not in wanted]
    assert [name for name in merged if name not in wanted] == others


@given(THINGS)
def test_removing_all_that_is_mentioned_leaves_nothing(thing: dict[str, Any]) -> None:
    mentioned = typed.members(NODE, typed.of(NODE, thing))
    left = merge.remove(NODE, thing, mentioned) or {}
    assert all(value in ([], {}) for value in left.values())  # empty lists mention nothing


@given(THINGS)
def test_removing_nothing_changes_nothing(thing: dict[str, Any]) -> None:
    assert (merge.remove(NODE, thing, {}) or {}) == thing


@given(THINGS, THINGS)
def test_inputs_are_not_changed(live: dict[str, Any], config: dict[str, Any]) -> None:
    before = (repr(live), repr(config))
    merged = merge.merge(NODE, live, config)
    merge.remove(NODE, merged, typed.of(NODE, config))
    compare.compare(NODE, live, merged)
    assert (repr(live), repr(config)) == before
