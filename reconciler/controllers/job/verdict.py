"""Whether a Job has failed or succeeded, and in what words."""

from dataclasses import dataclass
from typing import Final, Literal

from reconciler.controllers.job import policy
from reconciler.controllers.job.tally import Tally
from reconciler.kinds import job as jobs
from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.model import meta

FAILING: Final = "FailureTarget"
SUCCEEDING: Final = "SuccessCriteriaMet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The interim condition, which stands until every pod has ended, with the words for the final one."""

    type: Literal["FailureTarget", "SuccessCriteriaMet"]
    reason: str
    message: str

    @property
    def final(self) -> str:
        return "Failed" if self.type == FAILING else "Complete"


def reached(tally: Tally) -> Verdict | None:
    """What is decided before the Job's pods are looked after; None while it goes on."""
    job = tally.job
    for type in (FAILING, SUCCEEDING):
        known = jobs.condition(job, type)
        if known is not None:
            return Verdict(FAILING if type == FAILING else SUCCEEDING, str(known.get("reason")), str(known.get("message")))
    for one in tally.pods:
        match = policy.of_failure(job, one) if pod.phase(one) == "Failed" else policy.COUNT
        if match.action == "FailJob":
            return Verdict(FAILING, "PodFailurePolicy", match.message)
    limit = meta.spec(job).get("backoffLimit", jobs.BACKOFF_LIMIT)
    if tally.failed > limit or _restarted_too_often(tally, limit):
        return Verdict(FAILING, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    deadline = deadline_at(job)
    if deadline is not None and deadline <= tally.now:
        return Verdict(FAILING, "DeadlineExceeded", "Job was active longer than specified deadline")
    return _of_indexes(tally) if jobs.is_indexed(job) else None


def completed(tally: Tally, active: int) -> Verdict | None:
    """Whether the completions are there, once the pods were looked after and `active` of them go on."""
    wanted = jobs.completions(tally.job)
    enough = tally.succeeded > 0 if wanted is None else tally.succeeded >= wanted
    return Verdict(SUCCEEDING, "CompletionsReached", "Reached expected number of succeeded pods") if enough and not active else None


def deadline_at(job: meta.Obj) -> float | None:
    seconds, started = meta.spec(job).get("activeDeadlineSeconds"), meta.status(job).get("startTime")
    if seconds is None or not started or jobs.is_suspended(job):
        return None
    return clocks.parse_rfc3339(started) + float(seconds)


def _of_indexes(tally: Tally) -> Verdict | None:
    job, failed, succeeded = tally.job, tally.failed_indexes, tally.succeeded_indexes
    most = meta.spec(job).get("maxFailedIndexes")
    if most is not None and len(failed) > most:
        return Verdict(FAILING, "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
    if failed and len(failed) + len(succeeded) >= (jobs.completions(job) or 0):
        return Verdict(FAILING, "FailedIndexes", "Job has failed indexes")
    message = policy.success(job, succeeded)
    return Verdict(SUCCEEDING, "SuccessPolicy", message) if message else None


def _restarted_too_often(tally: Tally, limit: int) -> bool:
    template = (meta.spec(tally.job).get("template") or meta.EMPTY).get("spec") or meta.EMPTY
    if template.get("restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for one in tally.active:
        if pod.phase(one) in ("Running", "Pending"):
            statuses = (*pod.container_statuses(one), *(meta.status(one).get("initContainerStatuses") or ()))
            restarts += sum(int(status.get("restartCount") or 0) for status in statuses)
    return restarts > 0 if limit == 0 else restarts >= limit
