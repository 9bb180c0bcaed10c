"""Objects as metrics, under kube-state-metrics' names, so that its dashboards and alerts work unchanged.

A pure function of the view: `lines` yields the exposition a line at a time, so that the server can hand the
event loop back between them however many pods there are. Nothing is kept between scrapes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.kit import clock
from reconciler.model import meta, quantity
from reconciler.model.view import NAMESPACE, View

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: every sample that one object of `kind` contributes."""

    name: str
    help: str
    kind: str
    samples: Callable[[meta.Obj], Iterable[Sample]]


READS = frozenset(
    {
        "namespaces", "nodes", "pods", "replicasets.apps", "deployments.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch",
        "horizontalpodautoscalers.autoscaling", "resourcequotas", "poddisruptionbudgets.policy", "persistentvolumes",
    }
)  # fmt: skip


def lines(view: View) -> Iterator[str]:
    """The whole exposition; kinds that the view's roster does not serve are left out."""
    namespaces = ["", *(meta.name(namespace) for namespace in view.by("namespaces", NAMESPACE, ""))]
    for family in FAMILIES:
        if view.roster.get(family.kind) is None:
            continue
        kind = "counter" if family.name.endswith("_total") else "gauge"
        yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {kind}\n"
        for namespace in namespaces:
            for obj in view.by(family.kind, NAMESPACE, namespace):
                for labels, value in family.samples(obj):
                    yield f"{family.name}{{{_labels(labels)}}} {value:g}\n"


