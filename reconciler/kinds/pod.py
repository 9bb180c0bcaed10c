"""Pod: what one asks of it, how it is defaulted, shown and kept from wrong changes.

Rules of its spec are shared with every template (pod_defaults.py, pod_rules/). Status belongs to the node agent and is
written through the status subresource only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults, pod_resources, pod_rules
from reconciler.kinds.rules import pod_warnings
from reconciler.model import meta
from reconciler.model.kind import Column, Health, Kind, Subresource, Version, status_of

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
STATIC_ANNOTATION = "kubernetes.io/config.source"
SYSTEM_PRIORITY = 2_000_000_000  # of system-cluster-critical
GATED_MESSAGE = "Scheduling is blocked due to non-empty scheduling gates"


# What one asks of a pod.


def phase(pod: meta.Obj) -> str:
    return str(meta.status(pod).get("phase") or "Pending")


def is_terminal(pod: meta.Obj) -> bool:
    """Whether all its containers ended for good."""
    return (pod.get("status") or meta.EMPTY).get("phase") in ("Succeeded", "Failed")


def is_active(pod: meta.Obj) -> bool:
    """Whether a controller counts it: neither ended nor on its way out."""
    return not is_terminal(pod) and not meta.is_deleting(pod)


def node_name(pod: meta.Obj) -> str:
    return str(meta.spec(pod).get("nodeName") or "")


def is_scheduled(pod: meta.Obj) -> bool:
    return bool(node_name(pod))


def is_gated(pod: meta.Obj) -> bool:
    return bool(meta.spec(pod).get("schedulingGates"))


def condition(pod: meta.Obj, type: str) -> Mapping[str, Any] | None:
    for one in (pod.get("status") or meta.EMPTY).get("conditions") or ():
        if one.get("type") == type:
            return one  # type: ignore[no-any-return]
    return None


def is_ready(pod: meta.Obj) -> bool:
    for one in (pod.get("status") or meta.EMPTY).get("conditions") or ():
        if one.get("type") == "Ready":
            return bool(one.get("status") == "True")
    return False


def ready_since(pod: meta.Obj) -> float | None:
    """Seconds since the epoch at which it became ready; None while it is not."""
    found = condition(pod, "Ready")
    if found is None or found.get("status") != "True" or not found.get("lastTransitionTime"):
        return None
    return columns.seconds_of(found["lastTransitionTime"])


def is_available(pod: meta.Obj, min_ready_seconds: int, now: float) -> bool:
    """Whether it has been ready for `min_ready_seconds`."""
    if not is_ready(pod):
        return False
    since = ready_since(pod)
    return min_ready_seconds == 0 or (since is not None and since + min_ready_seconds <= now)


def ip(pod: meta.Obj) -> str:
    return str(meta.status(pod).get("podIP") or "")


def ips(pod: meta.Obj) -> tuple[str, ...]:
    return tuple(one["ip"] for one in meta.status(pod).get("podIPs") or () if one.get("ip")) or ((ip(pod),) if ip(pod) else ())


def containers(pod: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return meta.spec(pod).get("containers") or ()


def init_containers(pod: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return meta.spec(pod).get("initContainers") or ()


def is_sidecar(init_container: Mapping[str, Any]) -> bool:
    """A restartable init container: started in order, then running beside the others."""
    return init_container.get("restartPolicy") == "Always"


def restart_policy(pod: meta.Obj) -> str:
    return str(meta.spec(pod).get("restartPolicy") or "Always")


def priority(pod: meta.Obj) -> int:
    return int(meta.spec(pod).get("priority") or 0)


def grace_seconds(pod: meta.Obj) -> int | None:
    """What a DELETE without a grace period gives it; None: it goes at once, whatever is asked, for no node knows of it."""
    if not node_name(pod) or is_terminal(pod):
        return None
    wanted = meta.spec(pod).get("terminationGracePeriodSeconds")
    return pod_defaults.GRACE_SECONDS if wanted is None else int(wanted)


def is_mirror(pod: meta.Obj) -> bool:
    """Whether it only shows a static pod that a node runs from a file."""
    return MIRROR_ANNOTATION in meta.annotations(pod)


def is_critical(pod: meta.Obj) -> bool:
    """Whether a node that is short of something takes it all the same, and never ends it for that."""
    return is_mirror(pod) or priority(pod) >= SYSTEM_PRIORITY


def container_statuses(pod: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return meta.status(pod).get("containerStatuses") or ()


def restarts(pod: meta.Obj) -> int:
    return sum(int(one.get("restartCount") or 0) for one in container_statuses(pod))


def qos_class(pod: meta.Obj) -> str:
    return pod_resources.qos_class(meta.spec(pod))


# Rules.


def default(pod: meta.Obj) -> meta.Obj:
    pod = pod_defaults.inside(pod, "spec", pod_defaults.pod_spec)
    return pod_defaults.inside(pod, "spec", _default_spec)


def _default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = pod_defaults.filled(spec, {"enableServiceLinks": True})
    for field in ("initContainers", "containers"):
        spec = pod_defaults.mapped(spec, field, lambda one: pod_defaults.inside(one, "resources", _requests_from_limits))
        if spec.get("hostNetwork"):
            spec = pod_defaults.mapped(spec, field, lambda one: pod_defaults.mapped(one, "ports", _host_port))
    return _default_pod_requests(spec) if spec.get("resources") else spec


def _default_pod_requests(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Pod-level requests are what the containers ask for together, else the pod-level limits."""
    resources = spec["resources"]
    of_containers = {name: amount for name, amount in pod_resources.requests(spec).items() if name in ("cpu", "memory")}
    of_limits = {name: amount for name, amount in (resources.get("limits") or {}).items() if pod_resources.is_pod_level(name)}
    given = resources.get("requests") or {}
    completed = pod_defaults.filled(pod_defaults.filled(given, of_containers), of_limits)
    return spec if completed is given else {**spec, "resources": {**resources, "requests": completed}}


