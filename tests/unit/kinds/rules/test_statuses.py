from typing import Any

from reconciler.kinds.rules import statuses


def job(**status: Any) -> dict[str, Any]:
    return {"kind": "Job", "metadata": {"name": "j"}, "spec": {}, "status": status}


def condition(kind: str) -> dict[str, str]:
    return {"type": kind, "status": "True"}


def test_a_job_is_complete_only_after_its_criteria_are_met() -> None:
    done = job(conditions=[condition("Complete")], startTime="2026-01-01T00:00:00Z", completionTime="2026-01-01T00:00:01Z")
    assert [error.path for error in statuses.job(done, job())] == ["status.conditions"]
    done["status"]["conditions"].insert(0, condition("SuccessCriteriaMet"))
    assert not list(statuses.job(done, job()))


def test_what_is_terminal_stays() -> None:
    refused = list(statuses.job(job(), job(conditions=[condition("FailureTarget")])))
    assert [error.message for error in refused] == ["Invalid value: cannot disable the terminal FailureTarget=True condition"]


def test_counts_of_a_deployment_agree_with_each_other() -> None:
    status = {"replicas": 1, "readyReplicas": 5, "availableReplicas": 1}
    refused = list(statuses.deployment({"status": status}, None))
    assert [(error.path, error.message) for error in refused] == [
        ("status.readyReplicas", "Invalid value: 5: cannot be greater than status.replicas")
    ]


def test_only_load_balancers_have_an_ingress() -> None:
    status = {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}
    assert [error.path for error in statuses.load_balancer("s", {"type": "ClusterIP"}, status)] == ["s.ingress"]
    assert not list(statuses.load_balancer("s", {"type": "LoadBalancer"}, status))
