"""What a Sync says of itself: state, conditions, problems, last changes. Pure.

A condition is a fact that a person must act on when it is False; its reason is the name to search for: SourceMissing,
SourceUnreadable, SourceEmpty, SourceUnreachable, ProblemsFound, HealthCheckFailed, PruneHeld, WatchUnavailable.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.gitops import load, sync

MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Halt:
    """Why the folder cannot be trusted to say what is wanted."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the agent knows at the end of a step."""

    halt: Halt | None = None
    commit: str = ""
    documents: int = 0
    problems: Sequence[load.Problem] = ()
    kept: Sequence[str] = ()  # objects that are not pruned, with why
    waiting: Sequence[str] = ()
    unwatched: str = ""
    warnings: Sequence[str] = ()  # what is left undone on purpose
    faults: Sequence[str] = ()  # objects that are not healthy, with why
    is_late: bool = False  # longer than the Sync's health timeout
    is_suspended: bool = False
    rolled_back: int = 0  # the revision that stands for what the folder says
    notice: str = ""  # why the source is not as new as it should be
    changes: Sequence[str] = ()  # since the last time


def status(facts: Facts, before: sync.Status, now: str) -> sync.Status:
    """The status of a Sync at `now` (RFC 3339); what did not turn since `before` keeps its time."""
    return sync.Status(
        state=_state(facts),
        commit=facts.commit,
        documents=facts.documents,
        conditions=tuple(_timed(condition, before, now) for condition in _conditions(facts)),
        problems=tuple(_problem(problem) for problem in facts.problems[: sync.MAX_PROBLEMS]),
        warnings=tuple(facts.warnings[: sync.MAX_PROBLEMS]),
        more_problems=max(0, len(facts.problems) - sync.MAX_PROBLEMS),
        changes=tuple(facts.changes[: sync.MAX_CHANGES]) or before.changes,
        last_change_time=now if facts.changes else before.last_change_time,
    )


def _state(facts: Facts) -> sync.State:
    if facts.is_suspended:
        return "Suspended"
    if facts.halt is not None:
        return "Stopped"
    if facts.problems:
        return "Blocked"
    return "Syncing" if facts.waiting else "Synced"


def _conditions(facts: Facts) -> Iterable[sync.Condition]:
    yield _ready(facts)
    if facts.halt is not None:
        yield sync.Condition(type="SourceAvailable", status="False", reason=facts.halt.reason, message=facts.halt.message)
    elif facts.notice:
        yield sync.Condition(type="SourceAvailable", status="False", reason="SourceUnreachable", message=facts.notice)
    else:
        yield sync.Condition(type="SourceAvailable", status="True", reason="Found")
    ready = _ready(facts)
    if ready.status == "Unknown":
        yield ready.model_copy(update={"type": "Reconciling", "status": "True"})
    if ready.status == "False":
        yield ready.model_copy(update={"type": "Stalled", "status": "True"})
    if facts.rolled_back:
        message = f"revision {facts.rolled_back} is applied until the folder changes"
        yield sync.Condition(type="FollowsSource", status="False", reason="RolledBack", message=message)
    if facts.kept:
        yield sync.Condition(type="Pruned", status="False", reason="PruneHeld", message=_some(facts.kept, "; "))
    else:
        yield sync.Condition(type="Pruned", status="True", reason="NothingHeld")
    if facts.unwatched:
        message = f"{facts.unwatched}; changes are found by looking from time to time"
        yield sync.Condition(type="Watching", status="False", reason="WatchUnavailable", message=message)


def _ready(facts: Facts) -> sync.Condition:
    if facts.is_suspended:
        return sync.Condition(type="Ready", status="Unknown", reason="Suspended", message="spec.suspend is true")
    if facts.halt is not None:
        return sync.Condition(type="Ready", status="False", reason=facts.halt.reason, message=facts.halt.message)
    if facts.problems:
        count = len(facts.problems)
        message = f"{count} problem{'s' if count > 1 else ''}: {facts.problems[0]}"
        return sync.Condition(type="Ready", status="False", reason="ProblemsFound", message=message)
    if facts.waiting:
        return sync.Condition(type="Ready", status="Unknown", reason="Waiting", message="waits for " + _some(facts.waiting, ", "))
    if facts.faults:
        status, reason = ("False", "HealthCheckFailed") if facts.is_late else ("Unknown", "Progressing")
        message = f"{len(facts.faults)} of {facts.documents} not healthy: {_some(facts.faults, '; ')}"
        return sync.Condition(type="Ready", status=status, reason=reason, message=message)  # type: ignore[arg-type]
    return sync.Condition(type="Ready", status="True", reason="Applied", message=f"{facts.documents} documents are applied")


def _timed(condition: sync.Condition, before: sync.Status, now: str) -> sync.Condition:
    old = next((one for one in before.conditions if one.type == condition.type and one.status == condition.status), None)
    return condition.model_copy(update={"last_transition_time": old.last_transition_time if old is not None else now})


def _problem(problem: load.Problem) -> sync.Problem:
    return sync.Problem(place=problem.place, field=problem.field, message=problem.message)


def _some(items: Sequence[str], separator: str) -> str:
    more = f"{separator}and {len(items) - MAX_NAMED} more" if len(items) > MAX_NAMED else ""
    return separator.join(items[:MAX_NAMED]) + more
