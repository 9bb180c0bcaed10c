"""A pod's status from what is known of it: pure, with the kubelet's own phases, reasons and wording.

Follows kubelet_pods.go (getPhase, convertToAPIContainerStatuses) and status/generate.go. Fields that others own
(qosClass, nominatedNodeName, conditions that are none of ours) are left as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.kinds import pod as pods
from reconciler.kit import clock
from reconciler.model import meta
from reconciler.node import observed
from reconciler.node.runtimes import types

CREATING, INITIALIZING = "ContainerCreating", "PodInitializing"
LOST = "ContainerStatusUnknown"
LOST_MESSAGE = "The container could not be located when the pod was terminated"
DISRUPTION = "DisruptionTarget"
OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")

Status = dict[str, Any]


def of_pod(
    pod: meta.Obj, obs: observed.Pod, node: observed.Node, now: float, doom: observed.Doom | None = None, *, over: bool = False
) -> Status:
    """The fields of status that are the node's. `doom` fails it; `over`: nothing runs or will."""
    waiting_for_init = not is_initialized(pod, obs)
    init = [container_status(pod, one, obs, node, now, INITIALIZING, init=True, over=over) for one in pods.init_containers(pod)]
    reason = INITIALIZING if init and waiting_for_init else CREATING
    main = [container_status(pod, one, obs, node, now, reason, over=over) for one in pods.containers(pod)]
    status: Status = {"phase": phase(pod, init, main, doomed=doom is not None, over=over)}
    if doom is not None and status["phase"] == "Failed":
        status |= {"reason": doom.reason, "message": doom.message}
    status["startTime"] = meta.status(pod).get("startTime") or clock.rfc3339(now)
    status |= {"hostIP": node.address, "hostIPs": [{"ip": node.address}]}
    ip = obs.ip or (pods.ip(pod) if status["phase"] in ("Succeeded", "Failed") else "")
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    if init:
        status["initContainerStatuses"] = init
    status["containerStatuses"] = main
    if meta.generation(pod):
        status["observedGeneration"] = meta.generation(pod)
    status["conditions"] = _conditions(pod, status, obs, now)
    if doom is not None and doom.is_disruption and status["phase"] == "Failed":
        status["conditions"] = _disrupted(pod, status["conditions"], doom, now)
    return status


# Containers


def container_status(
    pod: meta.Obj,
    container: Mapping[str, Any],
    obs: observed.Pod,
    node: observed.Node,
    now: float,
    waiting: str,
    *,
    init: bool = False,
    over: bool = False,
) -> Status:
    name = container["name"]
    previous = observed.status_of(pod, name)
    latest = obs.latest(name)
    if latest is None:
        return _without_container(pod, container, previous, obs, waiting, over=over)
    state = _state(pod, container, latest, obs, now, init=init, over=over)
    before = latest if "waiting" in state else obs.attempt(name, latest.attempt - 1)
    last = _terminated(before, obs, node) if before is not None and before.state in ("exited", "unknown") else previous.get("lastState")
    running = "running" in state
    probed = obs.probes.get((name, latest.attempt), observed.Probed())
    hooked = obs.hooks.get((name, latest.attempt))
    started = running and probed.started and (hooked is None or hooked.state == "done")
    ready = started and probed.ready
    if init and not pods.is_sidecar(container):
        ready = latest.state == "exited" and latest.exit_code == 0
    status: Status = {
        "name": name,
        "state": state,
        "lastState": last if isinstance(last, Mapping) else {},
        "ready": ready,
        "restartCount": latest.attempt,
        "image": latest.image,
        "imageID": latest.image_id and f"sha256:{latest.image_id}",
        "containerID": f"{node.runtime}://{latest.id}",
        "started": started,
    }
    if container.get("resources"):
        status["resources"] = container["resources"]
    return status


def _without_container(
    pod: meta.Obj, container: Mapping[str, Any], previous: Mapping[str, Any], obs: observed.Pod, waiting: str, *, over: bool
) -> Status:
    """None was started yet, or the runtime no longer knows it (after a reboot of the machine)."""
    name = container["name"]
    failure = obs.failures.get(name)
    state: Status = {"waiting": {"reason": waiting}}
    if failure is not None:
        state = {"waiting": {"reason": failure.reason, "message": failure.message}}
    status: Status = {
        "name": name,
        "state": state,
        "lastState": previous.get("lastState") or {},
        "ready": False,
        "restartCount": int(previous.get("restartCount") or 0),
        "image": previous.get("image") or container.get("image", ""),
        "imageID": previous.get("imageID") or "",
        "started": False,
    }
    old = previous.get("state") or {}
    if previous.get("containerID"):
        status["containerID"] = previous["containerID"]
        if "terminated" in old:
            status |= {"state": old, "ready": bool(previous.get("ready"))}
        elif "running" in old:
            lost = {"exitCode": types.LOST_EXIT_CODE, "reason": LOST, "message": LOST_MESSAGE, "startedAt": old["running"].get("startedAt")}
            terminated = {"terminated": {**lost, "finishedAt": None, "containerID": previous["containerID"]}}
            status |= {"state": terminated} if over else {"lastState": terminated}
    elif over:
        lost = {"exitCode": types.LOST_EXIT_CODE, "reason": LOST, "message": LOST_MESSAGE, "startedAt": None, "finishedAt": None}
        status["state"] = {"terminated": lost}
    return status


