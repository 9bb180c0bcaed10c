"""What a node does for one pod now: pure, from the pod, what is known of it, and the time.

The kubelet's computePodActions and its pod worker in one function. A pod goes through: volumes and sandbox; init
containers one after the other, sidecars beside what follows; the containers, restarted as their policy says with
back-off; and out: preStop, TERM, KILL, sidecars last and in reverse; status; and away. Status is planned with
every step, so that what users see never lags behind what was decided.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.kinds import columns
from reconciler.kinds import pod as pods
from reconciler.kit import clock as clocks
from reconciler.model import meta, plan
from reconciler.node import observed, status
from reconciler.node.runtimes import types
from reconciler.placement import admission

DEFAULT_GRACE_SECONDS = 30
DEADLINE_EXCEEDED = observed.Doom(reason="DeadlineExceeded", message="Pod was active on the node longer than the specified deadline")
COMPONENT = "kubelet"


# What a node does beside writing objects. `pod` is the object that the decision was made on.


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareVolumes:
    """Make the pod's volumes and bring their contents to what the view says."""

    pod: meta.Obj
    version: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSandbox:
    pod: meta.Obj
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    pod: meta.Obj
    container: Mapping[str, Any]
    attempt: int
    version: str
    why: str
    back_off: observed.BackOff | None = None  # remembered once it started


@dataclass(frozen=True, slots=True, kw_only=True)
class StopContainer:
    """Begin to stop: preStop, TERM, and KILL at `deadline`. Again with an earlier deadline: hurry."""

    pod: meta.Obj
    container: Mapping[str, Any]
    attempt: int
    deadline: float
    why: str
    message: str = ""  # of the Killing event


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSandbox:
    """Let go of namespaces and address; logs and records stay."""

    uid: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer:
    """Forget an attempt that two newer ones have followed."""

    uid: str
    name: str
    attempt: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePod:
    """Forget the pod on this node: sandbox, volumes, logs, address."""

    uid: str
    why: str


def plan_pod(pod: meta.Obj, obs: observed.Pod, node: observed.Node, version: str, now: float) -> plan.Plan:
    """The plan for a pod that is bound to this node. `version` is that of all that its configuration comes from."""
    doom = _doom(pod, obs, now)
    if meta.is_deleting(pod) or doom is not None or _is_over(pod, obs):
        return _ending(pod, obs, node, now, doom)
    steps = _Steps(pod, obs, version, now)
    if obs.sandbox is None or not obs.sandbox.ready or not obs.ip or not obs.volumes:
        steps.prepare()
    else:
        steps.refresh()
        steps.containers()
    # What is about to change in a moment is not worth a write: the first report comes when containers run or wait.
    report = [] if steps.is_starting else _report(pod, status.of_pod(pod, obs, node, now))
    waiting = [plan.Waiting(what) for what in steps.waiting]
    again = min(filter(None, (steps.again_at, _deadline(pod))), default=None)
    return plan.plan_of((*report, *steps.actions), again_at=again, waiting_on=waiting)


def plan_absent(uids: Sequence[str], pod: meta.Obj | None) -> tuple[plan.Action, ...]:
    """Sandboxes under a pod's name that are not the pod's own: it was deleted by force, or made again."""
    own = meta.uid(pod) if pod is not None else ""
    return tuple(RemovePod(uid=uid, why="the pod no longer exists") for uid in uids if uid != own)


def plan_refused(pod: meta.Obj, refusal: admission.Refusal, now: float) -> plan.Plan:
    """A pod that the node does not take fails at once and for good; nothing of it is ever started."""
    message = f"Pod was rejected: {refusal.message}"
    failed: dict[str, Any] = {"phase": "Failed", "reason": refusal.reason, "message": message, "startTime": clocks.rfc3339(now)}
    if meta.generation(pod):
        failed["observedGeneration"] = meta.generation(pod)
    told = plan.Emit(regarding=pod, reason=refusal.reason, message=refusal.message, type="Warning", component=COMPONENT)
    return plan.plan_of([_status_patch(pod, failed, f"the node does not take it: {refusal.reason}")], [told])


