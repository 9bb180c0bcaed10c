"""A pod's status in the kubelet's words."""

from typing import Any

import pytest

from reconciler.node import observed, status
from tests.unit.node.pods import NODE, NOW, container, pod, seen


def of(obj: dict[str, Any], obs: observed.Pod, **more: Any) -> dict[str, Any]:
    return status.of_pod(obj, obs, NODE, NOW, **more)


def conditions(found: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in found["conditions"]}


def test_creating() -> None:
    found = of(pod(), observed.NOTHING)
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(found) == {
        "PodReadyToStartContainers": "False", "Initialized": "True", "Ready": "False", "ContainersReady": "False", "PodScheduled": "True",
    }  # fmt: skip
    ready = next(one for one in found["conditions"] if one["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [main]")


def test_running() -> None:
    found = of(pod(), seen(container()))
    assert (found["phase"], found["podIP"], found["hostIP"]) == ("Running", "10.1.0.2", "10.0.0.1")
    one = found["containerStatuses"][0]
    assert (one["ready"], one["started"], one["containerID"]) == (True, True, "process://main0")
    assert set(conditions(found).values()) == {"True"}


def test_initializing() -> None:
    obj = pod(initContainers=[{"name": "one"}])
    found = of(obj, seen(container("one")))
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    initialized = next(one for one in found["conditions"] if one["type"] == "Initialized")
    assert initialized["message"] == "containers with incomplete status: [one]"


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (container(state="exited"), "Completed"),
        (container(state="exited", exit_code=1), "Error"),
        (container(state="exited", exit_code=137, oom_killed=True), "OOMKilled"),
        (container(state="exited", exit_code=128, reason="StartError"), "StartError"),
        (container(state="unknown", exit_code=137), "ContainerStatusUnknown"),
    ],
)
def test_how_containers_end(ended: Any, reason: str) -> None:
    found = of(pod(restartPolicy="Never"), seen(ended))
    assert found["containerStatuses"][0]["state"]["terminated"]["reason"] == reason
    assert found["phase"] == ("Succeeded" if ended.exit_code == 0 else "Failed")


def test_crash_loop() -> None:
    ended = container(state="exited", attempt=4, exit_code=1)
    found = of(pod(), seen(ended, back_offs={"main": observed.BackOff(160.0, NOW - 30)}))
    one = found["containerStatuses"][0]
    message = "back-off 2m40s restarting failed container=main pod=web_default(u1)"
    assert one["state"]["waiting"] == {"reason": "CrashLoopBackOff", "message": message}
    assert one["lastState"]["terminated"]["exitCode"] == 1
    assert (found["phase"], one["restartCount"]) == ("Running", 4)


def test_probes_and_hooks_decide_readiness() -> None:
    unready = of(pod(), seen(container(), probes={("main", 0): observed.Probed(ready=False)}))
    assert conditions(unready)["Ready"] == "False"
    assert unready["containerStatuses"][0]["started"] is True
    hooked = of(pod(), seen(container(), hooks={("main", 0): observed.Hook("running")}))
    assert hooked["containerStatuses"][0]["started"] is False


def test_readiness_gates() -> None:
    found = of(pod(readinessGates=[{"conditionType": "example.com/lb"}]), seen(container()))
    ready = next(one for one in found["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert conditions(found)["ContainersReady"] == "True"


def test_transition_times_and_foreign_conditions_stay() -> None:
    obj = pod()
    old = {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    foreign = {"type": "example.com/lb", "status": "True"}
    obj["status"]["conditions"] = [old, foreign]
    found = of(obj, seen(container()))
    ready = next(one for one in found["conditions"] if one["type"] == "Ready")
    assert ready["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    assert foreign in found["conditions"]


def test_image_failures() -> None:
    failure = observed.Failure("ImagePullBackOff", 'Back-off pulling image "x"', NOW, NOW + 10)
    found = of(pod(), seen(failures={"main": failure}))
    assert found["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff"
    assert found["phase"] == "Pending"


def test_sidecars_hold_the_end() -> None:
    obj = pod(initContainers=[{"name": "side", "restartPolicy": "Always"}], restartPolicy="Never")
    done = container(state="exited")
    assert of(obj, seen(container("side"), done))["phase"] == "Running"
    stopped = container("side", "exited", exit_code=137)
    assert of(obj, seen(stopped, done), over=True)["phase"] == "Succeeded"