def _state(
    pod: meta.Obj, container: Mapping[str, Any], latest: types.Container, obs: observed.Pod, now: float, *, init: bool, over: bool
) -> Status:
    if latest.state == "created":
        return {"waiting": {"reason": CREATING}}
    if latest.state == "running":
        return {"running": {"startedAt": clock.rfc3339(latest.started_at or latest.created_at)}}
    failure = obs.failures.get(latest.name)
    if not over and failure is not None:
        return {"waiting": {"reason": failure.reason, "message": failure.message}}
    if not over and restarts(pod, container, latest, init=init):
        until = rested_at(latest, obs)
        if until > now:
            delay = obs.back_offs[latest.name].delay_seconds
            name = f"{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})"
            message = f"back-off {_duration(delay)} restarting failed container={latest.name} pod={name}"
            return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    return _terminated(latest, obs, None)


def _terminated(container: types.Container, obs: observed.Pod, node: observed.Node | None) -> Status:
    reason, message = "Completed" if container.exit_code == 0 else "Error", container.message
    if container.reason:
        reason = container.reason
    elif container.state == "unknown":
        reason, message = LOST, LOST_MESSAGE
    elif container.oom_killed:
        reason = "OOMKilled"
    told = obs.messages.get((container.name, container.attempt)) or message
    terminated: Status = {
        "exitCode": container.exit_code,
        "reason": reason,
        "startedAt": clock.rfc3339(container.started_at),
        "finishedAt": clock.rfc3339(container.finished_at),
        "containerID": f"{node.runtime if node is not None else 'process'}://{container.id}",
    }
    if told:
        terminated["message"] = told
    return {"terminated": terminated}


def restarts(pod: meta.Obj, container: Mapping[str, Any], ended: types.Container, *, init: bool) -> bool:
    """Whether a container that ended so is started again. A container's own restartPolicy goes before the pod's."""
    policy = str(container.get("restartPolicy") or pods.restart_policy(pod))
    if init and not pods.is_sidecar(container):
        return policy != "Never" and ended.exit_code != 0
    return policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)


def rested_at(ended: types.Container, obs: observed.Pod) -> float:
    """When the container may start again: at once the first time, later after its back-off."""
    back_off = obs.back_offs.get(ended.name)
    if back_off is None or ended.finished_at - back_off.updated_at > 2 * MAX_BACK_OFF_SECONDS:
        return 0.0
    return ended.finished_at + back_off.delay_seconds


FIRST_BACK_OFF_SECONDS = 10.0
MAX_BACK_OFF_SECONDS = 300.0


def next_back_off(ended: types.Container, obs: observed.Pod, now: float) -> observed.BackOff:
    """What a restart now makes of the container's back-off: doubled, or the first again after a long run."""
    old = obs.back_offs.get(ended.name)
    if old is None or ended.finished_at - old.updated_at > 2 * MAX_BACK_OFF_SECONDS:
        return observed.BackOff(FIRST_BACK_OFF_SECONDS, now)
    return observed.BackOff(min(2 * old.delay_seconds, MAX_BACK_OFF_SECONDS), now)


def _duration(seconds: float) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


# The pod


def is_initialized(pod: meta.Obj, obs: observed.Pod) -> bool:
    """All init containers completed and all sidecars started; for good once a main container was started."""
    if any(obs.latest(one["name"]) is not None for one in pods.containers(pod)):
        return True
    return all(_is_past(pod, one, obs) for one in pods.init_containers(pod))


def _is_past(pod: meta.Obj, container: Mapping[str, Any], obs: observed.Pod) -> bool:
    latest = obs.latest(container["name"])
    if pods.is_sidecar(container):
        return is_started(latest, obs)
    return latest is not None and latest.state == "exited" and latest.exit_code == 0


def is_started(latest: types.Container | None, obs: observed.Pod) -> bool:
    if latest is None or latest.state != "running":
        return False
    hooked = obs.hooks.get((latest.name, latest.attempt))
    return obs.probes.get((latest.name, latest.attempt), observed.Probed()).started and (hooked is None or hooked.state == "done")


