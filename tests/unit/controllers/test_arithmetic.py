"""The small sums of the controllers, against their definitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.controllers import percentages, slices
from reconciler.controllers.job import indexes, policy


@given(st.sets(st.integers(0, 60)))
def test_indexes_read_what_they_write(numbers: set[int]) -> None:
    assert indexes.parsed(indexes.shown(numbers)) == numbers


@pytest.mark.parametrize(("numbers", "text"), [({0, 2}, "0,2"), ({0, 1}, "0,1"), ({0, 1, 2, 5}, "0-2,5"), (set(), "")])
def test_indexes_are_written_as_kubernetes_does(numbers: set[int], text: str) -> None:
    assert indexes.shown(numbers) == text


@pytest.mark.parametrize(
    ("value", "up", "result"), [(3, True, 3), ("25%", True, 2), ("25%", False, 1), ("0%", True, 0), ("100%", False, 7)]
)
def test_percentages(value: object, up: bool, result: int) -> None:
    assert percentages.scaled(value, 7, up=up) == result


def test_an_exit_code_rule_looks_at_its_container_only() -> None:
    job = {
        "spec": {
            "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"containerName": "a", "operator": "In", "values": [3]}}]}
        }
    }
    statuses = [{"name": name, "state": {"terminated": {"exitCode": code}}} for name, code in (("a", 1), ("b", 3))]
    pod = {"metadata": {"name": "p", "namespace": "ns"}, "status": {"phase": "Failed", "containerStatuses": statuses}}
    assert policy.of_failure(job, pod).action == "Count"


@given(before=st.sets(st.integers(0, 40), max_size=30), after=st.sets(st.integers(0, 40), max_size=30))
def test_slices_hold_what_is_wanted_and_stay_small(before: set[int], after: set[int]) -> None:
    owner = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "ns", "uid": "u"}}
    frame = slices.Frame(owner, {"l": "v"}, {}, most=4)
    present = apply([], frame, before)
    result = apply(present, frame, after)
    held = [endpoint["addresses"][0] for slice in result for endpoint in slice["endpoints"]]
    assert sorted(held) == sorted(map(str, after))
    assert all(len(slice["endpoints"]) <= 4 for slice in result)
    unmoved = {endpoint["addresses"][0]: slice["metadata"]["name"] for slice in present for endpoint in slice["endpoints"]}
    for slice in result:
        for endpoint in slice["endpoints"]:
            address = endpoint["addresses"][0]
            assert unmoved.get(address, slice["metadata"]["name"]) == slice["metadata"]["name"]


def apply(present: list[dict], frame: slices.Frame, wanted: set[int]) -> list[dict]:  # type: ignore[type-arg]
    """The slices after the plan for `wanted` was performed."""
    group = slices.Group("IPv4", (), tuple({"addresses": [str(number)]} for number in sorted(wanted)))
    names = (f"n{len(present)}-{number}" for number in range(100))
    by_name = {slice["metadata"]["name"]: slice for slice in present}
    for action in slices.fitted(frame, [group], present, iter(names)):
        if hasattr(action, "body"):
            by_name[action.body["metadata"]["name"]] = dict(action.body)
        else:
            del by_name[action.name]
    return list(by_name.values())
