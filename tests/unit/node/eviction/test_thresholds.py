"""Settings of eviction: what they mean, what holds by default, what is refused."""

from typing import Any

import pytest

from reconciler.node.eviction import thresholds


def settings(**given: Any) -> thresholds.Settings:
    return thresholds.settings(**{"soft": {}, "soft_grace": {}, "minimum_reclaim": {}, **given})


def named(found: thresholds.Settings) -> list[str]:
    return [one.setting for one in found.thresholds]


def test_kubernetes_defaults_hold_where_nothing_is_said() -> None:
    by_default = ["evictionHard[memory.available]: 100Mi", "evictionHard[nodefs.available]: 10%", "evictionHard[nodefs.inodesFree]: 5%"]
    assert named(settings()) == by_default
    assert settings().transition_seconds == 300
    assert named(settings(hard={"nodefs.available": "2Gi"})) == ["evictionHard[nodefs.available]: 2Gi"]
    assert named(settings(hard={"nodefs.available": "2Gi"}, merge_defaults=True)) == [
        "evictionHard[memory.available]: 100Mi",
        "evictionHard[nodefs.available]: 2Gi",
        "evictionHard[nodefs.inodesFree]: 5%",
    ]


def test_nothing_and_everything_leave_a_threshold_out() -> None:
    assert named(settings(hard={"nodefs.available": "0%", "memory.available": "100%"})) == []
    assert named(settings(hard={})) == []


@pytest.mark.parametrize(("text", "capacity", "least"), [("100Mi", 5, 100 << 20), ("10%", 1001, 100), ("12.5%", 80, 10), ("1", 5, 1)])
def test_amounts(text: str, capacity: int, least: int) -> None:
    found = thresholds.amount(text)
    assert found is not None
    assert found.of(capacity) == least


@pytest.mark.parametrize("text", ["", "x", "0", "-5Mi", "-5%", "101%", "x%", "5 %x"])
def test_amounts_that_mean_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        thresholds.amount(text)


def test_a_minimum_reclaim_may_be_nothing() -> None:
    found = thresholds.amount("0Mi", least=0)
    assert found is not None
    assert found.of(1 << 30) == 0


def test_signals_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match=r"unsupported eviction signal memory\.free, want one of memory\.available, "):
        thresholds.signal("memory.free")


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("1m30s", 90), ("5m0s", 300), ("1.5h", 5400)])
def test_periods(text: str, seconds: float) -> None:
    assert thresholds.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "1x", "-1m"])
def test_periods_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        thresholds.seconds(text)


def test_what_hard_thresholds_keep_from_pods() -> None:
    found = settings(hard={"nodefs.available": "10%"}, soft={"memory.available": "1Gi"}, soft_grace={"memory.available": "1m"})
    assert found.reserved("nodefs.available", 1000) == 100
    assert found.reserved("memory.available", 1 << 40) == 0