class _Steps:
    """Collects what is to be done; reads top to bottom as a pod starts."""

    def __init__(self, pod: meta.Obj, obs: observed.Pod, version: str, now: float) -> None:
        self.pod, self.obs, self.version, self.now = pod, obs, version, now
        self.actions: list[plan.Action] = []
        self.waiting: list[str] = []
        self.again_at: float | None = None

    @property
    def is_starting(self) -> bool:
        """On its way up for the first time, with nothing to wait for."""
        fresh = all(self.obs.latest(one["name"]) is None for one in pods.containers(self.pod))
        trouble = self.waiting or self.obs.failure is not None or self.obs.failures
        return bool(self.actions) and fresh and not trouble and not meta.status(self.pod).get("containerStatuses")

    def prepare(self) -> None:
        failure = self.obs.failure
        if self._rests(failure, ""):
            return
        if not self.obs.volumes:
            self.actions.append(PrepareVolumes(pod=self.pod, version=self.version, why="the pod was bound to this node"))
        if self.obs.sandbox is None or not self.obs.sandbox.ready or not self.obs.ip:
            lost = self.obs.sandbox is not None and not self.obs.sandbox.ready
            self.actions.append(StartSandbox(pod=self.pod, why="its sandbox is gone" if lost else "the pod has no sandbox yet"))

    def refresh(self) -> None:
        """Contents of volumes follow what they come from while the pod runs."""
        if self.obs.volumes != self.version and not self._rests(self.obs.failure, ""):
            self.actions.append(PrepareVolumes(pod=self.pod, version=self.version, why="what its volumes show has changed"))

    def containers(self) -> None:
        """Init containers in order; a plain one must have completed, a sidecar started, before the next begins."""
        past_init = status.is_initialized(self.pod, self.obs)
        for container in pods.init_containers(self.pod):
            latest = self.obs.latest(container["name"])
            if pods.is_sidecar(container):
                self._keep(container, latest)
                if not past_init and not status.is_started(latest, self.obs):
                    self.waiting.append(f"sidecar {container['name']} to start")
                    return
            elif not past_init and not (latest is not None and latest.state == "exited" and latest.exit_code == 0):
                self._keep(container, latest, init=True)
                self.waiting.append(f"init container {container['name']} to complete")
                return
        for container in pods.containers(self.pod):
            self._keep(container, self.obs.latest(container["name"]))

    def _keep(self, container: Mapping[str, Any], latest: types.Container | None, *, init: bool = False) -> None:
        """Start it, start it again, stop it for its probes' sake, or leave it be."""
        name = container["name"]
        if observed.runs(latest) and latest is not None:
            self._watch(container, latest)
            return
        if self._rests(self.obs.failures.get(name), f"container {name}: "):
            return
        if latest is None:
            attempt = self._first_attempt(name)
            self._start(container, attempt, "it was not started yet", None)
            return
        if not status.restarts(self.pod, container, latest, init=init):
            return
        rested = status.rested_at(latest, self.obs)
        if rested > self.now:
            self._again(rested)
            self.waiting.append(f"container {name} to rest before its restart")
            return
        why = f"attempt {latest.attempt} ended with exit code {latest.exit_code}"
        back_off = status.next_back_off(latest, self.obs, self.now)
        self._start(container, latest.attempt + 1, why, back_off)
        self._forget_older(latest)

    def _start(self, container: Mapping[str, Any], attempt: int, why: str, back_off: observed.BackOff | None) -> None:
        self.actions.append(
            StartContainer(pod=self.pod, container=container, attempt=attempt, version=self.version, why=why, back_off=back_off)
        )

    def _watch(self, container: Mapping[str, Any], running: types.Container) -> None:
        key = running.name, running.attempt
        probed, hooked = self.obs.probes.get(key), self.obs.hooks.get(key)
        if key in self.obs.stops:
            return
        if probed is not None and not probed.alive:
            message = f"Container {running.name} failed {probed.why} probe, will be restarted"
            self.actions.append(self._stop(container, running, f"its {probed.why} probe failed", message, probed.why))
        elif hooked is not None and hooked.state == "failed":
            self.actions.append(self._stop(container, running, "its postStart hook failed", "FailedPostStartHook", ""))

    def _stop(self, container: Mapping[str, Any], running: types.Container, why: str, message: str, probe: str) -> StopContainer:
        grace = (container.get(f"{probe}Probe") or {}).get("terminationGracePeriodSeconds") if probe else None
        deadline = self.now + float(_grace_seconds(self.pod) if grace is None else grace)
        return StopContainer(pod=self.pod, container=container, attempt=running.attempt, deadline=deadline, why=why, message=message)

    def _rests(self, failure: observed.Failure | None, what: str) -> bool:
        """Whether it failed lately, and nothing that it depends on has changed."""
        if failure is None or failure.retry_at <= self.now or failure.version != self.version:
            return False
        self._again(failure.retry_at)
        self.waiting.append(f"{what}{failure.reason}: {failure.message}")
        return True

    def _first_attempt(self, name: str) -> int:
        """0; or after what the pod's status knows and the runtime does not (the machine was booted)."""
        previous = observed.status_of(self.pod, name)
        return int(str(previous.get("restartCount") or 0)) + 1 if previous.get("containerID") else 0

    def _forget_older(self, latest: types.Container) -> None:
        """Kubernetes keeps one dead attempt, for its logs."""
        containers = self.obs.sandbox.containers if self.obs.sandbox is not None else ()
        for one in containers:
            if one.name == latest.name and one.attempt < latest.attempt:
                why = "a newer attempt ended"
                self.actions.append(RemoveContainer(uid=meta.uid(self.pod), name=one.name, attempt=one.attempt, why=why))

    def _again(self, at: float) -> None:
        self.again_at = at if self.again_at is None else min(at, self.again_at)