def _labels(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return str(value).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _named(obj: meta.Obj, label: str) -> dict[str, str]:
    if not meta.namespace(obj):
        return {label: meta.name(obj)}
    return {"namespace": meta.namespace(obj), label: meta.name(obj)}


def _number(label: str, *path: str, default: float | None = 0) -> Callable[[meta.Obj], Iterable[Sample]]:
    """The number at `path`; where there is none, `default`, or no sample if that is None."""

    def samples(obj: meta.Obj) -> Iterable[Sample]:
        value = obj
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None  # type: ignore[assignment]
        if value is None and default is None:
            return
        yield _named(obj, label), float(value if value is not None else default)  # type: ignore[arg-type]

    return samples


def _status(label: str, field: str) -> Callable[[meta.Obj], Iterable[Sample]]:
    return _number(label, "status", field)


def _conditions(label: str) -> Callable[[meta.Obj], Iterable[Sample]]:
    def samples(obj: meta.Obj) -> Iterable[Sample]:
        for condition in meta.status(obj).get("conditions") or ():
            for state in ("true", "false", "unknown"):
                found = float(condition["status"].lower() == state)
                yield {**_named(obj, label), "condition": condition["type"], "status": state}, found

    return samples


def _phase(label: str, phases: tuple[str, ...]) -> Callable[[meta.Obj], Iterable[Sample]]:
    def samples(obj: meta.Obj) -> Iterable[Sample]:
        phase = meta.status(obj).get("phase")
        for candidate in phases:
            yield {**_named(obj, label), "phase": candidate}, float(phase == candidate)

    return samples


def _owner(label: str) -> Callable[[meta.Obj], Iterable[Sample]]:
    def samples(obj: meta.Obj) -> Iterable[Sample]:
        for owner in meta.owners(obj):
            yield (
                {
                    **_named(obj, label),
                    "owner_kind": owner["kind"],
                    "owner_name": owner["name"],
                    "owner_is_controller": "true" if owner.get("controller") else "false",
                },
                1,
            )

    return samples


# ---- pods ---------------------------------------------------------------------------------------------------------


def _pod(obj: meta.Obj) -> dict[str, str]:
    return {"namespace": meta.namespace(obj), "pod": meta.name(obj), "uid": meta.uid(obj)}


def _pod_info(obj: meta.Obj) -> Iterable[Sample]:
    owner = meta.controller(obj) or {}
    spec, status = meta.spec(obj), meta.status(obj)
    yield (
        {
            **_pod(obj),
            "host_ip": status.get("hostIP", ""),
            "pod_ip": status.get("podIP", ""),
            "node": spec.get("nodeName", ""),
            "created_by_kind": owner.get("kind", ""),
            "created_by_name": owner.get("name", ""),
            "priority_class": spec.get("priorityClassName", ""),
            "host_network": "true" if spec.get("hostNetwork") else "false",
        },
        1,
    )


def _pod_phase(obj: meta.Obj) -> Iterable[Sample]:
    phase = meta.status(obj).get("phase")
    for candidate in ("Pending", "Succeeded", "Failed", "Unknown", "Running"):
        yield {**_pod(obj), "phase": candidate}, float(phase == candidate)


def _pod_ready(obj: meta.Obj) -> Iterable[Sample]:
    ready = next((c["status"] for c in meta.status(obj).get("conditions") or () if c["type"] == "Ready"), "False")
    for state in ("true", "false", "unknown"):
        yield {**_pod(obj), "condition": state}, float(ready.lower() == state)


def _pod_reason(obj: meta.Obj) -> Iterable[Sample]:
    reason = meta.status(obj).get("reason")
    for candidate in ("Evicted", "NodeAffinity", "NodeLost", "Shutdown", "UnexpectedAdmissionError"):
        yield {**_pod(obj), "reason": candidate}, float(reason == candidate)


def _containers(obj: meta.Obj) -> Iterable[tuple[Labels, meta.Obj]]:
    for status in meta.status(obj).get("containerStatuses") or ():
        yield {**_pod(obj), "container": status["name"]}, status


def _container_info(obj: meta.Obj) -> Iterable[Sample]:
    images = {container["name"]: container.get("image", "") for container in meta.spec(obj).get("containers") or ()}
    for labels, status in _containers(obj):
        yield (
            {
                **labels,
                "image_spec": images.get(status["name"], ""),
                "image": status.get("image", ""),
                "image_id": status.get("imageID", ""),
                "container_id": status.get("containerID", ""),
            },
            1,
        )


def _container_waiting(obj: meta.Obj) -> Iterable[Sample]:
    for labels, status in _containers(obj):
        waiting = (status.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason"):
            yield {**labels, "reason": waiting["reason"]}, 1


def _container_restarts(obj: meta.Obj) -> Iterable[Sample]:
    for labels, status in _containers(obj):
        yield labels, float(status.get("restartCount", 0))


def _container_resources(bound: str) -> Callable[[meta.Obj], Iterable[Sample]]:
    def samples(obj: meta.Obj) -> Iterable[Sample]:
        for container in meta.spec(obj).get("containers") or ():
            for resource, amount in ((container.get("resources") or {}).get(bound) or {}).items():
                unit = "core" if resource == "cpu" else "byte" if resource in ("memory", "ephemeral-storage") else "integer"
                labels = {**_pod(obj), "container": container["name"], "node": meta.spec(obj).get("nodeName", "")}
                yield {**labels, "resource": resource.replace("-", "_").replace(".", "_").replace("/", "_"), "unit": unit}, _amount(amount)

    return samples


def _amount(text: object) -> float:
    return quantity.milli(str(text)) / 1000


# ---- nodes and the rest ---------------------------------------------------------------------------------------------


def _node_info(obj: meta.Obj) -> Iterable[Sample]:
    info = meta.status(obj).get("nodeInfo") or {}
    addresses = {a["type"]: a["address"] for a in meta.status(obj).get("addresses") or ()}
    yield (
        {
            "node": meta.name(obj),
            "kernel_version": info.get("kernelVersion", ""),
            "os_image": info.get("osImage", ""),
            "container_runtime_version": info.get("containerRuntimeVersion", ""),
            "kubelet_version": info.get("kubeletVersion", ""),
            "internal_ip": addresses.get("InternalIP", ""),
            "pod_cidr": meta.spec(obj).get("podCIDR", ""),
        },
        1,
    )


def _node_role(obj: meta.Obj) -> Iterable[Sample]:
    for label in meta.labels(obj):
        if label.startswith("node-role.kubernetes.io/"):
            yield {"node": meta.name(obj), "role": label.partition("/")[2]}, 1


def _node_unschedulable(obj: meta.Obj) -> Iterable[Sample]:
    yield {"node": meta.name(obj)}, float(bool(meta.spec(obj).get("unschedulable")))


def _node_taints(obj: meta.Obj) -> Iterable[Sample]:
    for taint in meta.spec(obj).get("taints") or ():
        yield {"node": meta.name(obj), "key": taint["key"], "value": taint.get("value", ""), "effect": taint["effect"]}, 1


def _node_resources(field: str) -> Callable[[meta.Obj], Iterable[Sample]]:
    def samples(obj: meta.Obj) -> Iterable[Sample]:
        for resource, amount in (meta.status(obj).get(field) or {}).items():
            unit = "core" if resource == "cpu" else "integer" if resource == "pods" else "byte"
            yield {"node": meta.name(obj), "resource": resource.replace("-", "_"), "unit": unit}, _amount(amount)

    return samples


def _quota(obj: meta.Obj) -> Iterable[Sample]:
    status = meta.status(obj)
    for kind in ("hard", "used"):
        for resource, amount in (status.get(kind) or {}).items():
            yield {**_named(obj, "resourcequota"), "resource": resource, "type": kind}, _amount(amount)


def _job_failed(obj: meta.Obj) -> Iterable[Sample]:
    for condition in meta.status(obj).get("conditions") or ():
        if condition["type"] == "Failed":
            yield {**_named(obj, "job_name"), "condition": condition["status"].lower()}, 1


def _job_start(obj: meta.Obj) -> Iterable[Sample]:
    started = meta.status(obj).get("startTime")
    if started:
        yield _named(obj, "job_name"), clock.parse_rfc3339(started)


def _revision(field: str) -> Callable[[meta.Obj], Iterable[Sample]]:
    def samples(obj: meta.Obj) -> Iterable[Sample]:
        revision = meta.status(obj).get(field)
        if revision:
            yield {**_named(obj, "statefulset"), "revision": revision}, 1

    return samples


_DEPLOYMENT, _STATEFULSET, _DAEMONSET = "deployments.apps", "statefulsets.apps", "daemonsets.apps"
_HPA, _PDB, _JOB = "horizontalpodautoscalers.autoscaling", "poddisruptionbudgets.policy", "jobs.batch"

FAMILIES = (
    Family("kube_pod_info", "Facts about a pod.", "pods", _pod_info),
    Family("kube_pod_owner", "The owners of a pod.", "pods", _owner("pod")),
    Family("kube_pod_status_phase", "The phase that a pod is in.", "pods", _pod_phase),
    Family("kube_pod_status_ready", "Whether a pod serves requests.", "pods", _pod_ready),
    Family("kube_pod_status_reason", "Why a pod was ended by its node.", "pods", _pod_reason),
    Family("kube_pod_container_info", "Facts about a container.", "pods", _container_info),
    Family("kube_pod_container_status_waiting_reason", "Why a container waits.", "pods", _container_waiting),
    Family("kube_pod_container_status_restarts_total", "Restarts of a container.", "pods", _container_restarts),
    Family("kube_pod_container_resource_requests", "What a container requests.", "pods", _container_resources("requests")),
    Family("kube_pod_container_resource_limits", "What a container may use.", "pods", _container_resources("limits")),
    Family("kube_deployment_spec_replicas", "Pods wanted.", _DEPLOYMENT, _number("deployment", "spec", "replicas", default=1)),
    Family("kube_deployment_status_replicas_available", "Pods available.", _DEPLOYMENT, _status("deployment", "availableReplicas")),
    Family(
        "kube_deployment_status_replicas_updated", "Pods of the newest template.", _DEPLOYMENT, _status("deployment", "updatedReplicas")
    ),
    Family("kube_deployment_status_observed_generation", "Generation acted on.", _DEPLOYMENT, _status("deployment", "observedGeneration")),
    Family("kube_deployment_metadata_generation", "Generation wanted.", _DEPLOYMENT, _number("deployment", "metadata", "generation")),
    Family("kube_deployment_status_condition", "Conditions of a deployment.", _DEPLOYMENT, _conditions("deployment")),
    Family("kube_replicaset_owner", "The owners of a replica set.", "replicasets.apps", _owner("replicaset")),
    Family("kube_statefulset_replicas", "Pods wanted.", _STATEFULSET, _number("statefulset", "spec", "replicas", default=1)),
    Family("kube_statefulset_status_replicas_ready", "Pods ready.", _STATEFULSET, _status("statefulset", "readyReplicas")),
    Family(
        "kube_statefulset_status_replicas_updated", "Pods of the newest revision.", _STATEFULSET, _status("statefulset", "updatedReplicas")
    ),
    Family("kube_statefulset_status_current_revision", "The revision that pods start from.", _STATEFULSET, _revision("currentRevision")),
    Family("kube_statefulset_status_update_revision", "The revision that pods move to.", _STATEFULSET, _revision("updateRevision")),
    Family(
        "kube_daemonset_status_desired_number_scheduled",
        "Nodes that should run a pod.",
        _DAEMONSET,
        _status("daemonset", "desiredNumberScheduled"),
    ),
    Family(
        "kube_daemonset_status_current_number_scheduled",
        "Nodes that run a pod.",
        _DAEMONSET,
        _status("daemonset", "currentNumberScheduled"),
    ),
    Family("kube_daemonset_status_number_misscheduled", "Nodes that should not.", _DAEMONSET, _status("daemonset", "numberMisscheduled")),
    Family(
        "kube_daemonset_status_updated_number_scheduled",
        "Nodes on the newest template.",
        _DAEMONSET,
        _status("daemonset", "updatedNumberScheduled"),
    ),
    Family("kube_daemonset_status_number_available", "Nodes with an available pod.", _DAEMONSET, _status("daemonset", "numberAvailable")),
    Family("kube_job_status_start_time", "When a job started, seconds since the epoch.", _JOB, _job_start),
    Family("kube_job_status_active", "Pods running.", _JOB, _status("job_name", "active")),
    Family("kube_job_failed", "Whether a job failed.", _JOB, _job_failed),
    Family(
        "kube_horizontalpodautoscaler_status_current_replicas",
        "Pods there are.",
        _HPA,
        _status("horizontalpodautoscaler", "currentReplicas"),
    ),
    Family(
        "kube_horizontalpodautoscaler_status_desired_replicas", "Pods wanted.", _HPA, _status("horizontalpodautoscaler", "desiredReplicas")
    ),
    Family(
        "kube_horizontalpodautoscaler_spec_min_replicas",
        "Lower bound.",
        _HPA,
        _number("horizontalpodautoscaler", "spec", "minReplicas", default=1),
    ),
    Family(
        "kube_horizontalpodautoscaler_spec_max_replicas", "Upper bound.", _HPA, _number("horizontalpodautoscaler", "spec", "maxReplicas")
    ),
    Family("kube_node_info", "Facts about a node.", "nodes", _node_info),
    Family("kube_node_role", "Roles of a node.", "nodes", _node_role),
    Family("kube_node_spec_unschedulable", "Whether a node takes no new pods.", "nodes", _node_unschedulable),
    Family("kube_node_spec_taint", "Taints of a node.", "nodes", _node_taints),
    Family("kube_node_status_condition", "Conditions of a node.", "nodes", _conditions("node")),
    Family("kube_node_status_capacity", "What a node has.", "nodes", _node_resources("capacity")),
    Family("kube_node_status_allocatable", "What a node has for pods.", "nodes", _node_resources("allocatable")),
    Family("kube_namespace_status_phase", "The phase of a namespace.", "namespaces", _phase("namespace", ("Active", "Terminating"))),
    Family("kube_resourcequota", "Limits and use of a quota.", "resourcequotas", _quota),
    Family(
        "kube_poddisruptionbudget_status_desired_healthy", "Pods that must stay.", _PDB, _status("poddisruptionbudget", "desiredHealthy")
    ),
    Family(
        "kube_poddisruptionbudget_status_current_healthy", "Pods that are healthy.", _PDB, _status("poddisruptionbudget", "currentHealthy")
    ),
    Family(
        "kube_persistentvolume_status_phase",
        "The phase of a volume.",
        "persistentvolumes",
        _phase("persistentvolume", ("Pending", "Available", "Bound", "Released", "Failed")),
    ),
)
