"""Which container's log, and which part of it."""

import pytest

from reconciler.api import logs, options
from reconciler.api.backend import LogOptions
from reconciler.model import errors

NOW = 1_700_000_000.0
TWO = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}}


def test_one_container_needs_no_name() -> None:
    assert logs.container_of({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}}, "") == "a"


def test_several_need_one() -> None:
    with pytest.raises(errors.StatusError, match=r"choose one of: \[i a b\]"):
        logs.container_of(TWO, "")
    assert logs.container_of(TWO, "i") == "i"


def test_an_unknown_container_is_refused() -> None:
    with pytest.raises(errors.StatusError, match="container x is not valid for pod p"):
        logs.container_of(TWO, "x")


def asked(text: str) -> LogOptions:
    return logs.options_of(options.Query.parse(text), NOW)


def test_options_are_read_and_checked() -> None:
    found = asked("follow=true&tailLines=5&sinceSeconds=60&stream=Stderr&timestamps=0&previous")
    assert (found.follow, found.tail_lines, found.since, found.stream) == (True, 5, NOW - 60, "Stderr")
    assert (found.timestamps, found.previous) == (False, True)
    assert asked("sinceTime=2023-11-14T22:13:20Z").since == NOW
    for bad in ("tailLines=-1", "limitBytes=0", "sinceSeconds=1&sinceTime=2023-11-14T22:13:20Z", "stream=stdout"):
        with pytest.raises(errors.StatusError) as refused:
            asked(bad)
        assert refused.value.code == 422
    with pytest.raises(errors.StatusError, match="ParseInt"):
        asked("tailLines=x")
