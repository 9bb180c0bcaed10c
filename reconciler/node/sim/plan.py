"""What a simulated node does with a pod: everything a kubelet reports, on the clock it is given, without a process.

Annotations of the pod say how its containers behave; all are optional:

    sim.reconciler.dev/start-seconds    how long they take to start; 0
    sim.reconciler.dev/ready-seconds    how long they take to be ready after that; the longest initial delay of their probes
    sim.reconciler.dev/run-seconds      how long they run before they exit by themselves; for ever
    sim.reconciler.dev/exit-code        what they exit with then; 0
    sim.reconciler.dev/stop-seconds     how long they take to stop, at most the grace period; 0
    sim.reconciler.dev/never-ready      "true": they never become ready
    sim.reconciler.dev/cpu, /memory     what each of them uses (usage.py); what it requests

Restart policy and its back-off (10 s, doubled up to 5 min) are kubelet's. Every step of a pod is one status write;
deletion ends with a forced delete, as a kubelet does it. Init containers complete at once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.kinds import pod as pods
from reconciler.kit import clock as clocks
from reconciler.model import meta, plan
from reconciler.placement import admission
from reconciler.placement import pods as pod_facts

PREFIX = "sim.reconciler.dev/"
BACKOFF_SECONDS = 10.0
MAX_BACKOFF_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Step:
    """One write for a pod, or none, and when to look again (seconds since the epoch)."""

    action: plan.Patch | plan.Delete | None = None
    again_at: float | None = None


IDLE = Step()


def next_step(pod: meta.Obj, refusal: admission.Refusal | None, address: str, now: float) -> Step:
    """What to do for a pod that is bound to a simulated node. `refusal` and `address` matter to one that has not started."""
    if meta.is_deleting(pod):
        return _stop(pod, now)
    if pod_facts.is_over(pod):
        return IDLE
    if not meta.status(pod).get("startTime"):
        if refusal is not None:
            return Step(
                _write(
                    pod, {"phase": "Failed", "reason": refusal.reason, "message": f"Pod was rejected: {refusal.message}"}, refusal.message
                )
            )
        bound_at = _since(pod, "PodScheduled") or now
        starts_at = bound_at + _seconds(pod, "start-seconds")
        if starts_at > now:
            return Step(again_at=starts_at)
        return Step(_write(pod, _started(pod, address, now), "its containers started"), again_at=now)
    return _run(pod, now)


def _stop(pod: meta.Obj, now: float) -> Step:
    grace_seconds = float(meta.meta(pod).get("deletionGracePeriodSeconds") or 0)
    asked_at = clocks.parse_rfc3339(meta.meta(pod)["deletionTimestamp"]) - grace_seconds
    stops_at = asked_at + min(_seconds(pod, "stop-seconds"), grace_seconds)
    if stops_at > now and not pod_facts.is_over(pod):
        return Step(again_at=stops_at)
    namespace, name = meta.key(pod)
    return Step(
        plan.Delete(kind="pods", namespace=namespace, name=name, uid=meta.uid(pod), grace_seconds=0, why="its containers have stopped")
    )


def _run(pod: meta.Obj, now: float) -> Step:
    """Readiness, the end of a run and restarts, by the state of the first container: all behave alike."""
    statuses: Sequence[Mapping[str, Any]] = meta.status(pod).get("containerStatuses") or ()
    state = (statuses[0].get("state") if statuses else None) or meta.EMPTY
    if "running" in state:
        started_at = clocks.parse_rfc3339(state["running"]["startedAt"])
        ends_at = started_at + _seconds(pod, "run-seconds", float("inf"))
        if ends_at <= now:
            return Step(_write(pod, _exited(pod, now), "its containers exited"), again_at=now)
        ready_at = started_at + _ready_seconds(pod)
        if not pods.is_ready(pod) and _gates_open(pod) and not _never_ready(pod):  # also where somebody took it for lost
            if ready_at <= now:
                return Step(_write(pod, _conditions(pod, _container_statuses(pod, ready=True), True, now), "its containers are ready"))
            return Step(again_at=min(ready_at, ends_at))
        return Step(again_at=ends_at) if ends_at != float("inf") else IDLE
    if "waiting" in state:
        restarts = int(statuses[0].get("restartCount") or 0)
        ended = (statuses[0].get("lastState") or meta.EMPTY).get("terminated") or meta.EMPTY
        backoff_seconds = min(BACKOFF_SECONDS * 2 ** min(restarts, 10), MAX_BACKOFF_SECONDS)
        restarts_at = clocks.parse_rfc3339(ended["finishedAt"]) + backoff_seconds
        if restarts_at > now:
            return Step(again_at=restarts_at)
        return Step(_write(pod, _restarted(pod, now), "its containers restart"), again_at=now)
    return IDLE


def _started(pod: meta.Obj, address: str, now: float) -> dict[str, Any]:
    ready = _ready_seconds(pod) <= 0 and not _never_ready(pod)
    at = clocks.rfc3339(now)
    running = {"running": {"startedAt": at}}
    containers = [_container(pod, one, running, ready=ready) for one in meta.spec(pod).get("containers") or ()]
    status = _conditions(pod, containers, ready and _gates_open(pod), now)
    init = [_container(pod, one, _done_or_running(one, at), ready=True) for one in meta.spec(pod).get("initContainers") or ()]
    if init:
        status["initContainerStatuses"] = init
    status.update(phase="Running", startTime=at, hostIP="127.0.0.1", hostIPs=[{"ip": "127.0.0.1"}], podIP=address, podIPs=[{"ip": address}])
    return status


def _done_or_running(container: Mapping[str, Any], at: str) -> dict[str, Any]:
    if container.get("restartPolicy") == "Always":
        return {"running": {"startedAt": at}}
    return {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": at, "finishedAt": at}}


def _exited(pod: meta.Obj, now: float) -> dict[str, Any]:
    """The containers' end: for good where the restart policy says so, else waiting for the next start."""
    code = int(_seconds(pod, "exit-code"))
    policy = meta.spec(pod).get("restartPolicy") or "Always"
    stays_down = policy == "Never" or (policy == "OnFailure" and code == 0)
    statuses = []
    for status in meta.status(pod).get("containerStatuses") or ():
        started = (status.get("state") or meta.EMPTY).get("running") or meta.EMPTY
        reason = "Completed" if code == 0 else "Error"
        ended = {"exitCode": code, "reason": reason, "startedAt": started.get("startedAt"), "finishedAt": clocks.rfc3339(now)}
        ended["containerID"] = status.get("containerID")
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
        state = {"state": {"terminated": ended}} if stays_down else {"state": waiting, "lastState": {"terminated": ended}}
        statuses.append({**status, **state, "ready": False, "started": False})
    phase = "Running" if not stays_down else "Succeeded" if code == 0 else "Failed"
    return {**_conditions(pod, statuses, False, now), "phase": phase}


