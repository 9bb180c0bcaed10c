"""Which pods a node takes, in which order, and what it never refuses."""

from typing import Any

from reconciler.node import admission
from reconciler.node import plan as decisions
from reconciler.placement.admission import Refusal

NODE: dict[str, Any] = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}}}


def pod(name: str, created: int = 0, cpu: str = "600m", **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "namespace": "d", "creationTimestamp": f"2026-01-01T00:00:{created:02}Z", "generation": 1}
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    return {"metadata": metadata, "spec": {"nodeName": "n", "containers": [container]}, "status": {"phase": "Pending", **status}}


def reasons(here: list[dict[str, Any]], *begun: str) -> dict[str, str]:
    judge = admission.Admission(lambda uid: uid in begun)
    verdicts = {one["metadata"]["name"]: judge.judge(one, NODE, here) for one in here}
    return {name: verdict.message for name, verdict in verdicts.items() if verdict is not None}


def test_the_oldest_is_taken_first() -> None:
    words = "Node didn't have enough resource: cpu, requested: 600, used: 600, capacity: 1000"
    assert reasons([pod("a", 2), pod("b", 1)]) == {"a": words}
    assert reasons([pod("a", 1), pod("b", 1)]) == {"b": words}


def test_what_was_refused_takes_no_room() -> None:
    assert set(reasons([pod("big", 1, "2"), pod("small", 2, "400m"), pod("next", 3)])) == {"big"}


def test_what_has_begun_is_never_refused() -> None:
    here = [pod("a", 1), pod("b", 2, startTime="2026-01-01T00:00:00Z"), pod("c", 3)]
    assert set(reasons(here)) == {"a", "c"}
    assert set(reasons(here, "c")) == {"a"}
    full = [pod(name, startTime="2026-01-01T00:00:00Z") for name in "abc"]
    assert reasons(full) == {}


def test_what_has_ended_gives_its_room_back() -> None:
    assert reasons([pod("a", 1, phase="Succeeded", startTime="2026-01-01T00:00:00Z"), pod("b", 2)]) == {}


def test_a_verdict_stands() -> None:
    judge = admission.Admission(lambda uid: False)
    first, second = pod("a", 1), pod("b", 2)
    assert judge.judge(second, NODE, [first, second]) is not None
    ended = {**first, "status": {"phase": "Failed"}}
    assert judge.judge(second, NODE, [ended, second]) is not None
    assert judge.judge(pod("c", 3), NODE, [ended, second, pod("c", 3)]) is None


def test_a_refused_pod_fails_and_says_why() -> None:
    refusal = Refusal("OutOfcpu", "Node didn't have enough resource: cpu, requested: 600, used: 500, capacity: 1000")
    patch, event = decisions.plan_refused(pod("a"), refusal, 0.0).actions
    assert patch.patch["status"] == {  # type: ignore[union-attr]
        "phase": "Failed",
        "reason": "OutOfcpu",
        "message": f"Pod was rejected: {refusal.message}",
        "startTime": "1970-01-01T00:00:00Z",
        "observedGeneration": 1,
    }
    assert (event.type, event.reason, event.message) == ("Warning", "OutOfcpu", refusal.message)  # type: ignore[union-attr]
