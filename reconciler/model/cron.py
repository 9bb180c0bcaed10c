"""Cron schedules as robfig/cron reads them, which Kubernetes uses: `parse` and `Schedule.next_after`.

Five fields (minute, hour, day of month, month, day of week), names of months and days, steps, ranges, "?", the @macros
and "@every 1h30m". A day matches when both day fields do, or either where both are restricted. Times are aware
datetimes in the schedule's own zone; the zone is the caller's, for reading the zone database is not pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: number for number, name in enumerate(_MONTHS, 1)}
DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
YEARS_AHEAD = 5  # a schedule that matches nothing in that time matches nothing (30 February)

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Field:
    """The values that match; `any` says that it was written as a star."""

    values: frozenset[int]
    any: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field
    every_seconds: int = 0  # of "@every"; then the fields mean nothing

    def next_after(self, moment: datetime) -> datetime | None:
        """The first matching minute after `moment`, in its zone; None when there is none in the next years.

        A time that a change to summer time skips does not come that day; one that comes twice is taken once.
        """
        if self.every_seconds:
            return (moment + timedelta(seconds=self.every_seconds)).replace(microsecond=0)
        wall = moment.replace(second=0, microsecond=0, tzinfo=None, fold=0) + timedelta(minutes=1)
        last = wall.year + YEARS_AHEAD
        while wall.year <= last:
            if wall.month not in self.months.values:
                wall = (wall.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
            elif not self._day_matches(wall):
                wall = wall.replace(hour=0, minute=0) + timedelta(days=1)
            elif wall.hour not in self.hours.values:
                wall = wall.replace(minute=0) + timedelta(hours=1)
            elif wall.minute not in self.minutes.values:
                wall += timedelta(minutes=1)
            else:
                found = wall.replace(tzinfo=moment.tzinfo)
                exists = found.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) == wall
                if exists and found.astimezone(UTC) > moment.astimezone(UTC):
                    return found
                wall += timedelta(minutes=1)
        return None

    def _day_matches(self, wall: datetime) -> bool:
        day, weekday = wall.day in self.days.values, wall.isoweekday() % 7 in self.weekdays.values
        return day and weekday if self.days.any or self.weekdays.any else day or weekday


def parse(text: str) -> Schedule:
    """Raises ValueError in robfig/cron's words. A time zone in the text is the caller's to refuse or strip."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        return _macro(text)
    parts = text.split()
    if len(parts) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    return Schedule(
        _field(parts[0], 0, 59),
        _field(parts[1], 0, 23),
        _field(parts[2], 1, 31),
        _field(parts[3], 1, 12, MONTHS),
        _field(parts[4], 0, 6, DAYS),
    )


def _macro(text: str) -> Schedule:
    if text in MACROS:
        return parse(MACROS[text])
    if not text.startswith("@every "):
        raise ValueError(f"unrecognized descriptor: {text}")
    try:
        seconds = _duration(text.removeprefix("@every "))
    except ValueError as error:
        raise ValueError(f"failed to parse duration {text}: {error}") from None
    nothing = Field(frozenset())
    return Schedule(nothing, nothing, nothing, nothing, nothing, max(1, int(seconds)))


def _duration(text: str) -> float:
    """A Go duration in seconds."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0.0
    parts = _DURATION.findall(body)
    if not body or "".join(number + unit for number, unit in parts) != body:
        raise ValueError(f'time: {_complaint(body)} duration "{text}"')
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return -total if text.startswith("-") else total


def _complaint(body: str) -> str:
    """What Go says of a duration that it cannot read."""
    rest = _DURATION.sub("", body, count=0) if body else ""
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", rest):
        return "missing unit in"
    unknown = re.fullmatch(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)([^0-9.]+).*", rest)
    return f'unknown unit "{unknown[1]}" in' if unknown else "invalid"


def _field(text: str, least: int, most: int, names: Mapping[str, int] | None = None) -> Field:
    values: set[int] = set()
    star = False
    for part in filter(None, text.split(",")):
        low, high, step, is_star = _range(part, least, most, names)
        values.update(range(low, high + 1, step))
        star = star or is_star
    return Field(frozenset(values), star)


def _range(text: str, least: int, most: int, names: Mapping[str, int] | None) -> tuple[int, int, int, bool]:
    """(first, last, step, written as a star) of one range."""
    span, *steps = text.split("/")
    bounds = span.split("-")
    star = bounds[0] in ("*", "?")
    if star:
        low, high = least, most
    else:
        low = high = _value(bounds[0], names)
        if len(bounds) == 2:
            high = _value(bounds[1], names)
        elif len(bounds) > 2:
            raise ValueError(f"too many hyphens: {text}")
    step = 1
    if len(steps) == 1:
        step = _number(steps[0])
        high = most if len(bounds) == 1 else high
        star = star and step <= 1
    elif len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    if low < least:
        raise ValueError(f"beginning of range ({low}) below minimum ({least}): {text}")
    if high > most:
        raise ValueError(f"end of range ({high}) above maximum ({most}): {text}")
    if low > high:
        raise ValueError(f"beginning of range ({low}) beyond end of range ({high}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return low, high, step, star


def _value(text: str, names: Mapping[str, int] | None) -> int:
    named = (names or {}).get(text.lower())
    return _number(text) if named is None else named


def _number(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text)
    if number < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number
