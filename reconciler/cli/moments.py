"""A moment of the past as a user writes it: a revision, how long ago, or a time of day."""

import argparse
import datetime
import re
import time

from reconciler.cli import connection as connections
from reconciler.cli import main

_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|m|s)")
_UNIT_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
FORMS = "a revision (4711), how long ago (90s, 2h30m, 1d) or a time (2026-03-01T12:00:00Z, '2026-03-01 13:00' local)"


def add_option(parser: argparse.ArgumentParser, name: str = "--at", purpose: str = "as it was then") -> None:
    parser.add_argument(name, metavar="REVISION|TIME", help=f"{purpose}: {FORMS}")


def revision(server: connections.Connection, text: str) -> int:
    """The journal's revision at that moment. Raises Refused."""
    if text.isdecimal():
        return int(text)
    return int(server.json(f"/reconciler/past/revision/{seconds(text, time.time())}")["revision"])


def seconds(text: str, now: float) -> float:
    """Seconds since the epoch. Raises Refused."""
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise main.Refused(f"{text!r} is no moment: write {FORMS}") from None
