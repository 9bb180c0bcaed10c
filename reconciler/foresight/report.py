"""A forecast as people and programs read it: text for a terminal, Markdown for a pull request, JSON. Pure."""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator

from reconciler.foresight.forecast import Availability, Change, Forecast

MAX_PODS = 100  # shown one by one; JSON has them all


def text(found: Forecast) -> str:
    parts = [[headline(found)], *_sections(found)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def markdown(found: Forecast) -> str:
    lines = [f"### {headline(found)}"]
    for section in _sections(found):
        heading, *body = section
        lines += ["", f"**{heading}**", "```diff", *(_diffable(line) for line in body), "```"]
    return "\n".join(lines) + "\n"


def as_json(found: Forecast) -> str:
    """The fields of forecast.Forecast; a time without an end is null."""
    return json.dumps(finite(dataclasses.asdict(found)), indent=2) + "\n"


def headline(found: Forecast) -> str:
    if not found.changes_anything and not found.problems:
        return "plan: nothing would change"
    starts = sum(step.sign == "+" for step in found.pods)
    counts = [_count(len(found.changes), "object", "would change"), _count(starts, "pod", "start"), f"{len(found.pods) - starts} end"]
    faults = len(found.problems) + len(found.held) + len(found.unplaced) + len(found.unhealthy)
    return "plan: " + ", ".join(counts) + (f"; {_count(faults, 'thing', 'would be wrong')}" if faults else "")


def _sections(found: Forecast) -> Iterator[list[str]]:
    """Each a heading and its lines; those without lines are left out."""
    sections: dict[str, list[str]] = {
        "Refused": [f"! {problem}" for problem in found.problems],
        "Held back": [f"! {one}" for one in found.held],
        "Objects": [line for change in found.changes for line in _change(change)],
        "Pods": list(_pods(found)),
        "Would fit nowhere": [f"! {one.pod}: {one.why}" for one in found.unplaced],
        "Availability": list(map(_dip, found.availability)),
        f"Not healthy after {found.seconds:.0f} s": [
            f"! {one.object}: {one.state}" + (f", {one.message}" if one.message else "") for one in found.unhealthy
        ],
    }
    yield from ([heading + ":", *lines] for heading, lines in sections.items() if lines)


def _change(change: Change) -> Iterator[str]:
    yield _with(f"{change.sign} {change.object}", change.file)
    yield from ("    " + field for field in change.fields)


def _pods(found: Forecast) -> Iterable[str]:
    for step in found.pods[:MAX_PODS]:
        place = f" on {step.node}" if step.node else ""
        yield _with(f"{step.sign} {step.seconds:6.1f} s  {step.pod}{place}", step.why)
    if len(found.pods) > MAX_PODS:
        yield f"  and {len(found.pods) - MAX_PODS} more"


def _dip(one: Availability) -> str:
    down = f"{one.object}: down to {one.least} of {one.wanted}"
    if math.isinf(one.below_seconds):
        return f"! {down}, and still {one.at_end} at the end"
    return f"  {down}" + (f" for {one.below_seconds:.0f} s" if one.below_seconds >= 1 else " for less than a second")


def _with(line: str, remark: str) -> str:
    return f"{line}  # {remark}" if remark else line


def _diffable(line: str) -> str:
    """Changes and faults in the first column, where a diff is coloured."""
    return line if line[:1] in "+-!" else " " + line


def _count(number: int, noun: str, verb: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'} {verb}"


def finite(value: object) -> object:
    """`value` for JSON, which has no infinity: null instead."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and math.isinf(value) else value
