"""CronJob: Jobs on a schedule."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.kinds.rules import check, jobs, pod_warnings, timezones
from reconciler.model import cron, errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Column, Health, Kind, Version, status_of

NAME_MOST = 52  # its Jobs' names add eleven characters


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


def validate(cron_job: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(cron_job)
    if not schedule(cron_job):
        yield errors.required("spec.schedule")
    else:
        yield from _validate_schedule(schedule(cron_job), spec.get("timeZone"))
    yield from check.non_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    if spec.get("timeZone") is not None and (old is None or meta.spec(old).get("timeZone") != spec["timeZone"]):
        yield from _validate_zone(spec["timeZone"])
    yield from check.required_one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy", ""), ("Allow", "Forbid", "Replace"))
    yield from _validate_template("spec.jobTemplate.spec", job_template(cron_job).get("spec") or {})
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from check.non_negative(f"spec.{field}", spec.get(field))
    if old is None and len(meta.name(cron_job)) > NAME_MOST:
        yield errors.invalid("metadata.name", meta.name(cron_job), f"must be no more than {NAME_MOST} characters")


def _validate_schedule(text: str, zone: str | None) -> Iterator[FieldError]:
    path = "spec.schedule"
    try:
        cron.parse(text)
    except ValueError as error:
        yield errors.invalid(path, text, str(error))
    if "TZ" in text:
        if zone is None:
            yield errors.invalid(path, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
        else:
            yield errors.invalid(path, text, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def _validate_zone(zone: str) -> Iterator[FieldError]:
    path = "spec.timeZone"
    if not zone:
        yield errors.invalid(path, zone, "timeZone must be nil or non-empty string")
        return
    if zone.lower() == "local":
        yield errors.invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")
    if zone not in timezones.NAMES and zone != "Local":
        yield errors.invalid(path, zone, f"unknown time zone {zone}")


def _validate_template(path: str, spec: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from jobs.spec(path, spec)
    if spec.get("selector") is not None:
        yield errors.invalid(f"{path}.selector", check.shown_selector(spec["selector"]), "`selector` will be auto-generated")
    if spec.get("manualSelector"):
        yield errors.not_supported(f"{path}.manualSelector", True, ("nil", "false"))


def warn(cron_job: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    if old is None:
        yield from pod_warnings.of_name(cron_job)
    elif meta.spec(cron_job) == meta.spec(old):
        return
    made = (job_template(cron_job).get("spec") or meta.EMPTY).get("template") or meta.EMPTY
    yield from pod_warnings.of_template("spec.jobTemplate.spec.template", made)


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
    metadata_on_update="changes",
    plural="cronjobs",
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.batch.v1.CronJob", default=default),),
    subresources=(status_of("CronJob"),),
    prepare=workload.keep_status,
    prepare_status=workload.keep_spec,
    validate=validate,
    warn=warn,
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
