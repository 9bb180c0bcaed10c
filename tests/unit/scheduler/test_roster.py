"""Filters and scores are found by folder, and in installed packages."""

import importlib.metadata
from collections.abc import Iterator

import pytest

from reconciler.scheduler import config, roster, rules
from reconciler.scheduler import plan as decisions
from tests.unit.scheduler import world


class Entry:
    """An entry point of a package that is not there."""

    name = "mine"
    value = "mine:RULE"

    def __init__(self, rule: object) -> None:
        self._rule = rule

    def load(self) -> object:
        return self._rule


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    roster.all_filters.cache_clear()
    roster.all_scores.cache_clear()


def test_built_in() -> None:
    assert tuple(one.name for one in roster.all_filters()) == roster.FILTER_ORDER
    assert len(roster.all_scores()) == 7


def test_installed_ones_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = rules.Filter(name="Mine", scope=rules.Scope.NODE, check=lambda case, rows: None)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry(mine)] if group == "reconciler.filters" else [])
    roster.all_filters.cache_clear()
    assert roster.all_filters()[-1].name == "Mine"


def test_what_is_no_filter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry("nonsense")])
    roster.all_filters.cache_clear()
    with pytest.raises(roster.BadPlugin, match=r"entry point mine in reconciler\.filters is str, expected Filter: mine:RULE"):
        roster.all_filters()


def test_one_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Entry):
        def load(self) -> object:
            raise ImportError("no module named mine")

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Broken(None)])
    with pytest.raises(roster.BadPlugin, match="cannot be loaded from mine:RULE: no module named mine"):
        roster.all_filters.__wrapped__()


def test_one_that_fails_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [False]

    def check(case: rules.Case, rows: rules.Rows) -> rules.Verdict | None:
        if broken[0]:
            raise LookupError("oh")
        return rules.verdict(case.table.pod_count[rows] > 1, "node(s) had two pods already")

    mine = rules.Filter(name="Mine", scope=rules.Scope.PODS, check=check)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry(mine)] if group == "reconciler.filters" else [])
    roster.all_filters.cache_clear()
    made = world.World([world.namespace("default"), world.node("a"), world.node("b", "1")])
    planner = made.planner(config.default_profile())
    assert planner.place(world.pod("p", {"cpu": "1"})) == decisions.Placed(world.pod("p", {"cpu": "1"}), "a")
    broken[0] = True
    with pytest.raises(rules.RuleFailed, match='running "Mine" plugin: LookupError: oh'):
        planner.place(world.pod("q", {"cpu": "1"}))
    assert made.table.pod_count[:2].tolist() == [1, 0]
    broken[0] = False
    nodes = [getattr(planner.place(world.pod(name, {"cpu": "1"})), "node", None) for name in "qrs"]
    assert nodes == ["a", "b", None]
