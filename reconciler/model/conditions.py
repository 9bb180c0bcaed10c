"""Lists of conditions and what their transition times mean: a time changes only when the status does.

Kubernetes keeps such lists in two ways, and clients notice the difference: `updated` changes a condition where it
stands (apimachinery's SetStatusCondition, the kubelet), `replaced` moves it to the end, and takes no notice while
status and reason stay (the workload controllers). Both return the very list they were given when nothing changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.kit import clock

Condition = Mapping[str, Any]


def find(conditions: Iterable[Condition], type: str) -> Condition | None:
    return next((one for one in conditions if one.get("type") == type), None)


def is_true(conditions: Iterable[Condition], type: str) -> bool:
    found = find(conditions, type)
    return found is not None and found.get("status") == "True"


def without(conditions: Sequence[Condition], type: str) -> Sequence[Condition]:
    left = [one for one in conditions if one.get("type") != type]
    return left if len(left) < len(conditions) else conditions


def made(type: str, status: str, reason: str, message: str, now: float, **more: Any) -> dict[str, Any]:
    """A condition that came to be now (seconds since the epoch); `more` holds what some kinds add, such as lastUpdateTime."""
    return {"type": type, "status": status, "lastTransitionTime": clock.rfc3339(now), "reason": reason, "message": message, **more}


def updated(conditions: Sequence[Condition], new: Condition) -> Sequence[Condition]:
    """With `new` where its type stands, or at the end."""
    old = find(conditions, str(new["type"]))
    if old is None:
        return [*conditions, new]
    new = _since(old, new)
    return conditions if new == old else [new if one is old else one for one in conditions]


def replaced(conditions: Sequence[Condition], new: Condition) -> Sequence[Condition]:
    """With `new` at the end in place of its type, unless status and reason are as they were."""
    old = find(conditions, str(new["type"]))
    if old is None:
        return [*conditions, new]
    if old.get("status") == new["status"] and old.get("reason") == new.get("reason"):
        return conditions
    return [*without(conditions, str(new["type"])), _since(old, new)]


def _since(old: Condition, new: Condition) -> Condition:
    """`new`, dating from the last change of its status."""
    return {**new, "lastTransitionTime": old.get("lastTransitionTime")} if old.get("status") == new["status"] else new
