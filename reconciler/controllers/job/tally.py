"""What the pods of a Job amount to, each counted exactly once.

A pod that ended is first written into status.uncountedTerminatedPods (an index into completedIndexes), then loses
its finalizer, then the number grows. Wherever that is interrupted, the finalizer or the list tells how far it came.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

from reconciler.controllers.job import bodies, indexes, policy
from reconciler.kinds import job as jobs
from reconciler.kinds import pod, workload
from reconciler.kit import clock as clocks
from reconciler.model import meta

MAX_UNCOUNTED = 500
BACKOFF_SECONDS = 10.0
MAX_BACKOFF_SECONDS = 600.0


class Tally:
    """Counts as of `now`; nothing here changes anything."""

    def __init__(self, job: meta.Obj, owned: Sequence[meta.Obj], now: float) -> None:
        self.job = job
        self.pods = owned
        self.now = now
        self.tracked = [one for one in owned if bodies.is_tracked(one)]
        self.active = [one for one in owned if pod.is_active(one)]
        uncounted = meta.status(job).get("uncountedTerminatedPods") or meta.EMPTY
        present = {meta.uid(one) for one in self.tracked}
        listed_succeeded, listed_failed = uncounted.get("succeeded") or (), uncounted.get("failed") or ()
        self.uncounted_succeeded = [uid for uid in listed_succeeded if uid in present]
        self.uncounted_failed = [uid for uid in listed_failed if uid in present]
        # What was listed and has lost its finalizer is counted from now on.
        self.counted_succeeded = workload.count(job, "succeeded") + len(listed_succeeded) - len(self.uncounted_succeeded)
        self.counted_failed = workload.count(job, "failed") + len(listed_failed) - len(self.uncounted_failed)

    @cached_property
    def ready(self) -> int:
        return sum(map(pod.is_ready, self.active))

    @cached_property
    def terminating(self) -> int:
        return sum(meta.is_deleting(one) and not pod.is_terminal(one) for one in self.pods)

    @cached_property
    def new_succeeded(self) -> list[meta.Obj]:
        listed = set(self.uncounted_succeeded)
        return [one for one in self.tracked if pod.phase(one) == "Succeeded" and meta.uid(one) not in listed and self.has_place(one)]

    @cached_property
    def new_failed(self) -> list[meta.Obj]:
        """Newly failed pods, those too that the failure policy ignores."""
        listed = set(self.uncounted_failed)
        return [one for one in self.tracked if self.is_failed(one) and meta.uid(one) not in listed and self.has_place(one)]

    @cached_property
    def succeeded_indexes(self) -> set[int]:
        before = indexes.parsed(str(meta.status(self.job).get("completedIndexes") or ""))
        new = {bodies.index_of(one) for one in self.new_succeeded}
        return {index for index in before | new if index is not None and index < (jobs.completions(self.job) or 0)}

    @cached_property
    def failed_indexes(self) -> set[int]:
        before = indexes.parsed(str(meta.status(self.job).get("failedIndexes") or ""))
        new = {bodies.index_of(one) for one in self.new_failed if self._fails_index(one)}
        return {index for index in before | new if index is not None} - self.succeeded_indexes

    @property
    def succeeded(self) -> int:
        if jobs.is_indexed(self.job):
            return len(self.succeeded_indexes)
        return self.counted_succeeded + len(self.uncounted_succeeded) + len(self.new_succeeded)

    @property
    def failed(self) -> int:
        return self.counted_failed + len(self.uncounted_failed) + len(self.counting(self.new_failed))

    def counting(self, failed: Iterable[meta.Obj]) -> list[meta.Obj]:
        return [one for one in failed if policy.of_failure(self.job, one).action != "Ignore"]

    def is_failed(self, one: meta.Obj) -> bool:
        """Failed, or on its way out: it may never get to say that it failed."""
        if pod.phase(one) == "Failed":
            return True
        waits = meta.spec(self.job).get("podReplacementPolicy") == "Failed"
        return not waits and meta.is_deleting(one) and pod.phase(one) != "Succeeded"

    def has_place(self, one: meta.Obj) -> bool:
        """Whether a pod of an indexed Job has an index that still exists."""
        index = bodies.index_of(one)
        return not jobs.is_indexed(self.job) or (index is not None and index < (jobs.completions(self.job) or 0))

    @cached_property
    def last_failures(self) -> dict[int, meta.Obj]:
        """With backoffLimitPerIndex: the last failed pod of each index that is to be tried again."""
        found: dict[int, meta.Obj] = {}
        if meta.spec(self.job).get("backoffLimitPerIndex") is None:
            return found
        busy = {bodies.index_of(one) for one in self.active} | self.succeeded_indexes | self.failed_indexes
        for one in self.tracked:
            index = bodies.index_of(one)
            if index is None or index in busy or not self.is_failed(one) or not self.has_place(one):
                continue
            if index not in found or _attempts(found[index]) < _attempts(one):
                found[index] = one
        return found

    def next_try_at(self) -> float:
        """When a failed pod may be replaced: ten seconds, doubling with each failure since the last success."""
        ends = [(self._ended_at(one), self.is_failed(one)) for one in self.pods if pod.is_terminal(one) or self.is_failed(one)]
        last_success = max((end for end, failed in ends if not failed), default=float("-inf"))
        failures = [end for end, failed in ends if failed and end > last_success]
        return max(failures) + _backoff(len(failures)) if failures else self.now

    def next_try_of(self, index: int) -> float:
        last = self.last_failures.get(index)
        return self.now if last is None else self._ended_at(last) + _backoff(_attempts(last) + 1)

    def _fails_index(self, one: meta.Obj) -> bool:
        limit = meta.spec(self.job).get("backoffLimitPerIndex")
        if limit is None:
            return False
        action = policy.of_failure(self.job, one).action
        return action == "FailIndex" or (action != "Ignore" and bodies.failures(one) >= limit)

    def _ended_at(self, one: meta.Obj) -> float:
        ended = [(status.get("state") or meta.EMPTY).get("terminated") for status in pod.container_statuses(one)]
        times = [end["finishedAt"] for end in ended if end is not None and end.get("finishedAt")]
        if not times:
            times = [time for time in (meta.meta(one).get("deletionTimestamp"),) if time]
        return max(map(clocks.parse_rfc3339, times), default=self.now)


def _attempts(one: meta.Obj) -> int:
    return bodies.failures(one) + bodies.ignored_failures(one)


def _backoff(failures: int) -> float:
    return min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16)) if failures else 0.0
