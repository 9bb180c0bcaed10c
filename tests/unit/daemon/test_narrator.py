"""Which changes are told at the terminal, and in which words."""

from typing import Any

import pytest

from reconciler import kinds
from reconciler.daemon import narrator

ROSTER = kinds.builtin()


def obj(name: str = "a", namespace: str = "default", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, **more.pop("metadata", {})}, **more}


def pod(phase: str, ready: bool = False, restarts: int = 0, waiting: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return obj(status={"phase": phase, "conditions": conditions, "containerStatuses": [{"restartCount": restarts, "state": state}]})


def node(ready: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "n", "labels": labels}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def said(kind: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> str | None:
    return narrator.line(ROSTER[kind], old, new)


def test_what_comes_changes_and_goes() -> None:
    before, after = obj(spec={"replicas": 1}), obj(spec={"replicas": 2})
    assert said("deployments.apps", None, before) == "+ deployment default/a"
    assert said("deployments.apps", before, after) == "~ deployment default/a: spec.replicas 1 -> 2"
    assert said("deployments.apps", after, None) == "- deployment default/a"
    assert said("deployments.apps", before, {**before, "status": {"replicas": 1}}) is None
    leaving = obj(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert said("namespaces", obj(), leaving) == "- namespace default/a (terminating)"


def test_pods_by_their_state() -> None:
    assert said("pods", pod("Pending"), pod("Running", ready=True)) == "~ pod default/a: Running, ready"
    assert said("pods", pod("Running"), pod("Running", restarts=2, waiting="CrashLoopBackOff")) == (
        "~ pod default/a: Running, CrashLoopBackOff, 2 restarts"
    )
    assert said("pods", pod("Running"), {**pod("Running"), "spec": {"x": 1}}) is None


def test_nodes_by_whether_they_are_ready() -> None:
    assert said("nodes", node("False"), node("True")) == "~ node n: ready"
    assert said("nodes", node("True"), node("Unknown")) == "~ node n: not ready"
    assert said("nodes", node("True"), node("True", zone="b")) is None


def test_a_node_that_is_short_of_something_says_of_what() -> None:
    short = {"type": "DiskPressure", "status": "True", "message": "kubelet has disk pressure: a figure"}
    full = {**node("True"), "status": {"conditions": [*node("True")["status"]["conditions"], short]}}
    assert said("nodes", node("True"), full) == "~ node n: ready; kubelet has disk pressure: a figure"
    assert said("nodes", full, node("True")) == "~ node n: ready"


def test_a_pod_that_was_evicted_says_why() -> None:
    evicted = obj(status={"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "})
    assert said("pods", pod("Running"), evicted) == "~ pod default/a: Failed, Evicted: The node was low on resource: memory."


@pytest.mark.parametrize(
    ("kind", "new"),
    [
        ("events", obj()),
        ("apiservices.apiregistration.k8s.io", obj("v1.")),
        ("configmaps", obj("kube-root-ca.crt")),
        ("serviceaccounts", obj("default")),
        ("configmaps", obj("a", "kube-system")),
        ("namespaces", {"metadata": {"name": "kube-public"}}),
        ("clusterroles.rbac.authorization.k8s.io", obj(metadata={"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}})),
    ],
)
def test_what_every_cluster_has_is_no_news(kind: str, new: dict[str, Any]) -> None:
    assert said(kind, None, new) is None