def _requests_from_limits(resources: Mapping[str, Any]) -> Mapping[str, Any]:
    limits = resources.get("limits")
    if not limits:
        return resources
    requests = resources.get("requests") or {}
    completed = pod_defaults.filled(requests, limits)
    return resources if completed is requests else {**resources, "requests": completed}


def _host_port(port: Mapping[str, Any]) -> Mapping[str, Any]:
    return port if port.get("hostPort") else {**port, "hostPort": port.get("containerPort", 0)}


def prepare(pod: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    if old is not None:
        return {**pod, "status": old.get("status", {})}
    if (meta.spec(pod).get("terminationGracePeriodSeconds") or 0) < 0:
        pod = meta.put(pod, ("spec", "terminationGracePeriodSeconds"), 1)
    status: dict[str, Any] = {"phase": "Pending", "qosClass": qos_class(pod)}
    if is_gated(pod):
        gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": GATED_MESSAGE}
        status["conditions"] = [{**gated, "lastProbeTime": None, "lastTransitionTime": meta.meta(pod).get("creationTimestamp")}]
    return {**pod, "status": status}


def prepare_status(pod: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    if old is None:
        return pod
    kept = {**meta.meta(pod), "ownerReferences": meta.meta(old).get("ownerReferences")}
    if not kept["ownerReferences"]:
        del kept["ownerReferences"]
    status = _with_both_addresses(pod_defaults.filled(pod.get("status") or {}, {"qosClass": meta.status(old).get("qosClass", "")}))
    return {**pod, "metadata": kept, "spec": old["spec"], "status": status}


def _with_both_addresses(status: meta.Obj) -> meta.Obj:
    """podIP is the first of podIPs: whoever writes one of them writes both, and podIP wins."""
    one, several = status.get("podIP"), status.get("podIPs")
    if not one:
        return {**status, "podIP": several[0].get("ip", "")} if several else status
    return status if several and several[0].get("ip") == one else {**status, "podIPs": [{"ip": one}]}


def health(pod: meta.Obj) -> Health:
    reason = status_text(pod)
    if phase(pod) == "Succeeded":
        return Health("Healthy")
    if phase(pod) == "Failed":
        return Health("Degraded", str(meta.status(pod).get("message") or reason))
    waiting = next((state for one in container_statuses(pod) if (state := (one.get("state") or {}).get("waiting"))), None)
    if waiting and str(waiting.get("reason", "")).startswith(("CrashLoop", "Err", "ImagePull", "Create", "InvalidImage")):
        return Health("Degraded", f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": "))
    if is_ready(pod):
        return Health("Healthy")
    if phase(pod) == "Running":
        awaited = (condition(pod, "ContainersReady") or meta.EMPTY).get("message") or (condition(pod, "Ready") or meta.EMPTY).get("message")
        return Health("Progressing", f"{reason}, {awaited}" if awaited else f"{reason}, not ready")
    return Health("Progressing", reason)


# The table.


def status_text(pod: meta.Obj) -> str:
    return _summary(pod)[0]


def _ready_cell(pod: meta.Obj) -> str:
    _, ready, _, _ = _summary(pod)
    total = len(containers(pod)) + sum(map(is_sidecar, init_containers(pod)))
    return f"{ready}/{total}"


def _restarts_cell(pod: meta.Obj, now: float) -> str:
    _, _, count, last = _summary(pod)
    return f"{count} ({columns.since(last, now)} ago)" if count and last else str(count)


def _summary(pod: meta.Obj) -> tuple[str, int, int, str]:
    """(status, ready containers, restarts, when the last container ended): printPod of the internal printers."""
    status = meta.status(pod)
    reason = str(status.get("reason") or phase(pod))
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    blocked, ready, restarted, sidecar_restarts = _init_summary(pod)
    initialized = condition(pod, "Initialized")
    if blocked and (initialized is None or initialized.get("status") != "True"):
        return _deleted(pod, blocked), ready, restarted[0], restarted[1]
    count, last = sidecar_restarts
    running = False
    for one in reversed(container_statuses(pod)):
        count += int(one.get("restartCount") or 0)
        last = max(last, _ended_at(one))
        state = one.get("state") or {}
        ended = state.get("terminated")
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif ended is not None:
            reason = ended.get("reason") or _exit_text(ended)
        elif one.get("ready") and state.get("running") is not None:
            running = True
            ready += 1
    if reason == "Completed" and running:
        reason = "Running" if is_ready(pod) else "NotReady"
    return _deleted(pod, reason), ready, count, last


def _init_summary(pod: meta.Obj) -> tuple[str, int, tuple[int, str], tuple[int, str]]:
    """(what initialisation waits on, ready sidecars, restarts of all, restarts of sidecars)."""
    sidecars = {one["name"] for one in init_containers(pod) if is_sidecar(one)}
    ready, count, last, sidecar_count, sidecar_last = 0, 0, "", 0, ""
    for index, one in enumerate(meta.status(pod).get("initContainerStatuses") or ()):
        count, last = count + int(one.get("restartCount") or 0), max(last, _ended_at(one))
        if one["name"] in sidecars:
            sidecar_count, sidecar_last = sidecar_count + int(one.get("restartCount") or 0), max(sidecar_last, _ended_at(one))
        state = one.get("state") or {}
        ended, waiting = state.get("terminated"), (state.get("waiting") or {}).get("reason", "")
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if one["name"] in sidecars and one.get("started"):
            ready += bool(one.get("ready"))
            continue
        if ended is not None:
            blocked = f"Init:{ended.get('reason') or _exit_text(ended)}"
        elif waiting and waiting != "PodInitializing":
            blocked = f"Init:{waiting}"
        else:
            blocked = f"Init:{index}/{len(init_containers(pod))}"
        return blocked, ready, (count, last), (sidecar_count, sidecar_last)
    return "", ready, (count, last), (sidecar_count, sidecar_last)


def _deleted(pod: meta.Obj, reason: str) -> str:
    if not meta.is_deleting(pod):
        return reason
    if meta.status(pod).get("reason") == "NodeLost":
        return "Unknown"
    return reason if is_terminal(pod) else "Terminating"


def _ended_at(status: Mapping[str, Any]) -> str:
    return str(((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or "")


def _exit_text(ended: Mapping[str, Any]) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _gates_cell(pod: meta.Obj) -> str:
    gates = [one["conditionType"] for one in meta.spec(pod).get("readinessGates") or ()]
    met = sum((found := condition(pod, gate)) is not None and found.get("status") == "True" for gate in gates)
    return f"{met}/{len(gates)}" if gates else columns.NONE


def _row_conditions(pod: meta.Obj) -> Iterator[Mapping[str, str]]:
    if phase(pod) == "Succeeded":
        yield {"type": "Completed", "status": "True", "reason": "Succeeded", "message": "The pod has completed successfully."}
    elif phase(pod) == "Failed":
        yield {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}


COLUMNS = (
    columns.NAME,
    columns.column("Ready", _ready_cell, "The aggregate readiness state of this pod for accepting traffic."),
    columns.column("Status", status_text, "The aggregate status of the containers in this pod."),
    Column(
        name="Restarts",
        cell=_restarts_cell,
        description="The number of times the containers in this pod have been restarted and when the last container in this pod"
        " has restarted.",
    ),
    columns.AGE,
    columns.column("IP", lambda pod: ip(pod) or columns.NONE, "@status.podIP", wide=True),
    columns.column("Node", lambda pod: node_name(pod) or columns.NONE, "@spec.nodeName", wide=True),
    columns.column(
        "Nominated Node",
        lambda pod: meta.status(pod).get("nominatedNodeName") or columns.NONE,
        "@status.nominatedNodeName",
        wide=True,
    ),
    columns.column("Readiness Gates", _gates_cell, "@spec.readinessGates", wide=True),
)


def _stream(name: str, kind: str, *verbs: str) -> Subresource:
    return Subresource(name=name, kind=kind, verbs=verbs)


SUBRESOURCES: Iterable[Subresource] = (
    _stream("attach", "PodAttachOptions", "create", "get"),
    _stream("binding", "Binding", "create"),
    _stream("ephemeralcontainers", "Pod", "get", "patch", "update"),
    Subresource(name="eviction", kind="Eviction", verbs=("create",), group="policy", version="v1"),
    _stream("exec", "PodExecOptions", "create", "get"),
    _stream("log", "Pod", "get"),
    _stream("portforward", "PodPortForwardOptions", "create", "get"),
    _stream("proxy", "PodProxyOptions", "create", "delete", "get", "patch", "update"),
    _stream("resize", "Pod", "get", "patch", "update"),
    status_of("Pod"),
)

KIND = Kind(
    group="",
    kind="Pod",
    plural="pods",
    singular="pod",
    short_names=("po",),
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.core.v1.Pod", default=default),),
    subresources=tuple(SUBRESOURCES),
    prepare=prepare,
    prepare_status=prepare_status,
    validate=pod_rules.validate,
    validate_status=pod_rules.validate_status,
    validate_others={"resize": pod_rules.validate_resize, "ephemeralcontainers": pod_rules.validate_ephemeral_containers},
    warn=pod_warnings.of_pod,
    has_generation=True,
    columns=COLUMNS,
    row_conditions=_row_conditions,
    selectable_fields={
        "spec.nodeName": node_name,
        "spec.restartPolicy": restart_policy,
        "spec.schedulerName": lambda pod: str(meta.spec(pod).get("schedulerName", "")),
        "spec.serviceAccountName": lambda pod: str(meta.spec(pod).get("serviceAccountName", "")),
        "spec.hostNetwork": lambda pod: "true" if meta.spec(pod).get("hostNetwork") else "false",
        "status.phase": lambda pod: str(meta.status(pod).get("phase", "")),
        "status.podIP": ip,
        "status.podIPs": lambda pod: ips(pod)[0] if ips(pod) else "",
        "status.nominatedNodeName": lambda pod: str(meta.status(pod).get("nominatedNodeName", "")),
    },
    graceful_seconds=grace_seconds,
    health=health,
    order=60,
)
