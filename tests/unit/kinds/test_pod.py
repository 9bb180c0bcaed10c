"""Pods: what they default to, what kubectl shows of them, when they are ready, done or unhealthy."""

from typing import Any

import pytest

from reconciler.kinds import pod
from reconciler.model import meta

NOW = 1_767_225_600.0  # 2026-01-01
EARLIER = "2025-12-31T23:00:00Z"


def made(status: dict[str, Any] | None = None, deleted: bool = False, **spec: Any) -> meta.Obj:
    metadata: dict[str, Any] = {"name": "p", "namespace": "n", "creationTimestamp": EARLIER}
    if deleted:
        metadata["deletionTimestamp"] = EARLIER
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], **spec},
        "status": status or {},
    }


def running(name: str = "a", restarts: int = 0, ready: bool = True) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": {"running": {"startedAt": EARLIER}}}


def ended(name: str = "a", code: int = 0, reason: str = "", signal: int = 0) -> dict[str, Any]:
    state = {"exitCode": code, **({"reason": reason} if reason else {}), **({"signal": signal} if signal else {})}
    return {"name": name, "ready": False, "restartCount": 0, "state": {"terminated": state}}


def waiting(name: str, reason: str) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 3, "state": {"waiting": {"reason": reason}}}


def row(obj: meta.Obj) -> dict[str, Any]:
    return {column.name: column.cell(obj, NOW) for column in pod.COLUMNS}


SIDECAR = {"name": "s", "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("obj", "ready", "status"),
    [
        (made({"phase": "Pending"}), "0/2", "Pending"),
        (made({"phase": "Running", "containerStatuses": [running("a"), running("b")]}), "2/2", "Running"),
        (made({"phase": "Running", "containerStatuses": [running("a"), waiting("b", "CrashLoopBackOff")]}), "1/2", "CrashLoopBackOff"),
        (made({"phase": "Succeeded", "containerStatuses": [ended("a", reason="Completed")]}), "0/2", "Completed"),
        (made({"phase": "Failed", "containerStatuses": [ended("a", code=3)]}), "0/2", "ExitCode:3"),
        (made({"phase": "Failed", "containerStatuses": [ended("a", code=137, signal=9)]}), "0/2", "Signal:9"),
        (made({"phase": "Failed", "reason": "Evicted"}), "0/2", "Evicted"),
        (made({"phase": "Running", "containerStatuses": [running("a")]}, deleted=True), "1/2", "Terminating"),
        (made({"phase": "Running", "reason": "NodeLost"}, deleted=True), "0/2", "Unknown"),
        (made({"phase": "Succeeded", "reason": "Completed"}, deleted=True), "0/2", "Completed"),
        (
            made({"phase": "Pending", "initContainerStatuses": [waiting("i", "PodInitializing")]}, initContainers=[{"name": "i"}]),
            "0/2",
            "Init:0/1",
        ),
        (
            made({"phase": "Pending", "initContainerStatuses": [ended("i", code=1, reason="Error")]}, initContainers=[{"name": "i"}]),
            "0/2",
            "Init:Error",
        ),
        (
            made({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}),
            "0/2",
            "SchedulingGated",
        ),
        (
            made({"initContainerStatuses": [{**running("s"), "started": True}], "containerStatuses": []}, initContainers=[SIDECAR]),
            "1/3",
            "Pending",
        ),
    ],
)
def test_what_kubectl_shows(obj: meta.Obj, ready: str, status: str) -> None:
    shown = row(obj)
    assert (shown["Ready"], shown["Status"]) == (ready, status)


def test_restarts_tell_when_the_last_was() -> None:
    last = {**running("a", restarts=2), "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2025-12-31T23:55:00Z"}}}
    assert row(made({"containerStatuses": [last, running("b", restarts=1)]}))["Restarts"] == "3 (5m ago)"
    assert row(made({"containerStatuses": [running("a")]}))["Restarts"] == "0"


def test_wide_columns_of_a_pod_without_a_node() -> None:
    shown = row(made(readinessGates=[{"conditionType": "g"}]))
    assert (shown["IP"], shown["Node"], shown["Readiness Gates"]) == ("<none>", "<none>", "0/1")
    assert shown["Age"] == "60m"


def test_readiness_and_end() -> None:
    ready = made({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    assert pod.is_ready(ready)
    assert not pod.is_terminal(ready)
    assert pod.is_terminal(made({"phase": "Failed"}))
    assert not pod.is_ready(made({"phase": "Running"}))


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ([{}, {}], "BestEffort"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}] * 2, "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}}] * 2, "Burstable"),
        ([{"requests": {"cpu": "0"}}, {}], "BestEffort"),
    ],
)
def test_quality_of_service(resources: list[dict[str, Any]], wanted: str) -> None:
    assert pod.qos_class(made(containers=[{"name": str(i), "resources": one} for i, one in enumerate(resources)])) == wanted


def test_grace_is_none_before_a_node_knows_of_the_pod() -> None:
    assert pod.grace_seconds(made(terminationGracePeriodSeconds=5)) is None
    assert pod.grace_seconds(made(terminationGracePeriodSeconds=5, nodeName="x")) == 5
    assert pod.grace_seconds(made({"phase": "Failed"}, nodeName="x")) is None


def test_defaults_fill_what_is_missing_and_nothing_else() -> None:
    given = made(containers=[{"name": "a", "image": "x:1", "resources": {"limits": {"cpu": "2"}}}], dnsPolicy="Default")
    spec = pod.default(given)["spec"]
    assert spec["dnsPolicy"] == "Default"
    assert spec["restartPolicy"] == "Always"
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "2"}
    assert given["spec"]["containers"][0] == {"name": "a", "image": "x:1", "resources": {"limits": {"cpu": "2"}}}


@pytest.mark.parametrize(("image", "policy"), [("x", "Always"), ("x:latest", "Always"), ("x:1", "IfNotPresent"), ("h:5000/x", "Always")])
def test_images_without_a_version_are_pulled_each_time(image: str, policy: str) -> None:
    spec = pod.default(made(containers=[{"name": "a", "image": image}]))["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("obj", "state"),
    [
        (made({"phase": "Succeeded"}), "Healthy"),
        (made({"phase": "Failed", "message": "no"}), "Degraded"),
        (made({"phase": "Pending", "containerStatuses": [waiting("a", "ErrImagePull")]}), "Degraded"),
        (made({"phase": "Pending"}), "Progressing"),
        (made({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), "Healthy"),
    ],
)
def test_health(obj: meta.Obj, state: str) -> None:
    assert pod.health(obj).state == state


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"podIP": "10.0.0.1"}, ("10.0.0.1", [{"ip": "10.0.0.1"}])),
        ({"podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]}, ("10.0.0.2", [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}])),
        ({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.2"}]}, ("10.0.0.1", [{"ip": "10.0.0.1"}])),
        ({}, (None, None)),
    ],
)
def test_a_pod_has_its_address_in_both_fields(sent: dict[str, Any], stored: tuple[Any, Any]) -> None:
    old = {"metadata": {"name": "p"}, "spec": {}, "status": {"qosClass": "BestEffort"}}
    status = meta.status(pod.prepare_status({**old, "status": sent}, old))
    assert (status.get("podIP"), status.get("podIPs")) == stored
