"""Field sets against plain sets of paths: every operation must say what the sets say."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.apply import fields
from reconciler.model.apply.fields import Path

ELEMENTS = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"name":"x"}', 'v:"y"'])
PATHS = st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple)
SETS = st.frozensets(PATHS, max_size=8)


def members(owned: fields.Fields) -> set[Path]:
    return set(fields.paths(owned))


def is_canonical(owned: Any, root: bool = True) -> bool:
    """No element without a member, no lone "."."""
    if root:
        return all(is_canonical(under, False) for under in owned.values())
    children = {element: under for element, under in owned.items() if element != "."}
    return (not owned) or (bool(children) and all(is_canonical(under, False) for under in children.values()))


@given(SETS)
def test_of_and_paths_are_inverse(paths: frozenset[Path]) -> None:
    assert members(fields.of(*paths)) == set(paths)


@given(SETS, SETS)
def test_union_difference_and_intersection_are_those_of_sets(one: frozenset[Path], other: frozenset[Path]) -> None:
    left, right = fields.of(*one), fields.of(*other)
    for made, wanted in (
        (fields.union(left, right), one | other),
        (fields.difference(left, right), one - other),
        (fields.intersection(left, right), one & other),
    ):
        assert members(made) == wanted
        assert is_canonical(made)


@given(SETS, SETS)
def test_deep_difference_takes_what_is_under_a_member_too(one: frozenset[Path], other: frozenset[Path]) -> None:
    wanted = {path for path in one if not any(path[: len(cut)] == cut for cut in other)}
    made = fields.deep_difference(fields.of(*one), fields.of(*other))
    assert members(made) == wanted
    assert is_canonical(made)


@given(SETS, SETS)
def test_under_keeps_what_is_at_or_under_a_leaf(one: frozenset[Path], other: frozenset[Path]) -> None:
    roots = {path for path in other if not any(path != more and path[: len(more)] == more for more in other)}
    roots = {path for path in roots if not any(path != more and more[: len(path)] == path for more in roots)}
    wanted = {path for path in one if any(path[: len(root)] == root for root in roots)}
    assert members(fields.under(fields.of(*one), fields.of(*roots))) == wanted


@given(SETS, PATHS)
def test_has_finds_members_only(paths: frozenset[Path], path: Path) -> None:
    assert fields.has(fields.of(*paths), path) == (path in paths)


@given(SETS, SETS)
def test_what_does_not_change_is_shared(one: frozenset[Path], other: frozenset[Path]) -> None:
    left = fields.of(*one)
    assert fields.union(left, left) is left
    if not one & other:
        assert fields.difference(left, fields.of(*other)) == left


def test_members_come_before_what_is_under_them() -> None:
    owned = fields.of(("f:b", "f:x"), ("f:c",), ("f:b",), ("f:a", 'v:"q"'), ("f:a", "v:3"), ("f:a", 'k:{"n":1}'))
    assert list(fields.paths(owned)) == [
        ("f:b",),
        ("f:c",),
        ("f:a", 'k:{"n":1}'),
        ("f:a", "v:3"),
        ("f:a", 'v:"q"'),
        ("f:b", "f:x"),
    ]


def test_paths_are_shown_as_errors_name_them() -> None:
    keyed = fields.key({"protocol": "TCP", "containerPort": 80})
    path = ("f:spec", "f:containers", fields.key({"name": "c"}), "f:ports", keyed, "f:name")
    assert fields.shown(path) == '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"].name'
    assert fields.shown(("f:finalizers", fields.value("a/b"))) == '.finalizers[="a/b"]'
    assert fields.shown(("f:x", "i:3", "v:null", "v:true", "v:1.5")) == ".x[3][=null][=true][=1.5]"


def test_a_clients_set_is_made_canonical() -> None:
    wire = {"f:a": {'k:{"name": "x", "a": 1}': {".": {}}}, 'v: "<"': {}}
    assert fields.parse(wire) == {"f:a": {'k:{"a":1,"name":"x"}': {".": {}}}, 'v:"\\u003c"': {}}


def test_a_set_that_is_none_is_refused() -> None:
    for wire in ([], {"a": {}}, {"f": {}}, {"k:{": {}}, {"i:x": {}}, {"f:a": 1}):
        try:
            fields.parse(wire)
        except ValueError:
            continue
        raise AssertionError(wire)
