"""Cron schedules: when they fire, across odd months and clock changes, and what is refused."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from reconciler.model import cron

START = datetime(2026, 1, 31, 23, 59, 30, tzinfo=UTC)


def after(text: str, moment: datetime = START) -> datetime | None:
    return cron.parse(text).next_after(moment)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("* * * * *", datetime(2026, 2, 1, 0, 0, tzinfo=UTC)),
        ("*/15 * * * *", datetime(2026, 2, 1, 0, 0, tzinfo=UTC)),
        ("7 3 * * *", datetime(2026, 2, 1, 3, 7, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, 0, 0, tzinfo=UTC)),
        ("0 12 * * mon", datetime(2026, 2, 2, 12, 0, tzinfo=UTC)),
        ("0 12 * jun sun", datetime(2026, 6, 7, 12, 0, tzinfo=UTC)),
        ("0 0 13 * fri", datetime(2026, 2, 6, 0, 0, tzinfo=UTC)),
        ("0 9-17/4 * * *", datetime(2026, 2, 1, 9, 0, tzinfo=UTC)),
        ("@hourly", datetime(2026, 2, 1, 0, 0, tzinfo=UTC)),
        ("@yearly", datetime(2027, 1, 1, 0, 0, tzinfo=UTC)),
        ("5,1 * * * *", datetime(2026, 2, 1, 0, 1, tzinfo=UTC)),
    ],
)
def test_next_times(text: str, wanted: datetime) -> None:
    assert after(text) == wanted


def test_a_given_day_or_a_given_weekday_is_enough() -> None:
    """When both are given either will do, as cron has it; a star means that only the other counts."""
    both = after("0 0 3 * sat", datetime(2026, 2, 1, tzinfo=UTC))
    assert both == datetime(2026, 2, 3, tzinfo=UTC)


def test_every_counts_from_the_last_time() -> None:
    assert after("@every 1h30m") == START + timedelta(minutes=90)


def test_a_day_that_never_comes() -> None:
    assert after("0 0 30 2 *") is None


def test_hours_that_a_clock_change_skips() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    found = after("30 2 * * *", datetime(2026, 3, 28, 12, 0, tzinfo=berlin))
    assert found == datetime(2026, 3, 30, 2, 30, tzinfo=berlin)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("@nope", "unrecognized descriptor: @nope"),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
        ("@every 5x", 'failed to parse duration @every 5x: time: unknown unit "x" in duration "5x"'),
    ],
)
def test_refusals(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        cron.parse(text)


@pytest.mark.parametrize(
    "text", ["60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "a * * * *", "*/0 * * * *"]
)
def test_values_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"range|parse|above|below|beyond|positive|invalid"):
        cron.parse(text)
