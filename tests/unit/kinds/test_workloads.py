"""Deployments, sets and jobs: defaults, what may not change, and when they are well."""

from typing import Any

import pytest

from reconciler import kinds
from reconciler.kinds import cronjob, daemonset, deployment, job, replicaset, statefulset
from reconciler.model import meta

TEMPLATE: dict[str, Any] = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
SELECTOR = {"matchLabels": {"a": "b"}}


def made(kind: str, status: dict[str, Any] | None = None, generation: int = 1, **spec: Any) -> meta.Obj:
    record = kinds.builtin()[kind]
    obj = {
        "apiVersion": record.api_version(record.hub_version.name),
        "kind": record.kind,
        "metadata": {"name": "x", "namespace": "n", "uid": "u", "generation": generation},
        "spec": {"template": TEMPLATE, "selector": SELECTOR, **spec},
    }
    defaulted = record.hub_version.default(obj)
    return {**record.prepare(defaulted, None), **({"status": status} if status is not None else {})}


def causes(obj: meta.Obj, old: meta.Obj | None = None, kind: str = "") -> list[str]:
    record = next(one for one in kinds.builtin() if one.kind == (kind or obj["kind"]))
    return [str(cause.path) for cause in record.validate(obj, old)]


@pytest.mark.parametrize("kind", ["deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps"])
def test_a_minimal_workload_is_fit(kind: str) -> None:
    assert causes(made(kind)) == []


@pytest.mark.parametrize("kind", ["deployments.apps", "replicasets.apps", "daemonsets.apps"])
def test_a_selector_must_choose_the_template_and_never_changes(kind: str) -> None:
    other = {"matchLabels": {"a": "z"}}
    old = made(kind)
    assert causes(made(kind, selector=other)) == ["spec.template.metadata.labels"]
    assert "spec.selector" in causes(made(kind, selector=other), old)


def test_deployment_defaults() -> None:
    spec = made("deployments.apps")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    assert made("deployments.apps", strategy={"type": "Recreate"})["spec"]["strategy"] == {"type": "Recreate"}


def test_a_rollout_must_be_able_to_move() -> None:
    stuck = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}
    assert causes(made("deployments.apps", strategy=stuck)) == ["spec.strategy.rollingUpdate.maxUnavailable"]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, "Progressing"),
        ({"observedGeneration": 1, "updatedReplicas": 1, "replicas": 2, "availableReplicas": 1}, "Progressing"),
        ({"observedGeneration": 1, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}, "Progressing"),
        ({"observedGeneration": 1, "updatedReplicas": 2, "replicas": 3, "availableReplicas": 2}, "Progressing"),
        ({"observedGeneration": 1, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}, "Healthy"),
        ({"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}, "Degraded"),
    ],
)
def test_deployment_health(status: dict[str, Any], state: str) -> None:
    assert deployment.health(made("deployments.apps", status, replicas=2)).state == state


def test_a_replica_set_counts_its_pods() -> None:
    obj = made("replicasets.apps", {"readyReplicas": 2, "availableReplicas": 1}, replicas=3)
    assert (replicaset.ready_replicas(obj), replicaset.available_replicas(obj)) == (2, 1)


def test_what_may_change_of_a_stateful_set() -> None:
    old = made("statefulsets.apps", serviceName="s")
    assert causes(made("statefulsets.apps", serviceName="s", replicas=5), old) == []
    assert causes(made("statefulsets.apps", serviceName="t"), old) == ["spec"]
    assert statefulset.partition(old) == 0


def test_a_daemon_set_counts_its_templates() -> None:
    record = kinds.builtin()["daemonsets.apps"]
    first = made("daemonsets.apps")
    assert meta.annotations(first)[daemonset.GENERATION_ANNOTATION] == "1"
    changed = meta.put(first, ("spec", "template", "metadata", "labels", "v"), "2")
    second = record.prepare(changed, first)
    assert meta.annotations(second)[daemonset.GENERATION_ANNOTATION] == "2"
    assert meta.annotations(record.prepare(second, second))[daemonset.GENERATION_ANNOTATION] == "2"


def jobs(**spec: Any) -> meta.Obj:
    template = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
    return made("jobs.batch", template=template, selector=None, **spec)


def test_a_job_chooses_its_pods_by_its_own_uid() -> None:
    obj = jobs()
    assert obj["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert obj["spec"]["template"]["metadata"]["labels"]["job-name"] == "x"
    assert (job.parallelism(obj), job.completions(obj)) == (1, 1)
    assert causes(obj) == []


def test_a_work_queue_has_no_completions() -> None:
    assert job.completions(jobs(parallelism=3)) is None


def test_completions_do_not_change_but_parallelism_may() -> None:
    old = jobs(completions=2)
    assert "spec.completions" in causes(jobs(completions=3), old)
    assert causes({**old, "spec": {**old["spec"], "parallelism": 4}}, old) == []


def test_the_end_of_a_job() -> None:
    done = {**jobs(), "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    assert job.is_finished(done)
    assert job.health(done).state == "Healthy"
    failed = {**jobs(), "status": {"conditions": [{"type": "Failed", "status": "True", "message": "m"}]}}
    assert job.health(failed).message == "m"


def scheduled(**spec: Any) -> meta.Obj:
    job_spec = {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}
    obj = {"kind": "CronJob", "metadata": {"name": "x"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job_spec}, **spec}}
    return cronjob.default(obj)


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({}, []),
        ({"schedule": "* * *"}, ["spec.schedule"]),
        ({"schedule": "TZ=UTC * * * * *"}, ["spec.schedule"]),
        ({"timeZone": "Europe/Berlin"}, []),
        ({"timeZone": "Nowhere/Land"}, ["spec.timeZone"]),
        ({"concurrencyPolicy": "Maybe"}, ["spec.concurrencyPolicy"]),
        ({"successfulJobsHistoryLimit": -1}, ["spec.successfulJobsHistoryLimit"]),
    ],
)
def test_cron_jobs(spec: dict[str, Any], paths: list[str]) -> None:
    assert causes(scheduled(**spec)) == paths
