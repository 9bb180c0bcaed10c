"""Who owns what after a write: the laws of server-side apply, and upstream's words for what it refuses."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reconciler.model import apply, errors, meta
from reconciler.model.apply import fields, managed
from reconciler.model.apply.form import Form, Other
from reconciler.model.kind import identity
from reconciler.model.schema import Schemas

NODE = Schemas({}).of(
    {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "uid": {"type": "string"},
                    "namespace": {"type": "string"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            },
            "data": {"type": "object", "additionalProperties": {"type": "string"}},
            "items": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}, "value": {"type": "string"}}},
            },
            "list": {"type": "array", "items": {"type": "string"}},
            "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
        },
    }
)
FORM = Form(api_version="example.com/v1", kind="Thing", node=NODE, empty={"metadata": {}}, ignored=fields.of(("f:status",)))
STATUS = replace(FORM, subresource="status", ignored=fields.of(("f:data",), ("f:items",), ("f:list",), ("f:metadata",)))


def thing(**content: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "n"}, **content}


def time(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}Z"


def owned(obj: meta.Obj) -> dict[tuple[str, str], fields.Fields]:
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


def applied(live: meta.Obj | None, config: meta.Obj, manager: str, second: int = 0, force: bool = False) -> meta.Obj:
    return apply.apply(FORM, live, config, manager, time(second), force=force)


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["1", "2"])
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(NAMES, VALUES, min_size=1, max_size=3),
        "items": st.dictionaries(NAMES, VALUES, min_size=1, max_size=3).map(lambda m: [{"name": n, "value": v} for n, v in m.items()]),
        "list": st.lists(VALUES, min_size=1, max_size=2),
    },
)
WRITES = st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), st.booleans(), CONTENTS), max_size=6)


def played(writes: list[tuple[str, bool, dict[str, Any]]]) -> meta.Obj:
    """Some history: each writer applies by force, or updates."""
    live = apply.track(FORM, None, thing(data={"z": "0"}), "maker", time(0))
    for second, (manager, is_apply, content) in enumerate(writes, 1):
        if is_apply:
            live = applied(live, thing(**content), manager, second, force=True)
        else:
            kept = meta.put(thing(**content), ("metadata", "managedFields"), live["metadata"].get("managedFields", []))
            live = apply.track(FORM, live, kept, manager, time(second))
    return live


@given(WRITES, CONTENTS)
@settings(max_examples=200, deadline=None)
def test_applying_twice_changes_nothing(writes: list[Any], content: dict[str, Any]) -> None:
    once = applied(played(writes), thing(**content), "one", 30, force=True)
    assume(meta.meta(once).get("managedFields"))  # what nobody owns gets an owner before the first apply, here as in Kubernetes
    twice = apply.settle_times(once, applied(once, thing(**content), "one", 31))
    assert twice == once


@given(WRITES, CONTENTS)
@settings(max_examples=200)
def test_an_applier_owns_what_it_applies(writes: list[Any], content: dict[str, Any]) -> None:
    live = applied(played(writes), thing(**content), "one", 30, force=True)
    for name, value in content.items():
        if name == "data":
            assert value.items() <= live["data"].items()
        elif name == "list":
            assert live["list"] == value
        else:
            assert all(item in live["items"] for item in value)
    for path in fields.paths(owned(live).get(("one", "Apply"), {})):
        assert path[0][2:] in content


@given(WRITES, CONTENTS, CONTENTS)
@settings(max_examples=200)
def test_different_values_have_one_owner_and_equal_ones_may_have_many(writes: list[Any], first: Any, second: Any) -> None:
    live = applied(applied(played(writes), thing(**first), "four", 30, force=True), thing(**second), "five", 31, force=True)
    four, five = owned(live).get(("four", "Apply"), {}), owned(live).get(("five", "Apply"), {})
    for name in first.get("data", {}).keys() & second.get("data", {}).keys():
        path = ("f:data", fields.field(name))
        assert fields.has(five, path)
        assert fields.has(four, path) == (first["data"][name] == second["data"][name])


@given(WRITES, CONTENTS)
@settings(max_examples=200)
def test_what_nobody_else_owns_goes_when_it_is_given_up(writes: list[Any], content: dict[str, Any]) -> None:
    before = played(writes)
    live = applied(applied(before, thing(**content), "four", 30, force=True), thing(), "four", 31)
    assert ("four", "Apply") not in owned(live)
    added = set(content.get("data", {})) - set(before.get("data") or {})
    assert not added & set(live.get("data") or {})


@given(WRITES)
@settings(max_examples=200)
def test_every_field_that_is_owned_exists(writes: list[Any]) -> None:
    live = played(writes)
    present = {("f:data",), ("f:items",), ("f:list",), ("f:metadata",)}
    present |= {("f:data", fields.field(name)) for name in live.get("data") or {}}
    for item in live.get("items") or ():
        element = fields.key({"name": item["name"]})
        present |= {("f:items", element), *(("f:items", element, fields.field(name)) for name in item)}
    for entries in owned(live).values():
        assert set(fields.paths(entries)) <= present


@given(CONTENTS, CONTENTS)
def test_without_force_a_different_value_is_a_conflict_that_changes_nothing(first: Any, second: Any) -> None:
    live = applied(None, thing(**first), "one")
    before = json.dumps(live)
    differing = {
        name for name in first.get("data", {}).keys() & second.get("data", {}).keys() if first["data"][name] != second["data"][name]
    }
    differing_items = {item["name"]: item for item in first.get("items", ())}
    conflicts = differing or any(item != differing_items.get(item["name"], item) for item in second.get("items", ()))
    conflicts = conflicts or first.get("list", second.get("list")) != second.get("list", first.get("list"))
    if conflicts:
        with pytest.raises(errors.StatusError) as refusal:
            applied(live, thing(**second), "two", 1)
        named = {cause["field"] for cause in (refusal.value.details or {})["causes"]}
        assert {f".data.{name}" for name in differing} <= named
    else:
        merged = applied(live, thing(**second), "two", 1)
        assert set(first.get("data", {})) <= set(merged.get("data", {}))
    assert json.dumps(live) == before


def test_conflicts_name_each_owner_and_path() -> None:
    live = applied(applied(None, thing(data={"a": "1"}), "one"), thing(data={"b": "1"}), "two", 1)
    with pytest.raises(errors.StatusError) as refusal:
        applied(live, thing(data={"a": "x", "b": "x"}), "three", 2)
    assert refusal.value.message == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\nconflicts with "two":\n- .data.b'
    assert refusal.value.status()["details"]["causes"][1] == {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "two"',
        "field": ".data.b",
    }


def test_a_single_conflict_with_an_updater_names_its_version_and_subresource() -> None:
    live = apply.track(FORM, None, thing(status={"phase": "x"}, data={"a": "1"}), "w", time(0))
    new = meta.put(live, ("status", "phase"), "y")
    live = apply.track(STATUS, live, new, "k", time(1))
    with pytest.raises(errors.StatusError, match=r'with 1 conflict: conflict with "w" using example\.com/v1: \.data\.a$'):
        applied(live, thing(data={"a": "2"}), "one", 2)
    with pytest.raises(errors.StatusError, match=r'conflict with "k" with subresource "status" using example\.com/v1: \.status\.phase$'):
        apply.apply(STATUS, live, thing(status={"phase": "z"}), "one", time(2))


def test_a_create_is_owned_without_the_servers_own_metadata() -> None:
    obj = meta.put(thing(data={"a": "1"}), ("metadata", "labels"), {"l": "v"})
    assert apply.track(FORM, None, obj, "w", time(0))["metadata"]["managedFields"] == [
        {
            "manager": "w",
            "operation": "Update",
            "apiVersion": "example.com/v1",
            "time": time(0),
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:l": {}}}, "f:data": {".": {}, "f:a": {}}},
        }
    ]


def test_an_update_without_a_change_leaves_the_entries_alone() -> None:
    live = apply.track(FORM, None, thing(data={"a": "1"}), "w", time(0))
    assert apply.track(FORM, live, live, "other", time(1)) == live


def test_an_object_that_was_never_tracked_stays_untracked_until_it_is_applied_to() -> None:
    live = thing(data={"a": "1"})
    assert "managedFields" not in apply.track(FORM, live, thing(data={"a": "2"}), "w", time(1))["metadata"]
    merged = applied(live, thing(data={"b": "1"}), "one", 1)
    assert owned(merged) == {
        ("before-first-apply", "Update"): {"f:data": {".": {}, "f:a": {}}},
        ("one", "Apply"): {"f:data": {"f:b": {}}},
    }


def test_a_client_may_forget_the_owners_and_may_not_break_them() -> None:
    live = apply.track(FORM, None, thing(data={"a": "1"}), "w", time(0))
    for reset in ([], [{}]):
        forgotten = apply.track(FORM, live, meta.put(thing(data={"a": "1"}), ("metadata", "managedFields"), reset), "w", time(1))
        assert "managedFields" not in forgotten["metadata"]
    broken = meta.put(thing(data={"a": "1"}), ("metadata", "managedFields"), [{"manager": "x", "operation": "Wrong"}])
    assert apply.track(FORM, live, broken, "w", time(1)) == live
    through_status = meta.put(live, ("metadata", "managedFields"), [])
    assert apply.track(STATUS, live, through_status, "w", time(1)) == live


def test_more_than_ten_updaters_become_ancient() -> None:
    live = apply.track(FORM, None, thing(data={"z": "0"}), "maker", time(0))
    for number in range(14):
        live = apply.track(FORM, live, meta.put(live, ("data", f"k{number}"), "1"), f"m{number:02}", time(number + 1))
    entries = live["metadata"]["managedFields"]
    assert len(entries) == managed.MOST_UPDATERS
    assert entries[0]["manager"] == managed.ANCIENT
    everything: fields.Fields = {}
    for entry in entries:
        everything = fields.union(everything, entry["fieldsV1"])
    assert set(everything["f:data"]) == {".", "f:z", *(f"f:k{number}" for number in range(14))}


def test_kubectl_takes_over_what_its_client_side_apply_wrote() -> None:
    last = thing(data={"a": "1"})
    text = json.dumps(last)
    obj = meta.put(last, ("metadata", "annotations"), {"kubectl.kubernetes.io/last-applied-configuration": text})
    live = apply.track(FORM, None, obj, "kubectl-client-side-apply", time(0))
    merged = applied(live, thing(data={"a": "2"}), "kubectl", 1)
    assert merged["data"] == {"a": "2"}
    kept = json.loads(merged["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert kept == thing(data={"a": "2"})
    with pytest.raises(errors.StatusError, match="conflict"):
        applied(live, thing(data={"a": "2"}), "someone-else", 1)
    drifted = apply.track(FORM, live, meta.put(live, ("data", "a"), "9"), "editor", time(1))
    with pytest.raises(errors.StatusError, match='conflict with "editor"'):
        applied(drifted, thing(data={"a": "2"}), "kubectl", 2)


def test_owners_speak_of_their_own_version() -> None:
    old_node = Schemas({}).of(
        {
            **NODE.schema,
            "properties": {
                **{k: v for k, v in NODE.schema["properties"].items() if k != "data"},
                "content": NODE.schema["properties"]["data"],
            },
        }
    )

    def renamed(obj: meta.Obj, old: str, new: str, version: str) -> meta.Obj:
        return {**{new if name == old else name: value for name, value in obj.items()}, "apiVersion": version}

    old_version = "example.com/v1beta1"
    to_old = Other(
        old_node, lambda obj: renamed(obj, "data", "content", old_version), lambda obj: renamed(obj, "content", "data", FORM.api_version)
    )
    to_new = Other(NODE, to_old.back, to_old.there)
    new_form = replace(FORM, other=lambda version: to_old if version == old_version else None)
    old_form = replace(FORM, api_version=old_version, node=old_node, other=lambda version: to_new if version == FORM.api_version else None)
    config = {**thing(content={"a": "1", "b": "1"}), "apiVersion": old_version}
    live = to_old.back(apply.apply(old_form, None, config, "one", time(0)))
    with pytest.raises(errors.StatusError, match=r'conflict with "one": \.content\.a$'):
        apply.apply(new_form, live, thing(data={"a": "2"}), "two", time(1))
    both = apply.apply(new_form, live, thing(data={"a": "1"}), "two", time(1))
    left = apply.apply(new_form, both, thing(), "one", time(2))
    assert left["data"] == {"a": "1"}
    gone = replace(new_form, other=lambda _: None)
    assert owned(apply.apply(gone, live, thing(data={"a": "2"}), "two", time(1))).keys() == {("two", "Apply")}


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        ({"kind": "Thing"}, 400, "invalid object type: /, Kind=Thing"),
        ({"apiVersion": "v1", "kind": "Thing"}, 400, "invalid object type: /v1, Kind=Thing"),
        (thing(metadata={"managedFields": []}), 400, "metadata.managedFields must be nil"),
        (
            thing(other=1),
            500,
            "failed to create typed patch object (n/a; example.com/v1, Kind=Thing): .other: field not declared in schema",
        ),
        (
            thing(items=[{"name": "x"}, {"name": "x"}]),
            500,
            'failed to create typed patch object (n/a; example.com/v1, Kind=Thing): .items: duplicate entries for key [name="x"]',
        ),
        (
            thing(items=[{"value": "x"}], data={"a": 1}),
            500,
            "failed to create typed patch object (n/a; example.com/v1, Kind=Thing): errors:\n"
            "  .data.a: expected string, got &value.valueUnstructured{Value:1}\n"
            '  .items: element 0: associative list with keys has an element that omits all key fields ["name"]'
            " (and doesn't have default values for any key fields)",
        ),
    ],
)
def test_what_cannot_be_applied_is_refused_in_upstreams_words(config: Any, code: int, message: str) -> None:
    with pytest.raises(errors.StatusError) as refusal:
        applied(None, config, "one")
    assert (refusal.value.code, refusal.value.message) == (code, message)


def test_times_settle_only_when_nothing_else_changed() -> None:
    live = applied(None, thing(data={"a": "1"}), "one", 0)
    later = meta.put(live, ("metadata", "managedFields"), [{**live["metadata"]["managedFields"][0], "time": time(9)}])
    assert apply.settle_times(live, later) == live
    changed = meta.put(later, ("data", "a"), "2")
    assert apply.settle_times(live, changed) is changed
    other = meta.put(later, ("metadata", "managedFields"), [{**later["metadata"]["managedFields"][0], "manager": "x"}])
    assert apply.settle_times(live, other) is other


def test_identity_is_a_way_between_equal_versions() -> None:
    same = replace(FORM, other=lambda _: Other(NODE, identity, identity))
    live = apply.apply(
        replace(FORM, api_version="example.com/v0"), None, {**thing(data={"a": "1"}), "apiVersion": "example.com/v0"}, "one", time(0)
    )
    with pytest.raises(errors.StatusError, match=r"conflict with \"one\": \.data\.a"):
        apply.apply(same, {**live, "apiVersion": FORM.api_version}, thing(data={"a": "2"}), "two", time(1))
