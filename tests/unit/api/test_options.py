"""Query parameters as options, and health as text."""

import pytest

from reconciler.api import health, options
from reconciler.model import errors


def test_write_options() -> None:
    query = options.Query.parse("dryRun=All&fieldManager=me&fieldValidation=Strict&force=true")
    found = options.write(query, "Patch", apply=True)
    assert found == options.Write(dry_run=True, manager="me", field_validation="Strict", force=True)


@pytest.mark.parametrize(
    "text",
    ["dryRun=Some", "dryRun=", f"fieldManager={'x' * 129}", "fieldManager=a%00b", "fieldValidation=Odd", "force=true"],
)
def test_refused_write_options(text: str) -> None:
    with pytest.raises(errors.StatusError, match="PatchOptions") as refused:
        options.write(options.Query.parse(text), "Patch")
    assert refused.value.code == 422


def test_delete_options_come_from_the_body_or_else_the_query() -> None:
    query = options.Query.parse("gracePeriodSeconds=5&propagationPolicy=Orphan")
    from_query, _ = options.delete(query, None)
    assert (from_query.grace_seconds, from_query.propagation) == (5, "Orphan")
    from_body, dry_run = options.delete(query, {"dryRun": ["All"], "preconditions": {"uid": "u"}})
    assert (from_body.grace_seconds, from_body.propagation, from_body.uid, dry_run) == (None, None, "u", True)


@pytest.mark.parametrize(
    "body", [{"propagationPolicy": "Odd"}, {"propagationPolicy": "Orphan", "orphanDependents": True}, {"kind": "Pod"}, []]
)
def test_refused_delete_options(body: object) -> None:
    with pytest.raises(errors.StatusError):
        options.delete(options.Query(), body)


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(errors.StatusError, match="more than 200"):
        options.Query.parse("&".join(f"a{number}=1" for number in range(500)))


def test_health_says_which_check_failed() -> None:
    made = health.Health({"readyz": {"ping": lambda: True, "synced": lambda: False}})
    answer = made.answer("/readyz", [], False)
    assert answer is not None
    assert (answer.status, answer.content) == (500, b"[+]ping ok\n[-]synced failed: reason withheld\nreadyz check failed\n")
    excluded = made.answer("/readyz", ["synced"], True)
    assert excluded is not None
    assert excluded.content == b"[+]ping ok\n[+]synced excluded: ok\nreadyz check passed\n"
    assert made.answer("/readyz/nothing", [], False) is None
