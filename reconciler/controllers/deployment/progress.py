"""The status of a Deployment: counts, and the conditions Available, Progressing and ReplicaFailure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.controllers.deployment.rollout import Rollout, dated
from reconciler.kinds import deployment as deployments
from reconciler.kinds import workload
from reconciler.kit import clock as clocks
from reconciler.model import conditions, meta, plan

PROGRESSING = "Progressing"
COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
FAILURE = "ReplicaFailure"


def note_pause(rollout: Rollout) -> None:
    """A pause stops the progress deadline, and resuming starts it afresh."""
    if not rollout.has_deadline:
        return
    known = rollout.condition(PROGRESSING)
    reason = known.get("reason") if known is not None else None
    if reason == TIMED_OUT:
        return
    paused = deployments.is_paused(rollout.deployment)
    if paused and reason != "DeploymentPaused":
        rollout.set_condition(PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused")
    elif not paused and reason == "DeploymentPaused":
        rollout.set_condition(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed")


def counted(rollout: Rollout) -> dict[str, Any]:
    """The status without a new judgement of the progress."""
    sets, new = rollout.sets, rollout.new
    available = sum(workload.count(one, "availableReplicas") for one in sets)
    counts = {
        "replicas": sum(workload.count(one, "replicas") for one in sets),
        "updatedReplicas": workload.count(new, "replicas") if new is not None else 0,
        "readyReplicas": sum(workload.count(one, "readyReplicas") for one in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(map(workload.replicas, sets)) - available),
        "collisionCount": workload.count(rollout.deployment, "collisionCount"),
    }
    status: dict[str, Any] = {"observedGeneration": meta.generation(rollout.deployment)}
    status |= {name: count for name, count in counts.items() if count}
    status["terminatingReplicas"] = sum(workload.count(one, "terminatingReplicas") for one in sets)
    if available >= rollout.replicas - rollout.max_unavailable:
        verdict = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        verdict = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    condition = dated(conditions.made("Available", *verdict, rollout.now))
    known = meta.status(rollout.deployment).get("conditions") or ()
    return {**status, "conditions": conditions.replaced(known, condition)}


def judged(rollout: Rollout) -> dict[str, Any]:
    """The status with the progress judged against the deadline."""
    status = counted(rollout)
    known = conditions.find(status["conditions"], PROGRESSING)
    if not rollout.has_deadline:
        status["conditions"] = conditions.without(status["conditions"], PROGRESSING)
    elif not _was_complete(status, known):
        status["conditions"] = _judged_progress(rollout, status, known)
    status["conditions"] = _with_failure(rollout, status["conditions"])
    _look_again(rollout, status)
    return status


def waiting(rollout: Rollout, status: Mapping[str, Any]) -> Iterator[plan.Waiting]:
    """What must happen before all its pods are of the newest template and available."""
    if deployments.is_paused(rollout.deployment):
        yield plan.Waiting("spec.paused to become false")
    if missing := rollout.replicas - (status.get("availableReplicas") or 0):
        yield plan.Waiting(f"{missing} of {rollout.replicas} pods to become available")
    elif old := (status.get("replicas") or 0) - (status.get("updatedReplicas") or 0):
        yield plan.Waiting(f"{old} pods of older templates to be replaced")


def is_complete(rollout: Rollout, status: Mapping[str, Any]) -> bool:
    counts = {status.get(name) or 0 for name in ("updatedReplicas", "replicas", "availableReplicas")}
    return counts == {rollout.replicas} and (status.get("observedGeneration") or 0) >= meta.generation(rollout.deployment)


def _was_complete(status: Mapping[str, Any], known: conditions.Condition | None) -> bool:
    same = (status.get("replicas") or 0) == (status.get("updatedReplicas") or 0)
    return same and known is not None and known.get("reason") == COMPLETE


def _judged_progress(rollout: Rollout, status: Mapping[str, Any], known: conditions.Condition | None) -> Sequence[conditions.Condition]:
    new = rollout.new
    subject = f'ReplicaSet "{meta.name(new)}"' if new is not None else f'Deployment "{meta.name(rollout.deployment)}"'
    present: Sequence[conditions.Condition] = status["conditions"]
    if is_complete(rollout, status):
        verdict = ("True", COMPLETE, f"{subject} has successfully progressed.")
        return conditions.replaced(present, dated(conditions.made(PROGRESSING, *verdict, rollout.now)))
    if _has_moved(meta.status(rollout.deployment), status):
        verdict = ("True", "ReplicaSetUpdated", f"{subject} is progressing.")
        condition = dated(conditions.made(PROGRESSING, *verdict, rollout.now))
        if known is not None and known.get("status") == "True":
            condition["lastTransitionTime"] = known.get("lastTransitionTime")
        return [*conditions.without(present, PROGRESSING), condition]
    if known is not None and _is_late(rollout, known):
        verdict = ("False", TIMED_OUT, f"{subject} has timed out progressing.")
        return conditions.replaced(present, dated(conditions.made(PROGRESSING, *verdict, rollout.now)))
    return present


def _has_moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    def grown(name: str) -> bool:
        return (after.get(name) or 0) > (before.get(name) or 0)

    def old(status: Mapping[str, Any]) -> int:
        return int(status.get("replicas") or 0) - int(status.get("updatedReplicas") or 0)

    return grown("updatedReplicas") or old(after) < old(before) or grown("readyReplicas") or grown("availableReplicas")


def _deadline(rollout: Rollout, known: conditions.Condition) -> float:
    return clocks.parse_rfc3339(str(known["lastUpdateTime"])) + deployments.progress_deadline_seconds(rollout.deployment)


def _is_late(rollout: Rollout, known: conditions.Condition) -> bool:
    if known.get("reason") == COMPLETE:
        return False
    return known.get("reason") == TIMED_OUT or _deadline(rollout, known) < rollout.now


def _look_again(rollout: Rollout, status: Mapping[str, Any]) -> None:
    """When nothing else happens, come back to notice that the deadline passed."""
    known = conditions.find(status["conditions"], PROGRESSING)
    if not rollout.has_deadline or known is None or known.get("reason") in (COMPLETE, TIMED_OUT) or is_complete(rollout, status):
        return
    rollout.again_at = max(_deadline(rollout, known), rollout.now) + 1


def _with_failure(rollout: Rollout, present: Sequence[conditions.Condition]) -> Sequence[conditions.Condition]:
    """Hand on ReplicaFailure of a ReplicaSet, the new one's first."""
    ordered = [rollout.new, *rollout.old] if rollout.new is not None else rollout.old
    for one in ordered:
        failure = workload.condition(one, FAILURE)
        if failure is not None and failure.get("status") == "True":
            return conditions.replaced(present, {**failure, "lastUpdateTime": clocks.rfc3339(rollout.now)})
    return conditions.without(present, FAILURE)
