"""The timeline of a simulation as an SVG picture: pods by state, ready nodes, and what happened when. Pure."""

import html
from collections.abc import Iterator, Sequence

from reconciler.foresight.simulation import Result
from reconciler.foresight.timeline import Sample

WIDTH, HEIGHT = 1000, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 110
STATES = (("ready", "#2e7d32"), ("starting", "#9ccc65"), ("waiting", "#ef6c00"), ("ending", "#9e9e9e"))  # bottom to top
NODES = "#1565c0"
TICKS = 6


def svg(found: Result) -> str:
    most = max((sum(_stack(one)) for one in found.samples), default=0) or 1
    parts = [*_areas(found, most), *_node_line(found), *_axes(found, most), *_marks(found), *_legend(found)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>"]) + "\n"


def span(seconds: float) -> str:
    """A time as people write it: 40 s, 12 min, 1 h 5 min."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{minutes} min" if not hours else f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _stack(one: Sample) -> tuple[int, ...]:
    return tuple(getattr(one, name) for name, _ in STATES)


def _x(seconds: float, whole_seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / whole_seconds


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def _areas(found: Result, most: int) -> Iterator[str]:
    for number, (_, colour) in enumerate(STATES):
        upper = [(_x(one.seconds, found.seconds), _y(sum(_stack(one)[: number + 1]) / most)) for one in found.samples]
        lower = [(_x(one.seconds, found.seconds), _y(sum(_stack(one)[:number]) / most)) for one in found.samples]
        yield f'<polygon points="{_points([*upper, *reversed(lower)])}" fill="{colour}"/>'


def _node_line(found: Result) -> Iterator[str]:
    line = [(_x(one.seconds, found.seconds), _y(one.nodes / (found.nodes or 1))) for one in found.samples]
    yield f'<polyline points="{_points(line)}" fill="none" stroke="{NODES}" stroke-width="2"/>'


def _points(line: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in line)


def _axes(found: Result, most: int) -> Iterator[str]:
    for tick in range(TICKS + 1):
        share = tick / TICKS
        x, y = LEFT + (WIDTH - LEFT - RIGHT) * share, _y(share)
        yield f'<text x="{x:.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{span(found.seconds * share)}</text>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{most * share:.0f}</text>'
        yield f'<line x1="{LEFT}" y1="{y:.0f}" x2="{WIDTH - RIGHT}" y2="{y:.0f}" stroke="#00000022"/>'


def _marks(found: Result) -> Iterator[str]:
    """A numbered line for each moment, with its text below."""
    for number, moment in enumerate(found.moments, start=1):
        x = _x(moment.seconds, found.seconds)
        yield f'<line x1="{x:.0f}" y1="{TOP}" x2="{x:.0f}" y2="{HEIGHT - BOTTOM}" stroke="#c62828" stroke-dasharray="4 3"/>'
        yield f'<text x="{x + 3:.0f}" y="{TOP + 10}" fill="#c62828">{number}</text>'
        if number <= 6:
            column, row = divmod(number - 1, 3)
            text = f"{number}: {span(moment.seconds)}, {html.escape(moment.text)}"
            yield f'<text x="{LEFT + column * 460}" y="{HEIGHT - BOTTOM + 46 + row * 18}" fill="#c62828">{text}</text>'


def _legend(found: Result) -> Iterator[str]:
    yield f'<text x="{LEFT}" y="22" font-size="15">{found.nodes} nodes, {found.started} pods started in {span(found.seconds)}</text>'
    for number, (name, colour) in enumerate((*STATES, ("nodes", NODES))):
        x = 520 + number * 95
        yield f'<rect x="{x}" y="12" width="12" height="12" fill="{colour}"/><text x="{x + 17}" y="22">{name}</text>'
