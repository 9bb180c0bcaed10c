"""When a condition's time changes, and where it stands."""

from typing import Any

from reconciler.model import conditions

READY = {"type": "Ready", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "1970-01-01T00:00:10Z"}
OTHER = {"type": "Other", "status": "False"}


def made(status: str = "True", reason: str = "R", message: str = "m") -> dict[str, Any]:
    return conditions.made("Ready", status, reason, message, 20)


def test_finding() -> None:
    assert conditions.find([OTHER, READY], "Ready") is READY
    assert conditions.find([], "Ready") is None
    assert conditions.is_true([READY], "Ready")
    assert not conditions.is_true([OTHER], "Other")
    assert not conditions.is_true([], "Ready")


def test_a_new_condition_dates_from_now() -> None:
    wanted = {**READY, "lastTransitionTime": "1970-01-01T00:00:20Z"}
    assert conditions.updated([OTHER], made()) == [OTHER, wanted]
    assert conditions.replaced([OTHER], made()) == [OTHER, wanted]


def test_nothing_changed_is_the_same_list() -> None:
    known = [READY, OTHER]
    assert conditions.updated(known, made()) is known
    assert conditions.replaced(known, made(message="another")) is known
    assert conditions.without(known, "Absent") is known


def test_the_time_stays_while_the_status_does() -> None:
    assert conditions.updated([READY, OTHER], made(reason="S")) == [{**READY, "reason": "S"}, OTHER]
    assert conditions.replaced([READY, OTHER], made(reason="S")) == [OTHER, {**READY, "reason": "S"}]


def test_another_status_has_another_time() -> None:
    changed = {**READY, "status": "False", "lastTransitionTime": "1970-01-01T00:00:20Z"}
    assert conditions.updated([READY, OTHER], made("False")) == [changed, OTHER]
    assert conditions.replaced([READY, OTHER], made("False")) == [OTHER, changed]


def test_more_fields_go_along() -> None:
    assert conditions.made("Ready", "True", "R", "m", 10, observedGeneration=3) == {**READY, "observedGeneration": 3}
    assert conditions.without([READY, OTHER], "Ready") == [OTHER]
