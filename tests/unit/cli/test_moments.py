"""Moments as users write them."""

import pytest

from reconciler.cli import main, moments, why


@pytest.mark.parametrize(
    ("text", "wanted"), [("90s", 910.0), ("2m30s", 850.0), ("1970-01-01T00:10:00Z", 600.0), ("1970-01-01 01:00+01:00", 0.0)]
)
def test_times(text: str, wanted: float) -> None:
    assert moments.seconds(text, 1000.0) == wanted


@pytest.mark.parametrize("text", ["", "yesterday", "5", "1h ago", "2026-13-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(main.Refused):
        moments.seconds(text, 1000.0)


def test_effects_are_shown_below_what_caused_them() -> None:
    link = {"actor": "x", "why": "", "source": ""}
    effects = [
        {**link, "revision": 1, "object": "a", "cause": 0},
        {**link, "revision": 2, "object": "b", "cause": 0},
        {**link, "revision": 3, "object": "c", "cause": 1},
    ]
    lines = why.render_effects({"effects": effects, "began": "", "ended": "", "isCut": False}).splitlines()
    assert [line.partition(" at")[0] for line in lines] == ["a", "  └─ c", "b"]