def _restarted(pod: meta.Obj, now: float) -> dict[str, Any]:
    running = {"running": {"startedAt": clocks.rfc3339(now)}}
    ready = _ready_seconds(pod) <= 0 and not _never_ready(pod)
    statuses = [
        {**one, "state": running, "restartCount": int(one.get("restartCount") or 0) + 1, "ready": ready, "started": True}
        for one in meta.status(pod).get("containerStatuses") or ()
    ]
    return _conditions(pod, statuses, ready and _gates_open(pod), now)


def _container(pod: meta.Obj, container: Mapping[str, Any], state: Mapping[str, Any], *, ready: bool) -> dict[str, Any]:
    image = str(container.get("image") or "")
    name = str(container["name"])
    identity = hashlib.blake2b(f"{meta.uid(pod)}/{name}".encode(), digest_size=16).hexdigest()
    return {
        "name": name,
        "image": image,
        "imageID": f"sim://{image}",
        "containerID": f"sim://{identity}",
        "state": state,
        "lastState": {},
        "ready": ready,
        "started": "running" in state,
        "restartCount": 0,
    }


def _container_statuses(pod: meta.Obj, *, ready: bool) -> list[dict[str, Any]]:
    return [{**one, "ready": ready} for one in meta.status(pod).get("containerStatuses") or ()]


def _conditions(pod: meta.Obj, containers: list[dict[str, Any]], ready: bool, now: float) -> dict[str, Any]:
    """A status with these container statuses and the conditions that follow from them; others are kept."""
    all_ready = all(one["ready"] for one in containers)
    wanted = {
        "PodReadyToStartContainers": True,
        "Initialized": True,
        "Ready": ready and all_ready,
        "ContainersReady": all_ready,
    }
    current = {one["type"]: one for one in meta.status(pod).get("conditions") or ()}
    conditions = [_condition(pod, kind, holds, current.get(kind), now) for kind, holds in wanted.items()]
    conditions += [one for kind, one in current.items() if kind not in wanted]
    return {"conditions": conditions, "containerStatuses": containers, "observedGeneration": meta.generation(pod)}


def _condition(pod: meta.Obj, kind: str, holds: bool, current: Mapping[str, Any] | None, now: float) -> dict[str, Any]:
    status = "True" if holds else "False"
    unchanged = current is not None and current.get("status") == status
    found: dict[str, Any] = {"type": kind, "status": status, "observedGeneration": meta.generation(pod), "lastProbeTime": None}
    found["lastTransitionTime"] = current["lastTransitionTime"] if current is not None and unchanged else clocks.rfc3339(now)
    if not holds:
        found.update(reason="ContainersNotReady", message="containers with unready status")
    return found


def _gates_open(pod: meta.Obj) -> bool:
    gates = meta.spec(pod).get("readinessGates") or ()
    true = {one["type"] for one in meta.status(pod).get("conditions") or () if one.get("status") == "True"}
    return all(gate.get("conditionType") in true for gate in gates)


def _never_ready(pod: meta.Obj) -> bool:
    return meta.annotations(pod).get(f"{PREFIX}never-ready") == "true"


def _ready_seconds(pod: meta.Obj) -> float:
    probes = [
        one.get(probe) or meta.EMPTY for one in meta.spec(pod).get("containers") or () for probe in ("startupProbe", "readinessProbe")
    ]
    return _seconds(pod, "ready-seconds", max((float(probe.get("initialDelaySeconds") or 0) for probe in probes), default=0.0))


def _seconds(pod: meta.Obj, name: str, usual: float = 0.0) -> float:
    """A number from an annotation; what is none counts as not said."""
    try:
        return max(0.0, float(meta.annotations(pod).get(PREFIX + name, usual)))
    except ValueError:
        return usual


def _since(pod: meta.Obj, kind: str) -> float | None:
    found = next((one for one in meta.status(pod).get("conditions") or () if one.get("type") == kind and one.get("status") == "True"), None)
    return clocks.parse_rfc3339(found["lastTransitionTime"]) if found is not None and found.get("lastTransitionTime") else None


def _write(pod: meta.Obj, status: Mapping[str, Any], why: str) -> plan.Patch:
    namespace, name = meta.key(pod)
    return plan.Patch(
        kind="pods",
        namespace=namespace,
        name=name,
        uid=meta.uid(pod),
        type="merge",
        subresource="status",
        patch={"status": status},
        why=why,
    )
