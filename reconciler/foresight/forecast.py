"""What a change of a folder would do: the forecast, made by letting it happen in a world of its own.

The world settles first, so that nothing is blamed on the change that was under way already. Then the folder is applied
and time passes until nothing has happened for QUIET_SECONDS of it, at most for `horizon_seconds`. What was seen
becomes a Forecast; how it is printed is report.py's business.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.foresight import observer, virtual, world
from reconciler.gitops import diff, marks
from reconciler.kinds import pod
from reconciler.model import meta

QUIET_SECONDS = 30.0
LOOK_SECONDS = 1.0
HORIZON_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Change:
    """One object that the folder makes ("+"), changes ("~") or deletes ("-"), with the fields that differ."""

    sign: str
    object: str  # "Deployment site/web"
    file: str  # where the folder says so, or said so
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodStep:
    """A pod that starts ("+") or is ended ("-"), on which node, when (seconds after the change) and why."""

    sign: str
    pod: str
    node: str
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A pod that still waits for a node at the end."""

    pod: str
    why: str


@dataclass(frozen=True, slots=True)
class Availability:
    """How many pods of a workload stay available while it changes."""

    object: str
    wanted: int  # and available before the change
    least: int
    below_seconds: float  # for how long it had fewer than wanted
    at_end: int


@dataclass(frozen=True, slots=True)
class Unhealthy:
    object: str
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Forecast:
    changes: tuple[Change, ...] = ()
    pods: tuple[PodStep, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()
    availability: tuple[Availability, ...] = ()
    unhealthy: tuple[Unhealthy, ...] = ()
    problems: tuple[str, ...] = ()  # of the folder, with file, line and column
    held: tuple[str, ...] = ()  # what the folder's agent would say it does not do, and why
    seconds: float = 0.0  # until nothing more happened

    @property
    def changes_anything(self) -> bool:
        return bool(self.changes or self.pods)

    @property
    def works(self) -> bool:
        """Whether everything that the folder wants would be there and healthy."""
        return not (self.problems or self.held or self.unplaced or self.unhealthy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    beginning: world.Beginning
    folder: Path
    before: Path | None = None  # what is applied first, where nothing runs yet
    horizon_seconds: float = HORIZON_SECONDS


def forecast(question: Question) -> Forecast:
    """Let it happen. Takes no longer than the work of it, whatever the horizon."""
    return virtual.run(_forecast(question))


async def _forecast(question: Question) -> Forecast:
    clock = virtual.Clock(question.beginning.now)
    async with world.running(question.beginning, clock) as made:
        if question.before is not None:
            await made.follow(question.before)
        await settled(made, question.horizon_seconds)
        made.observer.begin()
        agent = await made.follow(question.folder)
        await settled(made, question.horizon_seconds)
        (report,) = agent.report()
        return Forecast(
            changes=tuple(_changes(made)),
            pods=tuple([await _pod_step(made, step) for step in made.observer.pod_steps]),
            unplaced=tuple(Unplaced(meta.path(pod), why) for pod, why in made.observer.unplaced()),
            availability=tuple(availability(made)),
            unhealthy=tuple(Unhealthy(_title(obj), state, message) for obj, state, message in made.observer.unhealthy()),
            problems=tuple(report["errors"]),
            held=tuple(f"{one['type']}: {one['message']}" for one in report["conditions"]),
            seconds=made.observer.seconds,
        )


async def settled(made: world.World, horizon_seconds: float) -> None:
    """Return when nothing has happened for a while."""
    began = made.clock.monotonic()
    while (now := made.clock.monotonic()) - max(began, made.observer.stirred_at) < QUIET_SECONDS and now - began < horizon_seconds:
        await made.clock.sleep(LOOK_SECONDS)


def _changes(made: world.World) -> Iterator[Change]:
    for kind, before, after in made.observer.changed():
        sign = "+" if before is None else "-" if after is None else "~"
        shown = after if after is not None else before
        assert shown is not None, "one of the two exists"
        schema = made.api.schemas.of(kind.hub_version.schema)
        fields = tuple(str(change) for change in diff.between(before, after, schema)) if sign == "~" else ()
        yield Change(sign, _title(shown), marks.source(shown), fields)


async def _pod_step(made: world.World, step: observer.PodStep) -> PodStep:
    why = await observer.why(made.journal, step.revision)
    return PodStep(step.sign, meta.path(step.pod), pod.node_name(step.pod), round(step.seconds, 1), why)


def availability(made: world.World) -> Iterator[Availability]:
    """Of the workloads that had less than before at any time, or have another number in the end."""
    for place, seen in made.observer.availability.items():
        obj = made.cache.get(*place)
        if obj is not None and seen.least < seen.wanted:
            below_seconds = seen.below_seconds if math.isnan(seen.since_seconds) else math.inf
            yield Availability(_title(obj), seen.wanted, seen.least, below_seconds, seen.now)


def _title(obj: meta.Obj) -> str:
    return f"{obj['kind']} {meta.path(obj)}"
