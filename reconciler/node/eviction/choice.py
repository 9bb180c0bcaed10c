"""Which pod a node ends, and what it says: the kubelet's ranking and wording. Pure.

For a shortage: a pod that uses more than it requested goes first, then the one of least priority, then the one that is
furthest above its request; for processes priority, then their number. Critical pods never go. For limits of its own: any
pod whose emptyDir, containers together or single container hold more than they may.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.kinds import pod as pods
from reconciler.model import meta, quantity
from reconciler.node.eviction import plan, thresholds
from reconciler.placement import requests

IMMEDIATE_SECONDS = 1.0  # what pods get to end in when a hard threshold or a limit ends them
EMPTY_DIR_LIMIT, POD_LIMIT, CONTAINER_LIMIT = "emptydirfs.limit", "ephemeralpodfs.limit", "ephemeralcontainerfs.limit"
SIGNALS = (*thresholds.SIGNALS, EMPTY_DIR_LIMIT, POD_LIMIT, CONTAINER_LIMIT)
_STORAGE = requests.EPHEMERAL_STORAGE


@dataclass(frozen=True, slots=True)
class Space:
    bytes: int = 0
    inodes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a pod uses, as far as somebody wanted to know."""

    memory: Mapping[str, int] = field(default_factory=dict)  # working set in bytes, by container
    processes: int = 0
    containers: Mapping[str, Space] = field(default_factory=dict)  # writable layer and logs, by container
    volumes: Mapping[str, Space] = field(default_factory=dict)  # emptyDirs by name
    volatile: frozenset[str] = frozenset()  # those of them that are in memory

    def space(self) -> Space:
        """On disk."""
        parts = [*self.containers.values(), *(space for name, space in self.volumes.items() if name not in self.volatile)]
        return Space(sum(part.bytes for part in parts), sum(part.inodes for part in parts))


@dataclass(frozen=True, slots=True)
class Candidate:
    pod: meta.Obj
    used: Used | None  # None: it could not be measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    pod: meta.Obj
    signal: str
    message: str
    grace_seconds: float
    is_disruption: bool  # whether a DisruptionTarget condition says so, too


# For the node's sake


def of_node(
    due: Sequence[thresholds.Threshold], observed: plan.Observations, candidates: Iterable[Candidate], settings: thresholds.Settings
) -> Eviction | None:
    """The one pod that goes for the first of `due`."""
    threshold = due[0]
    resource = thresholds.SIGNALS[threshold.signal].resource
    evictable = [one for one in candidates if not pods.is_critical(one.pod)]
    if not evictable:
        return None
    chosen = min(evictable, key=lambda one: _rank(one, resource))
    return Eviction(
        pod=chosen.pod,
        signal=threshold.signal,
        message=_message(chosen, resource, due, observed),
        grace_seconds=IMMEDIATE_SECONDS if threshold.is_hard else _soft_grace(chosen.pod, settings),
        is_disruption=True,
    )


def _rank(one: Candidate, resource: str) -> tuple[bool, bool, int, int, meta.Key]:
    """The least goes first."""
    priority, key = pods.priority(one.pod), meta.key(one.pod)
    if one.used is None:
        return False, False, priority, 0, key
    used, requested = _use(one.used, resource), requests.of_pod(one.pod).get(resource, 0)
    within = resource != "pids" and used <= requested
    return True, within, priority, requested - used, key


def _use(used: Used, resource: str) -> int:
    if resource == "memory":
        return sum(used.memory.values())
    if resource == "pids":
        return used.processes
    return used.space().inodes if resource == "inodes" else used.space().bytes


def _soft_grace(pod: meta.Obj, settings: thresholds.Settings) -> float:
    own = meta.spec(pod).get("terminationGracePeriodSeconds")
    return settings.max_pod_grace_seconds if own is None else min(settings.max_pod_grace_seconds, float(own))


