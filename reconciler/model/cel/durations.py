"""Durations and times: parsing as Go does, and the getters of timestamps and durations."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reconciler.model.cel.errors import Failed

_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse(text: str) -> timedelta:
    """time.ParseDuration. Raises Failed."""
    sign, body = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if body == "0":
        return timedelta()
    parts = _PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise Failed(f'time: invalid duration "{text}"')
    return timedelta(seconds=sign * sum(float(number) * _SECONDS[unit] for number, unit in parts))


def epoch(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise Failed("timestamp overflow") from None


def _in_zone(value: datetime, zone: str) -> datetime:
    if re.fullmatch(r"[+-]?\d\d:\d\d", zone):
        return value.astimezone(datetime.fromisoformat(f"2000-01-01T00:00:00{zone if zone[0] in '+-' else '+' + zone}").tzinfo)
    try:
        return value.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise Failed(f"unknown time zone {zone}") from None


def _getter(of_time: Callable[[datetime], int], of_duration: Callable[[timedelta], int] | None) -> Callable[..., int]:
    def get(value: Any, zone: str = "UTC") -> int:
        if isinstance(value, timedelta):
            if of_duration is None:
                raise Failed("no such overload")
            return of_duration(value)
        return of_time(_in_zone(value, zone))

    return get


_GETTERS: dict[str, tuple[Callable[[datetime], int], Callable[[timedelta], int] | None]] = {
    "getFullYear": (lambda t: t.year, None),
    "getMonth": (lambda t: t.month - 1, None),
    "getDate": (lambda t: t.day, None),
    "getDayOfMonth": (lambda t: t.day - 1, None),
    "getDayOfYear": (lambda t: t.timetuple().tm_yday - 1, None),
    "getDayOfWeek": (lambda t: (t.weekday() + 1) % 7, None),
    "getHours": (lambda t: t.hour, lambda d: int(d.total_seconds() // 3600)),
    "getMinutes": (lambda t: t.minute, lambda d: int(d.total_seconds() // 60)),
    "getSeconds": (lambda t: t.second, lambda d: int(d.total_seconds())),
    "getMilliseconds": (lambda t: t.microsecond // 1000, lambda d: d.microseconds // 1000),
}

# Name -> what it does, and whether durations have it, too.
GETTERS: Mapping[str, tuple[Callable[..., int], bool]] = {
    name: (_getter(of_time, of_duration), of_duration is not None) for name, (of_time, of_duration) in _GETTERS.items()
}
