"""What a StatefulSet says of its pods."""

from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.controllers.statefulset.identity import REVISION_LABEL
from reconciler.kinds import pod, statefulset, workload
from reconciler.model import meta, plan

HASH_LABEL = "controller.kubernetes.io/hash"


def current_revision(owner: meta.Obj) -> str:
    return str(meta.status(owner).get("currentRevision") or "")


def revision_of(one: meta.Obj) -> str:
    return str(meta.labels(one).get(REVISION_LABEL, ""))


def counted(owner: meta.Obj, pods: Sequence[meta.Obj], current: meta.Obj, update: meta.Obj, now: float) -> dict[str, Any]:
    seconds = workload.min_ready_seconds(owner)
    running = [one for one in pods if pod.phase(one) == "Running" and pod.is_ready(one)]
    staying = [revision_of(one) for one in pods if not meta.is_deleting(one)]
    replicas, ready = len(pods), len(running)
    counts = {
        "readyReplicas": ready,
        "currentReplicas": staying.count(meta.name(current)),
        "updatedReplicas": staying.count(meta.name(update)),
    }
    revision = meta.name(current)
    if statefulset.update_strategy(owner) == "RollingUpdate" and counts["updatedReplicas"] == replicas == ready == workload.replicas(owner):
        counts["currentReplicas"], revision = replicas, meta.name(update)  # the rolling update is complete
    status: dict[str, Any] = {"observedGeneration": meta.generation(owner), "replicas": replicas}
    status |= {name: count for name, count in counts.items() if count}
    status |= {
        "currentRevision": revision,
        "updateRevision": meta.name(update),
        "collisionCount": workload.count(owner, "collisionCount"),
        "availableReplicas": sum(pod.is_available(one, seconds, now) for one in running),
    }
    if meta.status(owner).get("conditions"):
        status["conditions"] = meta.status(owner)["conditions"]
    return status


def update(kind: str, owner: meta.Obj, status: dict[str, Any]) -> Iterable[plan.Action]:
    if status != meta.status(owner):
        body = meta.put(owner, ("status",), status)
        yield plan.Update(kind=kind, body=body, subresource="status", why="its pods changed")


def next_available(owner: meta.Obj, pods: Iterable[meta.Obj], now: float) -> float | None:
    """When the next ready pod will have been ready for minReadySeconds."""
    seconds = workload.min_ready_seconds(owner)
    times = [since + seconds for one in pods if (since := pod.ready_since(one)) is not None] if seconds else []
    return min((time for time in times if time > now), default=None)
