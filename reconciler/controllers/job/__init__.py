"""Job: pods that run to completion, each counted once.

Upstream: pkg/controller/job. A plan deletes or makes pods, then writes what it saw into the status, then takes the
finalizers of what was written; the next plan counts it. `tally.py` counts, `verdict.py` judges, `policy.py` knows
what a failure means, `bodies.py` makes pods. Jobs that somebody else manages are left alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.controllers import claims, pods, ranking
from reconciler.controllers.job import bodies, indexes, policy, verdict
from reconciler.controllers.job.tally import MAX_UNCOUNTED, Tally
from reconciler.kinds import job as jobs
from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.model import conditions, errors, meta, plan
from reconciler.model.view import OWNER, View

JOBS = "jobs.batch"
GATHER_SECONDS = 1.0  # syncJobBatchPeriod: the pods of a Job start and end at nearly the same time
OURSELVES = "kubernetes.io/job-controller"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    job = view.get(JOBS, *key)
    if job is None or meta.spec(job).get("managedBy") not in (None, OURSELVES) or jobs.is_finished(job):
        return plan.NOTHING
    claimed = claims.claim(view, job, pods.PODS, jobs.selector(job))
    sync = _Sync(view, Tally(job, claimed.owned, now))
    sync.decide()
    return sync.planned(claimed.actions)


class _Sync:
    """One plan in the making."""

    def __init__(self, view: View, tally: Tally) -> None:
        self.view = view
        self.tally = tally
        self.job = tally.job
        self.now = tally.now
        self.verdict: verdict.Verdict | None = None
        self.releases: list[plan.Update] = []  # pods that go without being counted
        self.deletes: list[plan.Action] = []
        self.creates: list[plan.Create] = []
        self.emits: list[plan.Emit] = []
        self.due: list[float] = []

    def decide(self) -> None:
        tally = self.tally
        self.verdict = verdict.reached(tally)
        if self.verdict is not None:
            self._remove(tally.active, is_counted=self.verdict.type == verdict.FAILING, why=self.verdict.message)
            return
        if meta.is_deleting(self.job):
            return
        self._manage()
        self.verdict = verdict.completed(tally, self.active)
        deadline = verdict.deadline_at(self.job)
        if deadline is not None and self.verdict is None:
            self.due.append(deadline)

    @property
    def active(self) -> int:
        return len(self.tally.active) + len(self.creates) - len(self.deletes)

    def planned(self, claiming: Iterable[plan.Action]) -> plan.Plan:
        status = self._status()
        finals = self._finish(status)
        update = self._status_update(status)
        removals = [
            plan.Update(kind=pods.PODS, body=bodies.untracked(one), why="the Job's status holds it now") for one in self._recorded(status)
        ]
        goes_on = removals or (update and self.verdict is not None and not finals)  # what follows waits for nobody else
        return plan.plan_of(
            claiming,
            self.releases,
            self.deletes,
            self.creates,
            update,
            [*self.emits, *finals],
            removals,
            again_at=self.now if goes_on else min(self.due, default=None),
            waiting_on=self._waiting(),
        )

    # Which pods there should be.

    def _manage(self) -> None:
        tally = self.tally
        if jobs.is_suspended(self.job):
            self._remove(tally.active, is_counted=False, why="the Job is suspended")
            return
        wanted = self._wanted()
        surplus = self._surplus(max(0, len(tally.active) - wanted))
        if surplus:
            self._remove(surplus, is_counted=False, why=f"{wanted} active pods are wanted")
            return
        waits = tally.terminating if meta.spec(self.job).get("podReplacementPolicy") == "Failed" else 0
        missing = min(wanted - waits - len(tally.active), plan.MAX_CREATES)
        if missing <= 0:
            return
        per_index = meta.spec(self.job).get("backoffLimitPerIndex") is not None
        next_try_at = self.now if per_index else tally.next_try_at()
        if next_try_at > self.now:
            self.due.append(next_try_at)
            return
        self._make(self._pending_indexes(missing) if jobs.is_indexed(self.job) else [None] * missing)

    def _wanted(self) -> int:
        tally, completions, parallelism = self.tally, jobs.completions(self.job), jobs.parallelism(self.job)
        if completions is None:
            return len(tally.active) if tally.succeeded else parallelism
        return max(0, min(parallelism, completions - tally.succeeded))

    def _surplus(self, at_least: int) -> list[meta.Obj]:
        """Pods without a place of their own first, then those that can best be spared."""
        active, doomed = list(self.tally.active), []
        if jobs.is_indexed(self.job):
            seen: set[int] = set()
            taken = self.tally.succeeded_indexes | self.tally.failed_indexes
            for one in sorted(active, key=lambda each: (not pod.is_scheduled(each), not pod.is_ready(each), meta.name(each))):
                index = bodies.index_of(one)
                if index is None or index in seen or index in taken or not self.tally.has_place(one):
                    doomed.append(one)
                else:
                    seen.add(index)
        gone = set(map(id, doomed))
        rest = [one for one in active if id(one) not in gone]
        doomed += ranking.first_to_go(rest, max(0, at_least - len(doomed)), rest, self.now) if at_least > len(doomed) else []
        return doomed[: plan.MAX_CREATES]

    def _pending_indexes(self, most: int) -> list[int | None]:
        tally = self.tally
        busy = {bodies.index_of(one) for one in tally.active} | tally.succeeded_indexes | tally.failed_indexes
        if meta.spec(self.job).get("podReplacementPolicy") == "Failed":
            busy |= {bodies.index_of(one) for one in tally.pods if meta.is_deleting(one) and not pod.is_terminal(one)}
        found: list[int | None] = []
        for index in range(jobs.completions(self.job) or 0):
            if index in busy:
                continue
            if (next_try_at := tally.next_try_of(index)) > self.now:
                self.due.append(next_try_at)
            elif len(found) < most:
                found.append(index)
        return found

    def _make(self, wanted: Sequence[int | None]) -> None:
        names = {index: pods.free_names(self.view, pods.PODS, self.job, bodies.prefix(self.job, index)) for index in set(wanted)}
        for index in wanted:
            name = next(names[index])
            self.creates.append(
                plan.Create(
                    kind=pods.PODS,
                    body=bodies.made(self.job, name, index, self._failure_annotations(index)),
                    why="the Job has too few pods" if index is None else f"index {index} has no pod",
                    guard=plan.guard(JOBS, self.job),
                    announce=plan.Emit(regarding=self.job, reason="SuccessfulCreate", message=f"Created pod: {name}"),
                    refused=self._refused,
                )
            )

    def _failure_annotations(self, index: int | None) -> dict[str, str]:
        if index is None or meta.spec(self.job).get("backoffLimitPerIndex") is None:
            return {}
        last = self.tally.last_failures.get(index)
        if last is None:
            return {bodies.FAILURES_ANNOTATION: "0"}
        failures, ignored = bodies.failures(last), bodies.ignored_failures(last)
        if policy.of_failure(self.job, last).action == "Ignore":
            ignored += 1
        else:
            failures += 1
        return {bodies.FAILURES_ANNOTATION: str(failures)} | ({bodies.IGNORED_ANNOTATION: str(ignored)} if ignored else {})

    def _remove(self, doomed: Iterable[meta.Obj], *, is_counted: bool, why: str) -> None:
        for one in doomed:
            if not is_counted and bodies.is_tracked(one):
                self.releases.append(plan.Update(kind=pods.PODS, body=bodies.untracked(one), why=why))
            self.deletes.append(
                plan.Delete(
                    kind=pods.PODS,
                    namespace=meta.namespace(one),
                    name=meta.name(one),
                    uid=meta.uid(one),
                    why=why,
                    announce=plan.Emit(regarding=self.job, reason="SuccessfulDelete", message=f"Deleted pod: {meta.name(one)}"),
                )
            )

    # What the status says.

    def _status(self) -> dict[str, Any]:
        tally, before = self.tally, meta.status(self.job)
        status: dict[str, Any] = {}
        listed: Sequence[conditions.Condition] = before.get("conditions") or ()
        started = before.get("startTime") or clocks.rfc3339(self.now)
        if jobs.is_suspended(self.job):
            listed = self._suspended(listed)
        else:
            resumed = conditions.is_true(listed, "Suspended")
            listed = self._resumed(listed)
            status["startTime"] = clocks.rfc3339(self.now) if resumed else started
        if self.verdict is not None and jobs.condition(self.job, self.verdict.type) is None:
            listed = [*listed, self._condition(self.verdict.type, self.verdict.reason, self.verdict.message)]
        counts = {"active": self.active, "failed": tally.counted_failed, "succeeded": tally.counted_succeeded}
        uncounted = {"succeeded": list(tally.uncounted_succeeded), "failed": list(tally.uncounted_failed)}
        if jobs.is_indexed(self.job):
            counts["succeeded"] = len(tally.succeeded_indexes)
        else:
            uncounted["succeeded"] += [meta.uid(one) for one in tally.new_succeeded][: self._room(uncounted)]
        if self.verdict is None or self.verdict.type == verdict.FAILING:
            uncounted["failed"] += [meta.uid(one) for one in tally.counting(tally.new_failed)][: self._room(uncounted)]
        else:
            failed = [one for one in tally.new_failed if pod.phase(one) == "Failed"]
            uncounted["failed"] += [meta.uid(one) for one in tally.counting(failed)][: self._room(uncounted)]
        status |= {name: count for name, count in counts.items() if count}
        status |= {"ready": tally.ready, "terminating": tally.terminating}
        status["uncountedTerminatedPods"] = {name: uids for name, uids in uncounted.items() if uids}
        if tally.succeeded_indexes and jobs.is_indexed(self.job):
            status["completedIndexes"] = indexes.shown(tally.succeeded_indexes)
        if meta.spec(self.job).get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = indexes.shown(tally.failed_indexes)
        return {**status, "conditions": list(listed)} if listed else status

    def _room(self, uncounted: dict[str, list[str]]) -> int:
        return max(0, MAX_UNCOUNTED - sum(map(len, uncounted.values())))

    def _recorded(self, status: dict[str, Any]) -> list[meta.Obj]:
        """Pods whose end the status holds, or need not hold, and that may lose their finalizer."""
        tally = self.tally
        listed = {uid for uids in status["uncountedTerminatedPods"].values() for uid in uids}
        kept = {meta.uid(one) for one in tally.last_failures.values()} if self.verdict is None and not meta.is_deleting(self.job) else set()
        found, released = [], {meta.name(action.body) for action in self.releases}
        for one in tally.tracked:
            if meta.name(one) in released or meta.uid(one) in kept:
                continue
            ended = pod.is_terminal(one) or tally.is_failed(one)
            is_indexed_success = jobs.is_indexed(self.job) and pod.phase(one) == "Succeeded"
            ignored = tally.is_failed(one) and (not tally.counting([one]) or self._ends_well(one))
            if ended and (meta.uid(one) in listed or is_indexed_success or ignored or not tally.has_place(one)):
                found.append(one)
        return found

    def _ends_well(self, one: meta.Obj) -> bool:
        """A pod that was deleted because the Job had succeeded does not count as failed."""
        return self.verdict is not None and self.verdict.type == verdict.SUCCEEDING and pod.phase(one) != "Failed"

    def _finish(self, status: dict[str, Any]) -> Iterable[plan.Action]:
        """Add the final condition when nothing is left to wait for."""
        tally = self.tally
        if self.verdict is None or jobs.condition(self.job, self.verdict.type) is None:
            return []
        if self.active or tally.terminating or status["uncountedTerminatedPods"] or self.deletes or self._recorded(status):
            return []
        final = self._condition(self.verdict.final, self.verdict.reason, self.verdict.message)
        status["conditions"] = [*status["conditions"], final]
        if self.verdict.final == "Complete":
            ended = str(final["lastTransitionTime"])
            status["completionTime"] = max(ended, str(status.get("startTime") or ended))  # also after the clock was set back
            return [plan.Emit(regarding=self.job, reason="Completed", message="Job completed")]
        return [plan.Emit(regarding=self.job, reason=self.verdict.reason, message=self.verdict.message, type="Warning")]

    def _suspended(self, listed: Sequence[conditions.Condition]) -> Sequence[conditions.Condition]:
        if conditions.is_true(listed, "Suspended") or self.verdict is not None:
            return listed
        self.emits.append(plan.Emit(regarding=self.job, reason="Suspended", message="Job suspended"))
        return conditions.updated(listed, self._condition("Suspended", "JobSuspended", "Job suspended"))

    def _resumed(self, listed: Sequence[conditions.Condition]) -> Sequence[conditions.Condition]:
        if not conditions.is_true(listed, "Suspended"):
            return listed
        self.emits.append(plan.Emit(regarding=self.job, reason="Resumed", message="Job resumed"))
        return conditions.updated(listed, self._condition("Suspended", "JobResumed", "Job resumed", "False"))

    def _condition(self, type: str, reason: str, message: str, status: str = "True") -> dict[str, Any]:
        return conditions.made(type, status, reason, message, self.now, lastProbeTime=clocks.rfc3339(self.now))

    def _status_update(self, status: dict[str, Any]) -> list[plan.Action]:
        if status == meta.status(self.job):
            return []
        body = meta.put(self.job, ("status",), status)
        return [plan.Update(kind=JOBS, body=body, subresource="status", why="its pods changed")]

    def _refused(self, error: errors.StatusError) -> Iterable[plan.Action]:
        yield plan.Emit(regarding=self.job, reason="FailedCreate", message=f"Error creating: {error.message}", type="Warning")
        self.creates = []
        yield from self._status_update(self._status())

    def _waiting(self) -> Iterable[plan.Waiting]:
        if self.verdict is not None:
            return
        if jobs.is_suspended(self.job):
            yield plan.Waiting("spec.suspend to become false")
        if self.tally.active:
            yield plan.Waiting(f"{len(self.tally.active)} pods of Job {meta.name(self.job)} to end")
        elif self.due and not self.creates and not jobs.is_suspended(self.job):
            yield plan.Waiting("its back-off to pass")


def orphan_planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    """A pod whose Job is gone or finished is held by nobody any more."""
    one = view.get(pods.PODS, *key)
    if one is None or not bodies.is_tracked(one) or _is_held(view, one) or view.revision(JOBS) < meta.revision(one):
        return plan.NOTHING
    return plan.plan_of([plan.Update(kind=pods.PODS, body=bodies.untracked(one), why="its Job is gone or finished")])


def _is_held(view: View, one: meta.Obj) -> bool:
    """Whether its Job is there and goes on."""
    reference = meta.controller(one)
    owner = view.get(JOBS, meta.namespace(one), str(reference["name"])) if reference is not None else None
    return owner is not None and reference is not None and meta.uid(owner) == reference["uid"] and not jobs.is_finished(owner)


def _of_tracked_pod(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is None or not bodies.is_tracked(new):
        return
    if (old is None or meta.is_deleting(new) or meta.owners(old) != meta.owners(new)) and not _is_held(view, new):
        yield meta.key(new)


def _of_ended_job(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    obj = new if new is not None else old
    if obj is not None and (new is None or jobs.is_finished(new)):
        yield from (meta.key(one) for one in view.by(pods.PODS, OWNER, meta.uid(obj)) if bodies.is_tracked(one))


CONTROLLERS = (
    plan.Controller(
        name="job-controller",
        kind=JOBS,
        plan=planned,
        follows={pods.PODS: claims.follow(JOBS, "Job", jobs.selector)},
        is_causal=True,
        gather_seconds=GATHER_SECONDS,
    ),
    plan.Controller(name="job-controller/orphans", kind="", plan=orphan_planned, follows={pods.PODS: _of_tracked_pod, JOBS: _of_ended_job}),
)
