"""Finished Jobs with ttlSecondsAfterFinished are deleted, their pods before them."""

from reconciler.kinds import job
from reconciler.kit import clock as clocks
from reconciler.model import meta, plan
from reconciler.model.view import View

JOBS = "jobs.batch"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(JOBS, *key)
    if one is None or meta.is_deleting(one) or not job.is_finished(one):
        return plan.NOTHING
    ttl_seconds = meta.spec(one).get("ttlSecondsAfterFinished")
    finished = job.condition(one, "Complete") or job.condition(one, "Failed")
    if ttl_seconds is None or finished is None:
        return plan.NOTHING
    due_at = clocks.parse_rfc3339(str(finished["lastTransitionTime"])) + float(ttl_seconds)
    if due_at > now:
        return plan.plan_of(again_at=due_at)
    return plan.plan_of(
        [
            plan.Delete(
                kind=JOBS,
                namespace=key[0],
                name=key[1],
                uid=meta.uid(one),
                resource_version=meta.resource_version(one),
                propagation="Foreground",
                why=f"it finished {ttl_seconds} seconds ago",
            )
        ]
    )


CONTROLLER = plan.Controller(name="ttl-after-finished-controller", kind=JOBS, plan=planned)
