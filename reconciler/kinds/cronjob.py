"""CronJob: Jobs on a schedule."""

from collections.abc import Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.model import meta
from reconciler.model.kind import Column, Health, Kind, Version, status_of


def schedule(cron_job: meta.Obj) -> str:
    return str(meta.spec(cron_job).get("schedule") or "")


def time_zone(cron_job: meta.Obj) -> str:
    return str(meta.spec(cron_job).get("timeZone") or "")


def is_suspended(cron_job: meta.Obj) -> bool:
    return bool(meta.spec(cron_job).get("suspend"))


def job_template(cron_job: meta.Obj) -> Mapping[str, Any]:
    return meta.spec(cron_job).get("jobTemplate") or meta.EMPTY


def default(cron_job: meta.Obj) -> meta.Obj:
    def spec(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        wanted = pod_defaults.filled(
            wanted, {"concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1}
        )
        return pod_defaults.inside(wanted, "jobTemplate", pod_defaults.template)

    return pod_defaults.inside(cron_job, "spec", spec)


def health(cron_job: meta.Obj) -> Health:
    return Health("Suspended", "it is suspended") if is_suspended(cron_job) else Health("Healthy")


def _template_spec(cron_job: meta.Obj) -> Mapping[str, Any]:
    return columns.template_spec(job_template(cron_job))


def _last_cell(cron_job: meta.Obj, now: float) -> str:
    last = meta.status(cron_job).get("lastScheduleTime")
    return columns.since(last, now) if last else columns.NONE


KIND = Kind(
    group="batch",
    kind="CronJob",
    plural="cronjobs",
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.batch.v1.CronJob", default=default),),
    subresources=(status_of("CronJob"),),
    prepare=workload.keep_status,
    prepare_status=workload.keep_spec,
    has_generation=True,
    columns=(
        columns.NAME,
        columns.column("Schedule", schedule, "@spec.schedule"),
        columns.column("Timezone", lambda c: time_zone(c) or columns.NONE, "@spec.timeZone"),
        columns.column("Suspend", lambda c: str(is_suspended(c)), "@spec.suspend", type="boolean"),
        columns.column("Active", lambda c: len(meta.status(c).get("active") or ()), "@status.active", type="integer"),
        Column(name="Last Schedule", cell=_last_cell, description="@status.lastScheduleTime"),
        columns.AGE,
        *columns.of_template(_template_spec),
        columns.column(
            "Selector",
            lambda c: columns.selector_text((job_template(c).get("spec") or {}).get("selector")),
            "@spec.jobTemplate.spec.selector",
            wide=True,
        ),
    ),
    health=health,
    order=60,
)
