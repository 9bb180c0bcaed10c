"""What a node that is short of something does: its conditions, and when and for what it must reclaim.

Follows the kubelet's eviction manager. A pass takes what was observed and what the pass before left in `Past`; a
threshold that was acted upon stays until more than its minimum reclaim is there, a condition for its transition period.
Which pod goes is choice.py's part.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.kinds import pod as pods
from reconciler.model import meta, quantity
from reconciler.node.eviction import thresholds
from reconciler.node.eviction.thresholds import Threshold
from reconciler.node.runtimes import types

CALM: Mapping[str, tuple[str, str]] = {
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}
PRESSED: Mapping[str, tuple[str, str]] = {
    "MemoryPressure": ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    "DiskPressure": ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    "PIDPressure": ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
}


@dataclass(frozen=True, slots=True)
class Observed:
    """Bytes, inodes or processes of a signal; what cannot be observed has none."""

    capacity: int
    available: int


Observations = Mapping[str, Observed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What one pass leaves to the next. Times are monotonic seconds."""

    unresolved: tuple[Threshold, ...] = ()  # whose grace was over
    crossed_at: Mapping[Threshold, float] = field(default_factory=dict)
    pressed_at: Mapping[str, float] = field(default_factory=dict)  # condition: last observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    past: Past
    conditions: Mapping[str, str]  # those that are true, with what the node says of them
    due: tuple[Threshold, ...]  # for which to reclaim now, the most urgent first


def assess(settings: thresholds.Settings, observed: Observations, past: Past, now: float) -> Assessment:
    crossed = [one for one in settings.thresholds if _is_crossed(one, observed)]
    crossed += [one for one in past.unresolved if one not in crossed and _is_crossed(one, observed, resolving=True)]
    crossed_at = {one: past.crossed_at.get(one, now) for one in crossed}
    pressed_at = dict(past.pressed_at) | {thresholds.SIGNALS[one.signal].condition: now for one in crossed}
    pressed_at = {condition: at for condition, at in pressed_at.items() if now - at < settings.transition_seconds or at == now}
    due = tuple(
        sorted((one for one, at in crossed_at.items() if now - at >= one.grace_seconds), key=lambda one: one.signal != thresholds.MEMORY)
    )
    return Assessment(
        past=Past(unresolved=due, crossed_at=crossed_at, pressed_at=pressed_at),
        conditions={condition: _explained(condition, crossed, observed) for condition in sorted(pressed_at)},
        due=due,
    )


def attempt(threshold: Threshold, observed: Observations) -> str:
    """The message of the event EvictionThresholdMet."""
    resource = thresholds.SIGNALS[threshold.signal].resource
    return f"Attempting to reclaim {resource}: {_shortage(threshold, observed)}"


def spent(here: Iterable[meta.Obj], sandboxes: Mapping[str, types.Sandbox]) -> list[str]:
    """Pods (by uid) that have ended for good and still have files here: what to remove before any pod that lives."""
    ended = {meta.uid(pod) for pod in here if pods.is_terminal(pod)}
    return [uid for uid, sandbox in sandboxes.items() if uid in ended and not is_alive(sandbox)]


def is_alive(sandbox: types.Sandbox | None) -> bool:
    return sandbox is not None and any(one.state in ("created", "running") for one in sandbox.containers)


def shown(signal: str, units: int) -> str:
    """As Kubernetes writes an amount of it."""
    return quantity.from_value(units, "BinarySI" if _is_bytes(signal) else "DecimalSI")


def _is_bytes(signal: str) -> bool:
    return thresholds.SIGNALS[signal].resource in ("memory", "ephemeral-storage")


def _is_crossed(threshold: Threshold, observed: Observations, *, resolving: bool = False) -> bool:
    seen = observed.get(threshold.signal)
    if seen is None:
        return False
    wanted = threshold.amount.of(seen.capacity)
    if resolving and threshold.minimum_reclaim is not None:
        wanted += threshold.minimum_reclaim.of(seen.capacity)
    return seen.available < wanted


def _explained(condition: str, crossed: Sequence[Threshold], observed: Observations) -> str:
    words = PRESSED[condition][1]
    why = next((one for one in crossed if thresholds.SIGNALS[one.signal].condition == condition), None)
    return words if why is None else f"{words}: {_shortage(why, observed)}"


def _shortage(threshold: Threshold, observed: Observations) -> str:
    seen = observed[threshold.signal]
    share = f"{100 * seen.available / seen.capacity:.1f}%" if seen.capacity else "0%"
    round_off = _rounded if _is_bytes(threshold.signal) else str
    figures = f"{round_off(seen.available)} ({share} of {round_off(seen.capacity)})"
    more, is_below = threshold.minimum_reclaim, seen.available < threshold.amount.of(seen.capacity)
    relation = "below" if is_below or more is None else f"not yet {more.text} above"
    return f"{threshold.signal} is {figures}, {relation} {threshold.setting} of the configuration file"


def _rounded(units: int) -> str:
    amount, suffixes = float(units), ["", "Ki", "Mi", "Gi", "Ti", "Pi"]
    while amount >= 1024 and len(suffixes) > 1:
        amount /= 1024
        del suffixes[0]
    return f"{amount:.1f}".removesuffix(".0") + suffixes[0]
