from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.loop.table import Table
from reconciler.model import meta, selectors
from reconciler.model.view import NAMESPACE, NODE, OWNER


def pod(name: str, namespace: str = "a", **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {}}


def names(objects: Any) -> list[str]:
    return [meta.name(obj) for obj in objects]


def test_answers_are_ordered_by_key() -> None:
    table = Table()
    for name in ("c", "a", "b"):
        table.put(pod(name, app="x"))
    assert names(table.by(NAMESPACE, "a")) == ["a", "b", "c"]
    assert names(table.select("a", selectors.from_labels({"app": "x"}))) == ["a", "b", "c"]


def test_facts_are_remembered_until_the_object_changes() -> None:
    table, asked = Table(), list[str]()

    def app(obj: meta.Obj) -> str:
        asked.append(meta.name(obj))
        return meta.labels(obj)["app"]

    for name in ("b", "a"):
        table.put(pod(name, app="x"))
    assert table.facts(NAMESPACE, "a", app) == table.facts(NAMESPACE, "a", app) == ["x", "x"]
    assert asked == ["a", "b"]
    table.put(pod("b", app="y"))
    assert table.facts(NAMESPACE, "a", app) == ["x", "y"]
    table.remove(("a", "a"))
    table.put(pod("a", app="z"))
    assert table.facts(NAMESPACE, "a", app) == ["z", "y"]
    assert asked == ["a", "b", "b", "a"]


def test_an_object_moves_between_places() -> None:
    table = Table()
    table.put(pod("p", app="x"))
    assert names(table.by(NODE, "")) == ["p"]
    table.put({**pod("p", app="y"), "spec": {"nodeName": "n"}})
    assert table.by(NODE, "") == []
    assert names(table.by(NODE, "n")) == ["p"]
    assert table.select("a", selectors.from_labels({"app": "x"})) == []


def test_orphans_are_what_no_controller_owns() -> None:
    table = Table()
    everything = selectors.from_label_selector({})
    owned = pod("owned")
    owned["metadata"]["ownerReferences"] = [{"uid": "u", "controller": True}]
    table.put(owned)
    table.put(pod("free"))
    assert names(table.orphans("a", everything)) == ["free"]
    assert names(table.by(OWNER, "u")) == ["owned"]
    assert table.orphans("b", everything) == ()


def test_a_selector_without_equalities_looks_at_its_namespace() -> None:
    table = Table()
    table.put(pod("one", app="x"))
    table.put(pod("two", tier="y"))
    table.put(pod("three", "b", app="x"))
    has_app = selectors.from_label_selector({"matchExpressions": [{"key": "app", "operator": "Exists"}]})
    assert names(table.select("a", has_app)) == ["one"]
    assert table.select("a", selectors.NOTHING) == ()


def test_a_copy_is_independent() -> None:
    table = Table()
    table.put(pod("p"))
    twin = table.copy()
    table.remove(("a", "p"))
    assert names(twin.by(NAMESPACE, "a")) == ["p"]
    assert table.by(NAMESPACE, "a") == []


@pytest.mark.parametrize("index", [NAMESPACE, NODE, OWNER])
@given(steps=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "x", "y"]), st.booleans()), max_size=40))
def test_indexes_agree_with_a_scan(index: str, steps: list[tuple[str, str, bool]]) -> None:
    table, model = Table(), {}
    for name, value, is_removed in steps:
        if is_removed:
            assert table.remove(("a", name)) == model.pop(name, None)
            continue
        obj = pod(name, app=value)
        obj["spec"] = {"nodeName": value}
        obj["metadata"]["ownerReferences"] = [{"uid": value, "controller": True}]
        table.put(obj)
        model[name] = obj
    for value in ("", "x", "y", "a"):
        in_place = {NAMESPACE: lambda _, v=value: v == "a", NODE: lambda o, v=value: o["spec"]["nodeName"] == v,
                    OWNER: lambda o, v=value: o["metadata"]["ownerReferences"][0]["uid"] == v}[index]  # fmt: skip
        assert list(table.by(index, value)) == [model[name] for name in sorted(model) if in_place(model[name])]
