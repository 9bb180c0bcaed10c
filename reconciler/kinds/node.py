"""Node: a machine that runs pods. Its status is measured by its agent; heart beats are Leases, not Node updates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import columns
from reconciler.kinds.rules import addresses, check, resources, scheduling
from reconciler.model import errors, gojson, meta, names
from reconciler.model.errors import FieldError
from reconciler.model.kind import Health, Kind, Subresource, Version, status_of

ROLE_PREFIX = "node-role.kubernetes.io/"
OLD_ROLE_LABEL = "kubernetes.io/role"
HOSTNAME_LABEL = "kubernetes.io/hostname"
AVOID_ANNOTATION = "scheduler.alpha.kubernetes.io/preferAvoidPods"
LEASE_NAMESPACE = "kube-node-lease"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
NOT_READY_TAINT = "node.kubernetes.io/not-ready"
UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
PRESSURES = ("DiskPressure", "MemoryPressure", "PIDPressure")  # conditions that are true where a node is short of something


def condition(node: meta.Obj, type: str) -> Mapping[str, Any] | None:
    return next((one for one in meta.status(node).get("conditions") or () if one.get("type") == type), None)


def is_ready(node: meta.Obj) -> bool:
    found = condition(node, "Ready")
    return found is not None and found.get("status") == "True"


def pressures(node: meta.Obj) -> tuple[str, ...]:
    """The conditions that say that it is short of something."""
    found = {one.get("type"): one.get("status") for one in meta.status(node).get("conditions") or ()}
    return tuple(one for one in PRESSURES if found.get(one) == "True")


def is_unschedulable(node: meta.Obj) -> bool:
    """Cordoned."""
    return bool(meta.spec(node).get("unschedulable"))


def is_schedulable(node: meta.Obj) -> bool:
    return is_ready(node) and not is_unschedulable(node) and not meta.is_deleting(node)


def taints(node: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return meta.spec(node).get("taints") or ()


def capacity(node: meta.Obj) -> Mapping[str, str]:
    return meta.status(node).get("capacity") or meta.EMPTY


def allocatable(node: meta.Obj) -> Mapping[str, str]:
    """What pods may use; the capacity where the node does not tell."""
    return meta.status(node).get("allocatable") or capacity(node)


def address(node: meta.Obj, type: str = "InternalIP") -> str:
    """Its first address of a type, "" when it has none."""
    return next((one["address"] for one in meta.status(node).get("addresses") or () if one.get("type") == type), "")


def pod_cidrs(node: meta.Obj) -> tuple[str, ...]:
    spec = meta.spec(node)
    return tuple(spec.get("podCIDRs") or ((spec["podCIDR"],) if spec.get("podCIDR") else ()))


def roles(node: meta.Obj) -> tuple[str, ...]:
    found = {label.removeprefix(ROLE_PREFIX) for label in meta.labels(node) if label.startswith(ROLE_PREFIX)} - {""}
    if meta.labels(node).get(OLD_ROLE_LABEL):
        found.add(meta.labels(node)[OLD_ROLE_LABEL])
    return tuple(sorted(found))


def default(node: meta.Obj) -> meta.Obj:
    spec, status = meta.spec(node), meta.status(node)
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        node = {**node, "spec": {**spec, "podCIDRs": [spec["podCIDR"]]}}
    elif spec.get("podCIDRs") and not spec.get("podCIDR"):
        node = {**node, "spec": {**spec, "podCIDR": spec["podCIDRs"][0]}}
    if status.get("capacity") and not status.get("allocatable"):
        node = {**node, "status": {**status, "allocatable": status["capacity"]}}
    return node


def prepare(node: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    return node if old is None else {**node, "status": old.get("status") or {}}


def prepare_status(node: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    return node if old is None else {**node, "spec": old.get("spec") or {}}


def validate(node: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    avoided = meta.annotations(node).get(AVOID_ANNOTATION)
    if avoided is not None and (complaint := gojson.complaint(avoided)):
        yield errors.invalid("metadata.annotations.AvoidPods", AVOID_ANNOTATION, complaint)
    yield from _validate_taints("metadata.taints", taints(node))
    for field in ("capacity", "allocatable"):
        for name, amount in (meta.status(node).get(field) or {}).items():
            yield from resources.amount(f"status.{field}.{name}", name, amount)
    ranges = list(meta.spec(node).get("podCIDRs") or ())
    for index, text in enumerate(ranges):
        yield from addresses.cidr(f"spec.podCIDRs[{index}]", text)
    if len(ranges) > 1 and (len(ranges) > 2 or not addresses.one_per_family(ranges)):
        yield errors.invalid("spec.podCIDRs", ranges, "may specify no more than one CIDR for each IP family")
    if old is not None:
        yield from _validate_update(meta.spec(node), meta.spec(old))


def _validate_taints(path: str, found: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(found):
        at, key, effect = f"{path}[{index}]", taint.get("key", ""), taint.get("effect", "")
        yield from check.qualified(f"{at}.key", key)
        if reasons := names.label_value(taint.get("value", "")):
            yield errors.invalid(f"{at}.value", taint["value"], ";".join(reasons))
        yield from scheduling.taint_effect(f"{at}.effect", effect, allow_empty=False)
        if (key, effect) in seen:
            shown = errors.shown(check.internal(taint, Key="", Value="", Effect="", TimeAdded=None))
            message = f"Duplicate value: {shown}: taints must be unique by key and effect pair"
            yield FieldError(at, "FieldValueDuplicate", message)
        seen.add((key, effect))


def _validate_update(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[FieldError]:
    if old.get("podCIDRs") and new.get("podCIDRs") != old["podCIDRs"]:
        yield errors.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if old.get("providerID") and new.get("providerID") != old["providerID"]:
        yield errors.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
    fixed = [{k: v for k, v in spec.items() if k not in CHANGEABLE} for spec in (new, old)]
    if fixed[0] != fixed[1]:
        yield errors.forbidden("", ONLY_CHANGES)


CHANGEABLE = ("podCIDR", "podCIDRs", "providerID", "taints", "unschedulable", "configSource", "externalID")
ONLY_CHANGES = (
    "node updates may only change labels, taints, or capacity (or configSource, if the DynamicKubeletConfig feature gate is enabled)"
)


def health(node: meta.Obj) -> Health:
    found = condition(node, "Ready")
    if found is None:
        return Health("Unknown", "no node agent has reported yet")
    if found.get("status") != "True":
        return Health("Degraded", str(found.get("message") or "it is not ready"))
    short = [str((condition(node, one) or meta.EMPTY).get("message") or one) for one in pressures(node)]
    return Health("Degraded", "; ".join(short)) if short else Health("Healthy")


def is_measurement(old: meta.Obj | None, new: meta.Obj) -> bool:
    """Whether only heart beat times of conditions changed: lost in a crash without harm."""
    return old is not None and _without_beats(old) == _without_beats(new)


def _without_beats(node: meta.Obj) -> Any:
    metadata = {k: v for k, v in meta.meta(node).items() if k not in ("resourceVersion", "managedFields")}
    status = dict(meta.status(node))
    status["conditions"] = [{k: v for k, v in one.items() if k != "lastHeartbeatTime"} for one in status.get("conditions") or ()]
    return metadata, node.get("spec"), status


def _status_cell(node: meta.Obj) -> str:
    found = condition(node, "Ready")
    text = "Unknown" if found is None else "Ready" if found.get("status") == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if is_unschedulable(node) else text


def _info(name: str) -> Any:
    return lambda node: (meta.status(node).get("nodeInfo") or {}).get(name) or columns.UNKNOWN


def _kernel(node: meta.Obj) -> str:
    """The kernel and, where it is known, the architecture."""
    info = meta.status(node).get("nodeInfo") or {}
    version, architecture = info.get("kernelVersion"), info.get("architecture")
    return f"{version} ({architecture})" if version and architecture else version or columns.UNKNOWN


KIND = Kind(
    group="",
    kind="Node",
    plural="nodes",
    singular="node",
    short_names=("no",),
    namespaced=False,
    versions=(Version(name="v1", schema="io.k8s.api.core.v1.Node", default=default),),
    subresources=(
        Subresource(name="proxy", kind="NodeProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
        status_of("Node"),
    ),
    prepare=prepare,
    prepare_status=prepare_status,
    validate=validate,
    columns=(
        columns.NAME,
        columns.column("Status", _status_cell, "The status of the node"),
        columns.column("Roles", lambda node: columns.joined(roles(node)), "The roles of the node"),
        columns.AGE,
        columns.column(
            "Version", lambda node: (meta.status(node).get("nodeInfo") or {}).get("kubeletVersion", ""), "@status.nodeInfo.kubeletVersion"
        ),
        columns.column("Internal-IP", lambda node: address(node) or columns.NONE, "@status.addresses", wide=True),
        columns.column("External-IP", lambda node: address(node, "ExternalIP") or columns.NONE, "@status.addresses", wide=True),
        columns.column("OS-Image", _info("osImage"), "@status.nodeInfo.osImage", wide=True),
        columns.column("Kernel-Version", _kernel, "@status.nodeInfo.kernelVersion", wide=True),
        columns.column("Container-Runtime", _info("containerRuntimeVersion"), "@status.nodeInfo.containerRuntimeVersion", wide=True),
    ),
    selectable_fields={"spec.unschedulable": lambda node: "true" if is_unschedulable(node) else "false"},
    volatile=is_measurement,
    health=health,
    order=5,
)
