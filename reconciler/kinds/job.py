"""Job: pods that run to completion."""

from collections.abc import Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.kinds.rules import jobs, pod_warnings, statuses
from reconciler.model import meta
from reconciler.model.kind import Column, Health, Kind, Version, status_of

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
OLD_UID_LABEL = "controller-uid"
OLD_NAME_LABEL = "job-name"
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
BACKOFF_LIMIT = 6
MAX_INT32 = 2**31 - 1

selector = workload.selector


def condition(job: meta.Obj, type: str) -> Mapping[str, Any] | None:
    """A condition that is true."""
    found = workload.condition(job, type)
    return found if found is not None and found.get("status") == "True" else None


def is_complete(job: meta.Obj) -> bool:
    return condition(job, "Complete") is not None


def is_failed(job: meta.Obj) -> bool:
    return condition(job, "Failed") is not None


def is_finished(job: meta.Obj) -> bool:
    return is_complete(job) or is_failed(job)


def is_suspended(job: meta.Obj) -> bool:
    return bool(meta.spec(job).get("suspend"))


def is_indexed(job: meta.Obj) -> bool:
    return meta.spec(job).get("completionMode") == "Indexed"


def parallelism(job: meta.Obj) -> int:
    wanted = meta.spec(job).get("parallelism")
    return 1 if wanted is None else int(wanted)


def completions(job: meta.Obj) -> int | None:
    """None for a work queue: done when one pod succeeded and all ended."""
    wanted = meta.spec(job).get("completions")
    return None if wanted is None else int(wanted)


def default(job: meta.Obj) -> meta.Obj:
    job = pod_defaults.inside(pod_defaults.template(job), "spec", default_spec)
    job = pod_defaults.inside(job, "spec", lambda spec: pod_defaults.filled(spec, {"manualSelector": False}))
    labels = workload.template_labels(job)
    return job if meta.labels(job) or not labels else meta.put(job, ("metadata", "labels"), labels)


def default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    if "completions" not in spec and "parallelism" not in spec:
        spec = {**spec, "completions": 1, "parallelism": 1}
    policy = spec.get("podFailurePolicy")
    spec = pod_defaults.filled(
        spec,
        {
            "parallelism": 1,
            "backoffLimit": MAX_INT32 if "backoffLimitPerIndex" in spec else BACKOFF_LIMIT,
            "completionMode": "NonIndexed",
            "suspend": False,
            "podReplacementPolicy": "Failed" if policy is not None else "TerminatingOrFailed",
        },
    )
    return pod_defaults.inside(spec, "podFailurePolicy", lambda one: pod_defaults.mapped(one, "rules", _default_rule))


def _default_rule(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    def pattern(one: Mapping[str, Any]) -> Mapping[str, Any]:
        return one if one.get("status") else {**one, "status": "True"}

    return pod_defaults.mapped(rule, "onPodConditions", pattern)


def prepare(job: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    if old is not None:
        return {**job, "status": old.get("status") or {}}
    return {**_with_selector(job), "status": {}}


def _with_selector(job: meta.Obj) -> meta.Obj:
    """Labels of the job's own uid on its pods, and a selector of them, unless the user selects by hand.

    What the user wrote there stays, for validation to refuse.
    """
    spec = meta.spec(job)
    if spec.get("manualSelector"):
        return job
    uid, name = meta.uid(job), meta.name(job)
    own = {UID_LABEL: uid, OLD_UID_LABEL: uid, NAME_LABEL: name, OLD_NAME_LABEL: name}
    given = workload.template_labels(job)
    if dict(meta.labels(job)) == dict(given):  # defaulted from the template: they are the same labels
        job = meta.put(job, ("metadata", "labels"), {**own, **given})
    job = meta.put(job, ("spec", "template", "metadata", "labels"), {**own, **given})
    chosen = spec.get("selector") or {}
    selected = {**chosen, "matchLabels": {UID_LABEL: uid, **(chosen.get("matchLabels") or {})}}
    return {**job, "spec": {**meta.spec(job), "selector": selected}}


def health(job: meta.Obj) -> Health:
    failed = condition(job, "Failed")
    if failed is not None:
        return Health("Degraded", str(failed.get("message") or failed.get("reason") or "it failed"))
    if is_complete(job):
        return Health("Healthy")
    if is_suspended(job):
        return Health("Suspended", "it is suspended")
    return Health("Progressing", f"{workload.count(job, 'succeeded')} of {completions(job) or 1} pods succeeded")


def _status_cell(job: meta.Obj) -> str:
    for type in ("Complete", "Failed"):
        if condition(job, type) is not None:
            return type
    if meta.is_deleting(job):
        return "Terminating"
    for type in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if condition(job, type) is not None:
            return type
    return "Running"


def _completions_cell(job: meta.Obj) -> str:
    succeeded = workload.count(job, "succeeded")
    wanted = completions(job)
    if wanted is not None:
        return f"{succeeded}/{wanted}"
    return f"{succeeded}/1 of {parallelism(job)}" if parallelism(job) > 1 else f"{succeeded}/1"


def _duration_cell(job: meta.Obj, now: float) -> str:
    status = meta.status(job)
    if not status.get("startTime"):
        return ""
    started = columns.seconds_of(status["startTime"])
    ended = columns.seconds_of(status["completionTime"]) if status.get("completionTime") else now
    return columns.human_duration(ended - started)


KIND = Kind(
    group="batch",
    kind="Job",
    plural="jobs",
    singular="job",
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.batch.v1.Job", default=default),),
    subresources=(status_of("Job"),),
    prepare=prepare,
    prepare_status=workload.keep_spec,
    validate_status=statuses.job,
    validate=jobs.job,
    warn=pod_warnings.of_workload,
    has_generation=True,
    columns=(
        columns.NAME,
        columns.column("Status", _status_cell, "Status of the job."),
        columns.column("Completions", _completions_cell, "@status.succeeded"),
        Column(name="Duration", cell=_duration_cell, description="Time required to complete the job."),
        columns.AGE,
        *columns.of_template(columns.template_spec),
        columns.column("Selector", lambda job: columns.selector_text(meta.spec(job).get("selector")), "@spec.selector", wide=True),
    ),
    selectable_fields={"status.successful": lambda job: str(workload.count(job, "succeeded"))},
    health=health,
    order=60,
)
