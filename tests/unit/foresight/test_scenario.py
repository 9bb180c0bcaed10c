"""Scenarios: durations, loads, and what is refused."""

import pydantic
import pytest

from reconciler.foresight import scenario


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("1h30m", 5400.0), ("1.5m", 90.0), ("250ms", 0.25)])
def test_durations(text: str, seconds: float) -> None:
    assert scenario.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "1d", 10, None])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="want a duration"):
        scenario.seconds_of(text)


def test_a_load_goes_straight_from_point_to_point() -> None:
    load = scenario.Load.model_validate({"deployment": "a/b", "cpu": [["1m", "1"], ["3m", "3"]]})
    assert [load.nanocores(at) // 10**6 for at in (0.0, 60.0, 120.0, 180.0, 999.0)] == [1000, 1000, 2000, 3000, 3000]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"events": [{"at": "1m"}]}, "exactly one of"),
        ({"events": [{"at": "1m", "powerLoss": {}}]}, "either zone or nodes"),
        ({"events": [{"at": "1m", "scale": {"deployment": "web", "replicas": 1}}]}, "NAMESPACE/NAME"),
        ({"nodes": {"count": 0}}, "greater than or equal to 1"),
        ({"nodes": {"cpu": "many"}}, "nodes.cpu"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_what_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        scenario.Scenario.model_validate(settings)
