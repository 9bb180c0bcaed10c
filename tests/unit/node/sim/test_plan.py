"""The life of a pod on a simulated node, step by step on a clock of its own."""

from typing import Any

from reconciler.kit import clock as clocks
from reconciler.model import meta, plan
from reconciler.node.sim import plan as lives
from reconciler.placement import admission

START = clocks.parse_rfc3339("2026-01-01T00:00:00Z")


class Node:
    """Writes what the plan says into the pod, as the API would."""

    def __init__(self, restart: str = "Always", ready_gates: tuple[str, ...] = (), **annotations: str) -> None:
        self.now = START
        self.pod: dict[str, Any] | None = {
            "metadata": {
                "name": "p",
                "namespace": "d",
                "uid": "u",
                "generation": 1,
                "annotations": {f"{lives.PREFIX}{name.replace('_', '-')}": value for name, value in annotations.items()},
            },
            "spec": {
                "nodeName": "n",
                "restartPolicy": restart,
                "containers": [{"name": "c", "image": "i"}],
                "readinessGates": [{"conditionType": gate} for gate in ready_gates],
            },
            "status": {"phase": "Pending"},
        }

    def settle(self, refusal: admission.Refusal | None = None) -> float | None:
        """Perform steps until there is nothing to do now; when to look again, from the start."""
        for _ in range(10):
            if self.pod is None:
                return None
            step = lives.next_step(self.pod, refusal, "10.0.0.9", self.now)
            if isinstance(step.action, plan.Delete):
                self.pod = None
            elif step.action is not None:
                self.pod = {**self.pod, "status": {**meta.status(self.pod), **step.action.patch["status"]}}
            else:
                return None if step.again_at is None else step.again_at - START
        raise AssertionError("the plan never settles")

    @property
    def status(self) -> dict[str, Any]:
        assert self.pod is not None
        return dict(self.pod["status"])

    def condition(self, kind: str) -> str:
        return next(str(one["status"]) for one in self.status["conditions"] if one["type"] == kind)


def test_starts_ready_at_once() -> None:
    node = Node()
    assert node.settle() is None
    assert node.status["phase"] == "Running"
    assert node.status["podIP"] == "10.0.0.9"
    assert node.condition("Ready") == "True"
    assert node.status["containerStatuses"][0]["state"] == {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def test_ready_later_and_never() -> None:
    node = Node(ready_seconds="5")
    assert node.settle() == 5.0
    assert node.condition("Ready") == "False"
    node.now += 5
    assert node.settle() is None
    assert node.condition("Ready") == "True"
    never = Node(never_ready="true")
    assert never.settle() is None
    assert never.condition("Ready") == "False"


def test_readiness_gates() -> None:
    node = Node(ready_gates=("example.com/g",))
    node.settle()
    assert node.condition("ContainersReady") == "True"
    assert node.condition("Ready") == "False"


def test_runs_to_completion() -> None:
    for restart, code, phase in (("Never", "0", "Succeeded"), ("Never", "3", "Failed"), ("OnFailure", "0", "Succeeded")):
        node = Node(restart=restart, run_seconds="7", exit_code=code)
        assert node.settle() == 7.0
        node.now += 7
        assert node.settle() is None
        assert node.status["phase"] == phase
        assert node.status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == int(code)


def test_restarts_with_back_off() -> None:
    node = Node(run_seconds="1", exit_code="1")
    node.settle()
    node.now += 1
    assert node.settle() == 11.0
    assert node.status["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert node.condition("Ready") == "False"
    node.now += 10
    node.settle()
    assert node.status["containerStatuses"][0]["restartCount"] == 1
    assert node.condition("Ready") == "True"
    node.now += 1
    assert node.settle() == 32.0  # the back-off has doubled


def test_deletion_honours_the_grace_period() -> None:
    for stop, seconds in (("0", None), ("4", 4.0), ("99", 30.0)):
        node = Node(stop_seconds=stop)
        node.settle()
        assert node.pod is not None
        node.pod["metadata"].update(deletionTimestamp=clocks.rfc3339(START + 30), deletionGracePeriodSeconds=30)
        assert node.settle() == seconds
        node.now += 30
        assert node.settle() is None
        assert node.pod is None


def test_refused_pods_fail() -> None:
    node = Node()
    assert node.settle(admission.Refusal("OutOfcpu", "no CPU")) is None
    assert (node.status["phase"], node.status["reason"]) == ("Failed", "OutOfcpu")


def test_a_pod_that_was_taken_for_lost_is_ready_again() -> None:
    node = Node()
    node.settle()
    assert node.pod is not None
    lost = [{**one, "status": "False"} if one["type"] == "Ready" else one for one in node.status["conditions"]]
    node.pod = {**node.pod, "status": {**node.status, "conditions": lost}}
    node.settle()
    assert node.condition("Ready") == "True"
