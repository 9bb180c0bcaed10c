"""Strategic merge patch: each directive, the order of merged lists, and upstream's errors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import errors, patch
from reconciler.model.schema import Schemas

STRING = {"type": "string"}
ITEM = {
    "type": "object",
    "properties": {
        "name": STRING,
        "image": STRING,
        "args": {"type": "array", "items": STRING},
        "ports": {
            "type": "array",
            "items": {"type": "object", "properties": {"port": {"type": "integer"}, "name": STRING}},
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-patch-merge-key": "port",
        },
    },
}
MERGED = {"type": "array", "items": ITEM, "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name"}
NODE = Schemas(
    {
        "io.example.v1.Spec": {
            "type": "object",
            "properties": {
                "items": MERGED,
                "words": {"type": "array", "items": STRING, "x-kubernetes-patch-strategy": "merge"},
                "atoms": {"type": "array", "items": STRING},
                "keyless": {"type": "array", "items": {"type": "object"}, "x-kubernetes-patch-strategy": "merge"},
                "labels": {"type": "object", "additionalProperties": STRING},
                "union": {"type": "object", "properties": {"a": STRING, "b": STRING}, "x-kubernetes-patch-strategy": "retainKeys"},
                "replaced": {"type": "object", "properties": {"a": STRING, "b": STRING}, "x-kubernetes-patch-strategy": "replace"},
            },
        }
    }
).of("io.example.v1.Spec")

LIVE: dict[str, Any] = {
    "items": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2", "ports": [{"port": 80, "name": "h"}]}],
    "words": ["p", "q", "r"],
    "atoms": ["x", "y"],
    "labels": {"k": "1", "l": "2"},
    "union": {"a": "1", "b": "2"},
    "replaced": {"a": "1", "b": "2"},
}


def patched(body: Any) -> Any:
    return patch.strategic_patch(NODE, LIVE, body)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, {}),
        ({"items": [{"name": "b", "image": "3"}]}, {"items": [LIVE["items"][0], {**LIVE["items"][1], "image": "3"}]}),
        ({"items": [{"name": "c"}]}, {"items": [{"name": "c"}, *LIVE["items"]]}),
        ({"items": [{"name": "a", "$patch": "delete"}]}, {"items": [LIVE["items"][1]]}),
        ({"items": [{"$patch": "replace"}, {"name": "z"}]}, {"items": [{"name": "z"}]}),
        ({"items": [{"name": "a", "args": ["y", "z"]}]}, {"items": [{**LIVE["items"][0], "args": ["y", "z"]}, LIVE["items"][1]]}),
        (
            {"items": [{"name": "b", "ports": [{"port": 81}]}]},
            {"items": [LIVE["items"][0], {**LIVE["items"][1], "ports": [{"port": 81}, {"port": 80, "name": "h"}]}]},
        ),
        ({"$setElementOrder/items": [{"name": "b"}, {"name": "a"}]}, {"items": LIVE["items"][::-1]}),
        (
            {"$setElementOrder/items": [{"name": "c"}, {"name": "a"}], "items": [{"name": "c", "image": "9"}]},
            {"items": [{"name": "c", "image": "9"}, *LIVE["items"]]},
        ),
        ({"words": ["s", "q"]}, {"words": ["s", "p", "q", "r"]}),
        ({"$deleteFromPrimitiveList/words": ["q", "nothing"]}, {"words": ["p", "r"]}),
        ({"$setElementOrder/words": ["r", "p"]}, {"words": ["q", "r", "p"]}),
        ({"atoms": ["z"]}, {"atoms": ["z"]}),
        ({"labels": {"k": None, "m": "3"}}, {"labels": {"l": "2", "m": "3"}}),
        ({"labels": {"$patch": "replace", "m": "3"}}, {"labels": {"m": "3"}}),
        ({"labels": {"$patch": "delete"}}, {"labels": {}}),
        ({"union": {"$retainKeys": ["a"], "a": "9"}}, {"union": {"a": "9"}}),
        ({"union": {"$retainKeys": ["b"]}}, {"union": {"b": "2"}}),
        ({"replaced": {"a": "9"}}, {"replaced": {"a": "9"}}),
        ({"new": {"a": None, "b": {"$patch": "delete"}, "c": [{"$patch": "delete"}, {"d": None}]}}, {"new": {"c": [{}]}}),
        ({"labels": "text"}, {"labels": "text"}),
    ],
)
def test_a_patch_changes_what_it_says(body: Any, wanted: dict[str, Any]) -> None:
    before = repr(LIVE)
    assert patched(body) == {**LIVE, **wanted}
    assert repr(LIVE) == before


def test_null_removes_a_list_and_is_no_patch_at_the_root() -> None:
    assert patched({"items": None}) == {name: value for name, value in LIVE.items() if name != "items"}
    assert patched(None) == LIVE


def test_the_root_may_be_replaced_but_stays_what_it_is() -> None:
    typed = {"apiVersion": "v1", "kind": "K", **LIVE}
    assert patch.strategic_patch(NODE, typed, {"$patch": "delete"}) == {"apiVersion": "v1", "kind": "K"}
    assert patch.strategic_patch(NODE, typed, {"kind": "Other"}) == typed


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ([], 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ({"items": [{"image": "x"}]}, 500, "map: map[image:x] does not contain declared merge key: name"),
        ({"items": [{"name": "a", "$patch": "merge"}]}, 500, "merging lists cannot yet be specified in the patch"),
        ({"items": [{"name": "a", "$patch": "no"}]}, 500, "unknown patch type: no in map: map[$patch:no name:a]"),
        ({"items": [{"$patch": "delete"}]}, 500, "map: map[$patch:delete] does not contain declared merge key: name"),
        ({"labels": {"$patch": "no"}}, 500, "unknown patch type: no in map: map[$patch:no]"),
        ({"union": {"$retainKeys": "x"}}, 400, "invalid patch format of retainKeys"),
        ({"union": {"$retainKeys": ["a"], "b": "1"}}, 400, "invalid patch format of retainKeys"),
        ({"$deleteFromPrimitiveList": ["x"]}, 400, "invalid patch format of primitive list"),
        ({"$setElementOrder": ["x"]}, 400, "invalid patch format of setElementOrder list"),
        ({"$setElementOrder/items": "x"}, 500, "expected a []interface {}, but received a string"),
        ({"$setElementOrder/none": ["x"]}, 500, 'unable to find api field in struct Spec for the json field "none"'),
        (
            {"$setElementOrder/items": [{"name": "a"}], "items": [{"name": "b"}]},
            500,
            "The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
        ),
        ({"$deleteFromPrimitiveList/items": ["x"], "items": None}, 500, None),
        ({"words": [["x"]]}, 500, "list element types are not identical: [[p q r] [[x]]]"),
    ],
)
def test_errors_are_upstreams(body: Any, code: int, message: str | None) -> None:
    with pytest.raises(errors.StatusError) as refusal:
        patched(body)
    assert refusal.value.code == code
    assert message is None or refusal.value.message == message


def test_lists_of_lists_and_lists_without_a_key_are_not_merged() -> None:
    with pytest.raises(errors.StatusError) as refusal:
        patch.strategic_patch(NODE, {"words": [["a"]]}, {"words": [["b"]]})
    assert refusal.value.code == 422
    with pytest.raises(errors.StatusError, match="cannot merge lists without merge key for struct"):
        patch.strategic_patch(NODE, {"keyless": [{}]}, {"keyless": [{}]})


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)


@given(NAMES, NAMES)
def test_merged_items_stand_in_the_patchs_order_and_live_ones_in_theirs(live: list[str], new: list[str]) -> None:
    merged = patch.strategic_patch(NODE, {"items": [{"name": name} for name in live]}, {"items": [{"name": name} for name in new]})
    names = [item["name"] for item in merged["items"]]
    assert [name for name in names if name in new] == new
    assert [name for name in names if name not in new] == [name for name in live if name not in new]


@given(NAMES, NAMES.filter(bool))
def test_a_patch_made_as_kubectl_makes_it_leads_to_the_new_list(live: list[str], new: list[str]) -> None:
    body: dict[str, Any] = {
        "$setElementOrder/items": [{"name": name} for name in new],
        "items": [{"name": name} for name in new if name not in live] + [{"name": n, "$patch": "delete"} for n in live if n not in new],
    }
    merged = patch.strategic_patch(NODE, {"items": [{"name": name} for name in live]}, body)
    assert [item["name"] for item in merged["items"]] == new


@given(st.lists(st.sampled_from("abc"), max_size=4), st.lists(st.sampled_from("abc"), max_size=4))
def test_scalars_merge_without_duplicates(live: list[str], new: list[str]) -> None:
    words = patch.strategic_patch(NODE, {"words": live}, {"words": new})["words"]
    assert set(words) == set(live) | set(new)
    if live or new:
        assert len(words) == len(set(words)) or not new
