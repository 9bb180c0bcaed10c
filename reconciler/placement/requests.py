"""How much of each resource a pod asks of a node: Kubernetes' arithmetic, in whole numbers.

CPU is counted in thousandths of a core, everything else in its own unit (bytes, pieces). Amounts are those of
k8s.io/component-helpers/resource: what runs together is summed, init containers count by their peak, sidecars
(init containers with restartPolicy Always) run beside everything that starts after them, overhead comes on top,
and requests of the pod as a whole (KEP-2837) replace the sum of the resources they name.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.model import meta, quantity

CPU = "cpu"
MEMORY = "memory"
EPHEMERAL_STORAGE = "ephemeral-storage"
PODS = "pods"

Amounts = dict[str, int]  # resource -> thousandths of a core, bytes or pieces

# What scoring takes a container without a request to use, so that such pods do not pile up on one node.
USUAL_REQUESTS: Mapping[str, int] = {CPU: 100, MEMORY: 200 * 1024 * 1024}

REMEMBERED = 4096  # sums of templates

_ASKING = ("containers", "initContainers", "resources", "overhead")  # the parts of a spec that ask
_POD_LEVEL = (CPU, MEMORY, "hugepages-")


def amount(resource: str, text: Any) -> int:
    """A quantity of `resource` as a whole number. Raises ValueError for what is none."""
    parsed = quantity.parse(str(text))
    return parsed.milli if resource == CPU else parsed.value


def amounts(quantities: Mapping[str, Any] | None) -> Amounts:
    return {resource: amount(resource, text) for resource, text in (quantities or meta.EMPTY).items()}


def allocatable(node: meta.Obj) -> Amounts:
    """What pods may use of a node."""
    status = meta.status(node)
    return amounts(status.get("allocatable") or status.get("capacity"))


def is_extended(resource: str) -> bool:
    """Whether only pods that ask for `resource` care about it: everything but CPU, memory and local storage."""
    return resource not in (CPU, MEMORY, EPHEMERAL_STORAGE, PODS)


def of_container(container: Mapping[str, Any], missing: Mapping[str, int] = meta.EMPTY) -> Amounts:
    """A limit without a request is a request, as defaulting makes it; `missing` stands in for what is not asked."""
    resources = container.get("resources") or meta.EMPTY
    asked = amounts(resources.get("limits"))
    asked.update(amounts(resources.get("requests")))
    for resource, usual in missing.items():
        asked.setdefault(resource, usual)
    return asked


def of_pod(pod: meta.Obj, missing: Mapping[str, int] = meta.EMPTY) -> Mapping[str, int]:
    """What the scheduler and the node count for `pod`, in the order in which containers name it.

    Pods of one template share the parts that ask; until a node grants something else the sum is remembered by identity.
    """
    spec, status = meta.spec(pod), meta.status(pod)
    granted, infeasible = _granted(status), _is_infeasible(status)
    held = _held(status)
    if granted or infeasible or held:
        return _sum(spec, granted, held, infeasible, missing)
    parts = (missing, *[spec.get(name) for name in _ASKING])
    key = tuple(map(id, parts))
    known = _remembered.get(key)
    if known is None:
        if len(_remembered) >= REMEMBERED:
            del _remembered[next(iter(_remembered))]
        known = _remembered[key] = (parts, _sum(spec, granted, held, infeasible, missing))
    return known[1]


_remembered: dict[tuple[int, ...], tuple[tuple[Any, ...], Amounts]] = {}  # the parts are kept, so that their ids are theirs


def _sum(spec: Mapping[str, Any], granted: Mapping[Any, Amounts], held: Amounts, infeasible: bool, missing: Mapping[str, int]) -> Amounts:
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _with_granted(of_container(container, missing), granted.get(container.get("name")), infeasible))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        asked = _with_granted(of_container(container, missing), granted.get(container.get("name")), infeasible)
        if container.get("restartPolicy") == "Always":
            _add(total, asked)
            _add(sidecars, asked)
            _raise(peak, sidecars.items())
        else:
            _add(asked, sidecars)
            _raise(peak, asked.items())
    _raise(total, peak.items())
    whole = amounts((spec.get("resources") or meta.EMPTY).get("requests"))
    for resource, asked_for in _with_granted(whole, held if whole else None, infeasible).items():
        if resource in whole and resource.startswith(_POD_LEVEL):
            total[resource] = asked_for
    _add(total, amounts(spec.get("overhead")))
    return total


def _granted(status: Mapping[str, Any]) -> dict[Any, Amounts]:
    """What the node holds for running containers, by name: during a resize the larger of old and new counts."""
    statuses = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    return {one.get("name"): held for one in statuses if (held := _held(one))}


def _held(status: Mapping[str, Any]) -> Amounts:
    """What is allocated to, or actually set for, a container or pod: the larger of both."""
    if "allocatedResources" not in status and "resources" not in status:
        return {}
    held = amounts(status.get("allocatedResources"))
    _raise(held, amounts((status.get("resources") or meta.EMPTY).get("requests")).items())
    return held


def _is_infeasible(status: Mapping[str, Any]) -> bool:
    """Whether the node has refused for good what a resize asks for, so that it does not count."""
    return any(one.get("type") == "PodResizePending" and one.get("reason") == "Infeasible" for one in status.get("conditions") or ())


def _with_granted(asked: Amounts, held: Amounts | None, infeasible: bool) -> Amounts:
    if not held:
        return asked
    if infeasible:
        return held
    _raise(asked, held.items())
    return asked


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for resource, asked in more.items():
        total[resource] = total.get(resource, 0) + asked


def _raise(total: Amounts, floor: Iterable[tuple[str, int]]) -> None:
    for resource, asked in floor:
        if asked > total.get(resource, 0):
            total[resource] = asked