# The end


def _doom(pod: meta.Obj, obs: observed.Pod, now: float) -> observed.Doom | None:
    """Why the node must end the pod for good."""
    current = meta.status(pod)
    if pods.is_terminal(pod):
        reason, message = str(current.get("reason") or ""), str(current.get("message") or "")
        return observed.Doom(reason=reason, message=message) if reason else None
    if obs.doom is not None:
        return obs.doom
    deadline = _deadline(pod)
    return DEADLINE_EXCEEDED if deadline is not None and deadline <= now else None


def _deadline(pod: meta.Obj) -> float | None:
    seconds, start = meta.spec(pod).get("activeDeadlineSeconds"), meta.status(pod).get("startTime")
    if seconds is None or not start:
        return None
    return (columns.seconds_of(start) or 0.0) + float(seconds)


def _is_over(pod: meta.Obj, obs: observed.Pod) -> bool:
    """Every container ended for good, or an init container did and may not be tried again."""
    if pods.is_terminal(pod):
        return True
    for container in pods.init_containers(pod):
        latest = obs.latest(container["name"])
        if pods.is_sidecar(container) or latest is None or observed.runs(latest) or latest.exit_code == 0:
            continue
        if not status.restarts(pod, container, latest, init=True):
            return True
    return all(_has_ended(pod, container, obs) for container in pods.containers(pod))


def _has_ended(pod: meta.Obj, container: Mapping[str, Any], obs: observed.Pod) -> bool:
    latest = obs.latest(container["name"])
    if latest is None:
        return _ended_before(pod, container)
    return not observed.runs(latest) and not status.restarts(pod, container, latest, init=False)


def _ended_before(pod: meta.Obj, container: Mapping[str, Any]) -> bool:
    """What only the pod's status knows (the machine was booted): it ended, or ran and may not be started again."""
    previous = observed.status_of(pod, container["name"])
    state = previous.get("state")
    if not previous.get("containerID") or not isinstance(state, Mapping):
        return False
    code = int((state.get("terminated") or {}).get("exitCode", types.LOST_EXIT_CODE))
    if "terminated" not in state and "running" not in state:
        return False
    lost = types.Container(name=container["name"], attempt=0, state="unknown", id="", exit_code=code)
    return not status.restarts(pod, container, lost, init=False)


