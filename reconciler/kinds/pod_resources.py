"""What the containers of a pod ask for together, by resource, as texts.

The scheduler's and the node's arithmetic in numbers is placement/; this one serves defaults, which compare and store
quantities as they are written.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.model import quantity

HUGE_PAGES = "hugepages-"


def is_pod_level(name: str) -> bool:
    """Whether a pod as a whole can ask for it."""
    return name in ("cpu", "memory") or name.startswith(HUGE_PAGES)


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed: every container has cpu and memory limits equal to its requests; BestEffort: none has any."""
    own = spec.get("resources")
    every = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    parts = [own] if own else [one.get("resources") or {} for one in every]
    wanted = [{n: q for n, q in (part.get("requests") or {}).items() if n in ("cpu", "memory") and q != "0"} for part in parts]
    limits = [{n: q for n, q in (part.get("limits") or {}).items() if n in ("cpu", "memory") and q != "0"} for part in parts]
    if not any(wanted) and not any(limits):
        return "BestEffort"
    if all(len(limit) == 2 and (not want or want == limit) for want, limit in zip(wanted, limits, strict=True)):
        return "Guaranteed"
    return "Burstable"


def requests(spec: Mapping[str, Any]) -> dict[str, str]:
    """Containers and sidecars added up, or what one init container needs beside the sidecars before it, if that is more."""
    total: dict[str, str] = {}
    for one in spec.get("containers") or ():
        total = _added(total, _of(one))
    sidecars: dict[str, str] = {}
    peak: dict[str, str] = {}
    for one in spec.get("initContainers") or ():
        if one.get("restartPolicy") == "Always":
            sidecars = _added(sidecars, _of(one))
            peak = _larger(peak, sidecars)
        else:
            peak = _larger(peak, _added(sidecars, _of(one)))
    return _larger(_added(total, sidecars), peak)


def _of(container: Mapping[str, Any]) -> Mapping[str, str]:
    return (container.get("resources") or {}).get("requests") or {}


def _added(left: Mapping[str, str], right: Mapping[str, str]) -> dict[str, str]:
    return {**left, **{name: quantity.add(left.get(name, "0"), amount) for name, amount in right.items()}}


def _larger(left: Mapping[str, str], right: Mapping[str, str]) -> dict[str, str]:
    return {**left, **{name: amount for name, amount in right.items() if quantity.compare(amount, left.get(name, "0")) > 0}}