def _message(chosen: Candidate, resource: str, due: Sequence[thresholds.Threshold], observed: plan.Observations) -> str:
    """The kubelet's words, and which setting they are about."""
    text = f"The node was low on resource: {resource}. "
    met = next((one for one in due if thresholds.SIGNALS[one.signal].resource == resource and one.signal in observed), None)
    if met is not None:
        seen = observed[met.signal]
        least, available = (plan.shown(met.signal, units) for units in (met.amount.of(seen.capacity), seen.available))
        text += f"Threshold quantity: {least}, available: {available}. "
    text += "".join(_blamed(chosen, resource))
    return text if met is None else f"{text}The configuration file sets {met.setting}. "


def _blamed(chosen: Candidate, resource: str) -> Iterator[str]:
    """Containers that use more than they requested."""
    used = chosen.used or Used()
    by_container = used.memory if resource == "memory" else {name: space.bytes for name, space in used.containers.items()}
    if resource not in ("memory", _STORAGE):
        return
    for container in (*pods.containers(chosen.pod), *pods.init_containers(chosen.pod)):
        name = container["name"]
        requested = str(((container.get("resources") or {}).get("requests") or {}).get(resource) or "0")
        if by_container.get(name, 0) > quantity.value(requested):
            shown = quantity.from_value(by_container[name])
            yield f"Container {name} was using {shown}, request is {requested}, has larger consumption of {resource}. "


# For its own limits


def has_limits(pod: meta.Obj) -> bool:
    """Whether its local storage must be measured though nothing is short."""
    every = (*pods.containers(pod), *pods.init_containers(pod))
    return any(map(_size_limit, meta.spec(pod).get("volumes") or ())) or any(map(_limit, every))


def over_limits(candidates: Iterable[Candidate]) -> list[Eviction]:
    """Every pod that holds more local storage than it says that it may."""
    found = []
    for one in candidates:
        broken = next(_broken(one.pod, one.used), None) if one.used is not None and not pods.is_critical(one.pod) else None
        if broken is not None:
            signal, message = broken
            found.append(Eviction(pod=one.pod, signal=signal, message=message, grace_seconds=IMMEDIATE_SECONDS, is_disruption=False))
    return found


def _broken(pod: meta.Obj, used: Used) -> Iterator[tuple[str, str]]:
    for volume in meta.spec(pod).get("volumes") or ():
        size = _size_limit(volume)
        if size and used.volumes.get(volume["name"], Space()).bytes > quantity.value(size):
            yield EMPTY_DIR_LIMIT, f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{size}". '
    whole = _pod_limit(pod)
    if whole is not None and used.space().bytes > whole:
        shown = quantity.from_value(whole)
        yield POD_LIMIT, f"Pod ephemeral local storage usage exceeds the total limit of containers {shown}. "
    for container in pods.containers(pod):
        limit = _limit(container)
        if limit and used.containers.get(container["name"], Space()).bytes > quantity.value(limit):
            yield CONTAINER_LIMIT, f'Container {container["name"]} exceeded its local ephemeral storage limit "{limit}". '


def _size_limit(volume: Mapping[str, object]) -> str:
    """Of an emptyDir; empty where there is none."""
    wanted = volume.get("emptyDir")
    limit = wanted.get("sizeLimit") if isinstance(wanted, Mapping) else None
    return str(limit) if limit is not None and quantity.of(limit).nano > 0 else ""


def _limit(container: meta.Obj) -> str:
    """On local storage; empty where there is none."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get(_STORAGE)
    return str(limit) if limit is not None and quantity.of(limit).nano > 0 else ""


def _pod_limit(pod: meta.Obj) -> int | None:
    """What runs together summed, or the peak of its init containers; None where no container has a limit."""
    limits = {one["name"]: quantity.value(limit) for one in (*pods.containers(pod), *pods.init_containers(pod)) if (limit := _limit(one))}
    if not limits:
        return None
    sidecars = peak = 0
    for one in pods.init_containers(pod):
        own = limits.get(one["name"], 0)
        peak = max(peak, sidecars + own)
        sidecars += own if pods.is_sidecar(one) else 0
    return max(peak, sidecars + sum(limits.get(one["name"], 0) for one in pods.containers(pod)))
