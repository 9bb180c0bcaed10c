"""Lists of conditions, in the two ways that Kubernetes' controllers keep them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.kit import clock as clocks

Condition = Mapping[str, Any]


def find(conditions: Iterable[Condition], type: str) -> Condition | None:
    return next((one for one in conditions if one.get("type") == type), None)


def is_true(conditions: Iterable[Condition], type: str) -> bool:
    found = find(conditions, type)
    return found is not None and found.get("status") == "True"


def without(conditions: Iterable[Condition], type: str) -> list[Condition]:
    return [one for one in conditions if one.get("type") != type]


def made(type: str, status: str, reason: str, message: str, now: float, **more: Any) -> dict[str, Any]:
    """A condition that came to be now."""
    return {"type": type, "status": status, "lastTransitionTime": clocks.rfc3339(now), "reason": reason, "message": message, **more}


def replaced(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """As the workload controllers do: nothing happens while status and reason stay, else the new one goes to the end
    and keeps the time of the last transition when only the reason changed."""
    old = find(conditions, str(new["type"]))
    if old is not None and old.get("status") == new["status"] and old.get("reason") == new.get("reason"):
        return list(conditions)
    if old is not None and old.get("status") == new["status"]:
        new = {**new, "lastTransitionTime": old.get("lastTransitionTime")}
    return [*without(conditions, str(new["type"])), new]


def updated(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """As apimachinery's meta.SetStatusCondition does: in place, with a new time only when the status changes."""
    old = find(conditions, str(new["type"]))
    if old is None:
        return [*conditions, new]
    if old.get("status") == new["status"]:
        new = {**new, "lastTransitionTime": old.get("lastTransitionTime")}
    return [new if one is old else one for one in conditions]