def _ending(pod: meta.Obj, obs: observed.Pod, node: observed.Node, now: float, doom: observed.Doom | None) -> plan.Plan:
    stops = tuple(_stops(pod, obs, now, doom))
    alive = [c for c in (obs.sandbox.containers if obs.sandbox is not None else ()) if observed.runs(c)]
    over = not alive
    report = _report(pod, status.of_pod(pod, obs, node, now, doom, over=over))
    if alive:
        waiting = [plan.Waiting(f"container {one.name} to end") for one in alive]
        return plan.plan_of((*report, *stops), waiting_on=waiting)
    if not meta.is_deleting(pod):
        sandbox = obs.sandbox
        if doom is not None and doom.leaves_nothing and sandbox is not None:
            return plan.plan_of(report, [RemovePod(uid=meta.uid(pod), why="it was evicted")])
        done = [StopSandbox(uid=meta.uid(pod), why="all its containers have ended")] if sandbox is not None and sandbox.ready else []
        return plan.plan_of(report, done)
    uid = meta.uid(pod)
    away = plan.Delete(
        kind="pods", namespace=meta.namespace(pod), name=meta.name(pod), uid=uid, grace_seconds=0, why="nothing of it is left on the node"
    )
    return plan.plan_of(report, [RemovePod(uid=uid, why="the pod is being deleted")], [away])


def _stops(pod: meta.Obj, obs: observed.Pod, now: float, doom: observed.Doom | None) -> Iterator[StopContainer]:
    """Containers together; when they are gone, sidecars in reverse order, one by one."""
    deadline = _stop_deadline(pod, obs, now, doom)
    sidecars = [one for one in reversed(pods.init_containers(pod)) if pods.is_sidecar(one)]
    first = [one for one in (*pods.containers(pod), *pods.init_containers(pod)) if one not in sidecars]
    for batch in (first, *([one] for one in sidecars)):
        running = [(one, latest) for one in batch if (latest := obs.latest(one["name"])) is not None and observed.runs(latest)]
        for container, latest in running:
            begun = obs.stops.get((latest.name, latest.attempt))
            if begun is None or begun.deadline > deadline + 1:
                yield StopContainer(
                    pod=pod,
                    container=container,
                    attempt=latest.attempt,
                    deadline=deadline,
                    why="the pod is being deleted" if meta.is_deleting(pod) else "the pod has ended",
                    message=f"Stopping container {latest.name}",
                )
        if running:
            return


def _stop_deadline(pod: meta.Obj, obs: observed.Pod, now: float, doom: observed.Doom | None) -> float:
    """When KILL comes: a whole grace period from the first stop, whenever the node learnt of the deletion."""
    begun = min((stop.deadline for stop in obs.stops.values()), default=float("inf"))
    most = doom.grace_seconds if doom is not None and doom.grace_seconds is not None else float("inf")
    return min(now + min(_grace_seconds(pod), most), begun)


def _grace_seconds(pod: meta.Obj) -> float:
    wanted = meta.meta(pod).get("deletionGracePeriodSeconds") if meta.is_deleting(pod) else None
    if wanted is None:
        wanted = meta.spec(pod).get("terminationGracePeriodSeconds")
    return float(DEFAULT_GRACE_SECONDS if wanted is None else wanted)


# Status


def _report(pod: meta.Obj, wanted: status.Status) -> list[plan.Action]:
    """A patch of what differs, none where nothing does."""
    current = meta.status(pod)
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if name != "conditions" and current.get(name) != value}
    for name in ("hostIPs", "podIPs"):  # merged by address: an old one would stay
        if name in changes and current.get(name):
            changes[name] = [{"$patch": "replace"}, *changes[name]]
    old = {one["type"]: one for one in current.get("conditions") or ()}
    conditions = [_cleared(old.get(one["type"]), one) for one in wanted["conditions"] if old.get(one["type"]) != one]
    if conditions:
        changes["conditions"] = conditions
    if not changes:
        return []
    why = f"phase {wanted['phase']}" if current.get("phase") != wanted["phase"] else f"{', '.join(sorted(changes))} changed"
    return [_status_patch(pod, changes, why)]


def _status_patch(pod: meta.Obj, changes: Mapping[str, Any], why: str) -> plan.Patch:
    return plan.Patch(
        kind="pods",
        namespace=meta.namespace(pod),
        name=meta.name(pod),
        type="strategic",
        patch={"metadata": {"uid": meta.uid(pod)}, "status": changes},
        why=why,
        uid=meta.uid(pod),
        subresource="status",
    )


def _cleared(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, Any]:
    """A strategic patch merges conditions by type: what is gone must be said."""
    gone = {name: None for name in ("reason", "message") if name in (old or {}) and name not in new}
    return {**new, **gone}
