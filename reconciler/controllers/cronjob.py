"""CronJob: Jobs on a schedule.

Upstream: pkg/controller/cronjob. Of several missed times only the latest is made up. A Job is named after its minute,
so that none is started twice; it enters `active` when it is seen, by the annotation that says for when it was made.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from reconciler.kinds import cronjob
from reconciler.kinds import job as jobs
from reconciler.kit import clock as clocks
from reconciler.model import cron, errors, meta, plan
from reconciler.model.view import OWNER, View

CRON_JOBS = "cronjobs.batch"
JOBS = "jobs.batch"
TIME_ANNOTATION = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY_MISSED = 100
SLACK_SECONDS = 0.1  # upstream's nextScheduleDelta: not to come just before the minute


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    owner = view.get(CRON_JOBS, *key)
    if owner is None:
        return plan.NOTHING
    sync = _Sync(owner, _children(view, owner), now)
    sync.look_back()
    if cronjob.is_suspended(owner):
        sync.waiting.append(plan.Waiting("spec.suspend to become false"))
    elif not meta.is_deleting(owner):
        sync.start()
    sync.clean_up()
    return plan.plan_of(sync.deletes, sync.creates, sync.emits, sync.status_update(), again_at=sync.again_at, waiting_on=sync.waiting)


def _children(view: View, owner: meta.Obj) -> list[meta.Obj]:
    found = view.by(JOBS, OWNER, meta.uid(owner))
    return [one for one in found if (meta.controller(one) or meta.EMPTY).get("uid") == meta.uid(owner)]


class _Sync:
    """One plan in the making: `active` and `status` as they will be."""

    def __init__(self, owner: meta.Obj, children: Sequence[meta.Obj], now: float) -> None:
        self.owner = owner
        self.children = children
        self.now = now
        self.status: dict[str, Any] = dict(meta.status(owner))
        self.active: list[Mapping[str, Any]] = list(self.status.get("active") or ())
        self.creates: list[plan.Action] = []
        self.deletes: list[plan.Action] = []
        self.emits: list[plan.Action] = []
        self.waiting: list[plan.Waiting] = []
        self.again_at: float | None = None

    def look_back(self) -> None:
        """Bring `active` and lastSuccessfulTime up to date with the Jobs that there are."""
        listed = {reference.get("uid") for reference in self.active}
        for one in self.children:
            if meta.uid(one) in listed:
                if jobs.is_finished(one):
                    state = "Complete" if jobs.is_complete(one) else "Failed"
                    self._say("SawCompletedJob", f"Saw completed job: {meta.name(one)}, condition: {state}")
                    self._drop(meta.uid(one))
            elif not jobs.is_finished(one):
                self._take_up(one)
            ended = str(meta.status(one).get("completionTime") or "") if jobs.is_complete(one) else ""
            if ended > str(self.status.get("lastSuccessfulTime") or ""):
                self.status["lastSuccessfulTime"] = ended
        present = {meta.uid(one) for one in self.children}
        for reference in list(self.active):
            if reference.get("uid") not in present:
                self._say("MissingJob", f"Active job went missing: {reference.get('name')}")
                self._drop(str(reference.get("uid")))

    def start(self) -> None:
        """Start a Job if its time has come, and say when to look again."""
        try:
            schedule, zone = _schedule(self.owner)
        except (ValueError, KeyError) as error:
            self._say("UnparseableSchedule", f"unparseable schedule: {cronjob.schedule(self.owner)!r} : {error}", "Warning")
            return
        moment = datetime.fromtimestamp(self.now, zone)
        following = schedule.next_after(moment)
        if following is not None:
            self.again_at = following.timestamp() + SLACK_SECONDS
            self.waiting.append(plan.Waiting(f"its next time, {following.isoformat(' ', 'minutes')}"))
        due = self._due(schedule, zone, moment)
        if due is None or self._is_late(due):
            return
        name = f"{meta.name(self.owner)}-{int(due.timestamp()) // 60}"
        if any(meta.name(one) == name for one in self.children) or self.status.get("lastScheduleTime") == _stamp(due):
            return
        policy = meta.spec(self.owner).get("concurrencyPolicy")
        if policy == "Forbid" and self.active:
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._say("JobAlreadyActive", message)
            self.waiting.append(plan.Waiting(f"Job {self.active[0].get('name')} to end"))
            return
        if policy == "Replace":
            running = {reference.get("uid") for reference in self.active}
            self._delete([one for one in self.children if meta.uid(one) in running], "a newer run replaces it")
        self.creates.append(self._creation(name, due))

    def clean_up(self) -> None:
        """Delete finished Jobs beyond the history limits, oldest first."""
        spec = meta.spec(self.owner)
        for limit, ended in (("successfulJobsHistoryLimit", jobs.is_complete), ("failedJobsHistoryLimit", jobs.is_failed)):
            if spec.get(limit) is not None:
                old = sorted(filter(ended, self.children), key=_started)
                self._delete(old[: max(0, len(old) - int(spec[limit]))], f"{limit} is {spec[limit]}")

    def status_update(self) -> list[plan.Action]:
        status = {name: value for name, value in self.status.items() if name != "active"}
        if self.active:
            status["active"] = self.active
        if status == meta.status(self.owner):
            return []
        body = meta.put(self.owner, ("status",), status)
        return [plan.Update(kind=CRON_JOBS, body=body, subresource="status", why="its Jobs changed")]

    def _take_up(self, one: meta.Obj) -> None:
        """A running Job that is not in `active`: just made by us, or by somebody else."""
        made_for = meta.annotations(one).get(TIME_ANNOTATION, "")
        if not made_for:
            self._say("UnexpectedJob", f"Saw a job that the controller did not create or forgot: {meta.name(one)}", "Warning")
            return
        self.active.append(
            {
                "kind": "Job",
                "namespace": meta.namespace(one),
                "name": meta.name(one),
                "uid": meta.uid(one),
                "apiVersion": "batch/v1",
                "resourceVersion": meta.resource_version(one),
            }
        )
        time = clocks.rfc3339(clocks.parse_rfc3339(made_for))
        self.status["lastScheduleTime"] = max(time, str(self.status.get("lastScheduleTime") or ""))

    def _due(self, schedule: cron.Schedule, zone: tzinfo, moment: datetime) -> datetime | None:
        """The latest time that has come and was not met yet."""
        earliest = clocks.parse_rfc3339(str(self.status.get("lastScheduleTime") or meta.meta(self.owner)["creationTimestamp"]))
        deadline = meta.spec(self.owner).get("startingDeadlineSeconds")
        if deadline is not None:
            earliest = max(earliest, self.now - float(deadline))
        first = schedule.next_after(datetime.fromtimestamp(earliest, zone))
        if first is None or first > moment:
            return None
        second = schedule.next_after(first)
        if second is None or second > moment:
            return first
        between = max(1.0, (second - first).total_seconds())
        missed = int((moment - first).total_seconds() / between) + 1
        if missed > MANY_MISSED:
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._say("TooManyMissedTimes", message, "Warning")
        latest = first
        following = schedule.next_after(datetime.fromtimestamp(first.timestamp() + (missed - 2) * between, zone))
        while following is not None and following <= moment:
            latest, following = following, schedule.next_after(following)
        return latest

    def _is_late(self, due: datetime) -> bool:
        deadline = meta.spec(self.owner).get("startingDeadlineSeconds")
        if deadline is None or due.timestamp() + float(deadline) >= self.now:
            return False
        self._say("MissSchedule", f"Missed scheduled time to start a job: {due:%a, %d %b %Y %H:%M:%S %z}", "Warning")
        return True

    def _creation(self, name: str, due: datetime) -> plan.Create:
        template = cronjob.job_template(self.owner)
        wanted = template.get("metadata") or meta.EMPTY
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": meta.namespace(self.owner),
            "annotations": {**(wanted.get("annotations") or {}), TIME_ANNOTATION: due.isoformat().replace("+00:00", "Z")},
            "ownerReferences": [meta.controller_reference(self.owner)],
        }
        if wanted.get("labels"):
            metadata["labels"] = wanted["labels"]
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template.get("spec") or {}}
        return plan.Create(
            kind=JOBS,
            body=body,
            why=f"{_stamp(due)} has come",
            announce=plan.Emit(regarding=self.owner, reason="SuccessfulCreate", message=f"Created job {name}"),
            refused=self._refused,
        )

    def _refused(self, error: errors.StatusError) -> Iterable[plan.Action]:
        yield plan.Emit(regarding=self.owner, reason="FailedCreate", message=f"Error creating job: {error.message}", type="Warning")

    def _delete(self, doomed: Iterable[meta.Obj], why: str) -> None:
        for one in doomed:
            self._drop(meta.uid(one))
            self.deletes.append(
                plan.Delete(
                    kind=JOBS,
                    namespace=meta.namespace(one),
                    name=meta.name(one),
                    uid=meta.uid(one),
                    propagation="Background",
                    why=why,
                    announce=plan.Emit(regarding=self.owner, reason="SuccessfulDelete", message=f"Deleted job {meta.name(one)}"),
                )
            )

    def _drop(self, uid: str) -> None:
        self.active = [reference for reference in self.active if reference.get("uid") != uid]

    def _say(self, reason: str, message: str, type: Literal["Normal", "Warning"] = "Normal") -> None:
        self.emits.append(plan.Emit(regarding=self.owner, reason=reason, message=message, type=type))


def _schedule(owner: meta.Obj) -> tuple[cron.Schedule, tzinfo]:
    """Raises ValueError for a schedule and KeyError for a zone that cannot be read."""
    zone = cronjob.time_zone(owner)
    return cron.parse(cronjob.schedule(owner)), _zone(zone) if zone else UTC


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    """The zone database is part of the installation, like the schema: read once, never changed."""
    return ZoneInfo(name)


def _started(one: meta.Obj) -> tuple[str, str]:
    return str(meta.status(one).get("startTime") or "9999"), meta.name(one)


def _stamp(moment: datetime) -> str:
    return clocks.rfc3339(moment.timestamp())


CONTROLLER = plan.Controller(name="cronjob-controller", kind=CRON_JOBS, plan=planned, follows={JOBS: plan.owner_key("CronJob")})
