"""DELETE as a decision: graces, finalizers, propagation."""

from typing import Any

import pytest

from reconciler import kinds
from reconciler.api import deletion
from reconciler.api.calls import DeleteOptions
from reconciler.model import meta

NOW = 1_700_000_000.0
POD = kinds.builtin()["pods"]
CONFIG_MAP = kinds.builtin()["configmaps"]
JOB = kinds.builtin()["jobs.batch"]
NAMESPACE = kinds.builtin()["namespaces"]


def pod(**metadata: Any) -> dict[str, Any]:
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": 30, "containers": []}
    return {"metadata": {"name": "p", "generation": 1, **metadata}, "spec": spec, "status": {"phase": "Running"}}


def test_an_object_without_ties_goes_at_once() -> None:
    assert deletion.delete(CONFIG_MAP, {"metadata": {"name": "a"}}, DeleteOptions(), NOW).gone


def test_a_running_pod_gets_its_grace() -> None:
    verdict = deletion.delete(POD, pod(), DeleteOptions(), NOW)
    assert not verdict.gone
    assert meta.meta(verdict.obj)["deletionGracePeriodSeconds"] == 30
    assert meta.meta(verdict.obj)["deletionTimestamp"] == "2023-11-14T22:13:50Z"
    assert meta.generation(verdict.obj) == 2


@pytest.mark.parametrize("change", [("spec", "nodeName"), ("status", "phase")])
def test_a_pod_that_runs_nowhere_goes_at_once(change: tuple[str, str]) -> None:
    stopped = meta.put(pod(), change, "" if change[1] == "nodeName" else "Succeeded")
    assert deletion.delete(POD, stopped, DeleteOptions(grace_seconds=60), NOW).gone


def test_a_grace_may_only_be_shortened() -> None:
    first = deletion.delete(POD, pod(), DeleteOptions(), NOW).obj
    assert deletion.delete(POD, first, DeleteOptions(grace_seconds=60), NOW + 1).obj is first
    shorter = deletion.delete(POD, first, DeleteOptions(grace_seconds=10), NOW + 1)
    assert meta.meta(shorter.obj)["deletionTimestamp"] == "2023-11-14T22:13:30Z"
    assert deletion.delete(POD, first, DeleteOptions(grace_seconds=0), NOW + 1).gone


@pytest.mark.parametrize(
    ("propagation", "finalizers"),
    [("Orphan", ("orphan",)), ("Foreground", ("foregroundDeletion",))],
)
def test_propagation_becomes_a_finalizer(propagation: Any, finalizers: tuple[str, ...]) -> None:
    verdict = deletion.delete(CONFIG_MAP, {"metadata": {"name": "a"}}, DeleteOptions(propagation=propagation), NOW)
    assert not verdict.gone
    assert meta.finalizers(verdict.obj) == finalizers
    assert meta.meta(verdict.obj)["deletionGracePeriodSeconds"] == 0


def test_jobs_leave_their_pods_behind_unless_told() -> None:
    assert meta.finalizers(deletion.delete(JOB, {"metadata": {"name": "j"}}, DeleteOptions(), NOW).obj) == ("orphan",)
    assert deletion.delete(JOB, {"metadata": {"name": "j"}}, DeleteOptions(propagation="Background"), NOW).gone


def test_a_namespace_terminates_until_its_own_finalizers_are_gone() -> None:
    namespace = {"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    verdict = deletion.delete(NAMESPACE, namespace, DeleteOptions(), NOW)
    assert not verdict.gone
    assert meta.status(verdict.obj) == {"phase": "Terminating"}
    assert not deletion.is_finished(NAMESPACE, verdict.obj)
    assert deletion.is_finished(NAMESPACE, {**verdict.obj, "spec": {}})