def phase(pod: meta.Obj, init: Sequence[Status], main: Sequence[Status], *, doomed: bool, over: bool) -> str:
    if pods.is_terminal(pod):
        return pods.phase(pod)
    policy = pods.restart_policy(pod)
    spec = {one["name"]: one for one in pods.init_containers(pod)}
    if over:
        counted = [*main, *(one for one in init if not pods.is_sidecar(spec[one["name"]]))]  # how a sidecar ended says nothing
        return "Succeeded" if not doomed and all(_exit_code(one["state"]) == 0 for one in counted) else "Failed"
    for one in init:
        sidecar = pods.is_sidecar(spec[one["name"]])
        if sidecar and not one["started"] and not any("waiting" not in m["state"] or m["lastState"] for m in main):
            return "Pending"
        if not sidecar and _exit_code(one["state"]) != 0:
            return "Failed" if policy == "Never" and _exit_code(one["state"]) is not None else "Pending"
    waiting = [one for one in main if "waiting" in one["state"] and not one["lastState"]]
    running = [one for one in main if "running" in one["state"]]
    if waiting:
        return "Pending"
    if running or any("waiting" in one["state"] for one in main):
        return "Running"
    if policy == "Always" or any("running" in one["state"] for one in init):  # sidecars end before the pod does
        return "Running"
    codes = [_exit_code(one["state"]) for one in main]
    if all(code == 0 for code in codes):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _exit_code(state: Mapping[str, Any]) -> int | None:
    terminated = state.get("terminated")
    return None if terminated is None else int(terminated["exitCode"])


# Conditions


def _conditions(pod: meta.Obj, status: Status, obs: observed.Pod, now: float) -> list[dict[str, Any]]:
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(status["phase"])
    unready = [one["name"] for one in status["containerStatuses"] if not one["ready"]]
    sidecars = {one["name"] for one in pods.init_containers(pod) if pods.is_sidecar(one)}
    unready += [one["name"] for one in status.get("initContainerStatuses", ()) if one["name"] in sidecars and not one["ready"]]
    sandbox = obs.sandbox is not None and obs.sandbox.ready and bool(obs.ip) and not ended
    wanted = [
        ("PodReadyToStartContainers", sandbox, "", ""),
        ("Initialized", *_initialized(pod, status, obs, ended)),
        ("Ready", *_ready(pod, unready, ended)),
        ("ContainersReady", *_containers_ready(unready, ended)),
        ("PodScheduled", True, "", ""),
    ]
    old = {one["type"]: one for one in meta.status(pod).get("conditions") or ()}
    mine = [_condition(old.get(kind), kind, value, reason, message, meta.generation(pod), now) for kind, value, reason, message in wanted]
    return mine + [dict(one) for kind, one in old.items() if kind not in OWN_CONDITIONS]


def _disrupted(pod: meta.Obj, conditions: list[dict[str, Any]], doom: observed.Doom, now: float) -> list[dict[str, Any]]:
    old = next((one for one in conditions if one["type"] == DISRUPTION), None)
    told = _condition(old, DISRUPTION, True, "TerminationByKubelet", doom.message, meta.generation(pod), now)
    return [told, *(one for one in conditions if one is not old)]


def _initialized(pod: meta.Obj, status: Status, obs: observed.Pod, ended: str | None) -> tuple[bool, str, str]:
    if ended == "PodCompleted":
        return True, ended, ""
    if is_initialized(pod, obs):
        return True, "", ""
    spec = {one["name"]: one for one in pods.init_containers(pod)}
    done = {one["name"]: one["started"] if pods.is_sidecar(spec[one["name"]]) else one["ready"] for one in status["initContainerStatuses"]}
    names = [name for name, is_done in done.items() if not is_done]
    return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(names)}]"


def _containers_ready(unready: Sequence[str], ended: str | None) -> tuple[bool, str, str]:
    if ended:
        return False, ended, ""
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _ready(pod: meta.Obj, unready: Sequence[str], ended: str | None) -> tuple[bool, str, str]:
    ready = _containers_ready(unready, ended)
    if not ready[0]:
        return ready
    problems = []
    for gate in meta.spec(pod).get("readinessGates") or ():
        found = pods.condition(pod, gate["conditionType"])
        if found is None:
            problems.append(f'corresponding condition of pod readiness gate "{gate["conditionType"]}" does not exist.')
        elif found.get("status") != "True":
            problems.append(f'the status of pod readiness gate "{gate["conditionType"]}" is not "True", but {found.get("status")}')
    return (False, "ReadinessGatesNotReady", ", ".join(problems)) if problems else ready


def _condition(
    old: Mapping[str, Any] | None, kind: str, value: bool, reason: str, message: str, generation: int, now: float
) -> dict[str, Any]:
    status = "True" if value else "False"
    since = old["lastTransitionTime"] if old is not None and old.get("status") == status else clock.rfc3339(now)
    condition: dict[str, Any] = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    if generation:
        condition["observedGeneration"] = generation
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition
