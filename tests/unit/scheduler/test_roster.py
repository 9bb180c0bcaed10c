"""Filters and scores are found by folder, and in installed packages."""

import importlib.metadata
from collections.abc import Iterator

import pytest

from reconciler.scheduler import roster, rules


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
    assert roster.all_filters()[-1] is mine


def test_what_is_no_filter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry("nonsense")])
    roster.all_filters.cache_clear()
    with pytest.raises(roster.BadPlugin, match=r"entry point mine in reconciler\.filters is str, expected Filter: mine:RULE"):
        roster.all_filters()
