"""When a node is short of something: KubeletConfiguration's eviction settings as values.

A threshold says how little of a signal may be available, as an amount or as a share of its capacity. Hard ones act at
once, soft ones after a grace period. `imagefs.*` are known and measured, but images lie in the data folder like all
else, so Kubernetes' default for them (15 %) is none here: it would hide that of `nodefs.available` (10 %).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from reconciler.model import quantity
from reconciler.model.cel import durations
from reconciler.model.cel.errors import Failed

MEMORY, NODE_DISK, NODE_INODES, PIDS = "memory.available", "nodefs.available", "nodefs.inodesFree", "pid.available"
IMAGE_DISK, IMAGE_INODES = "imagefs.available", "imagefs.inodesFree"
TRANSITION = "5m"
DEFAULT_HARD: Mapping[str, str] = MappingProxyType({MEMORY: "100Mi", NODE_DISK: "10%", NODE_INODES: "5%"})


@dataclass(frozen=True, slots=True)
class Signal:
    """Which condition of the node a signal is about, and what is reclaimed for it."""

    condition: str
    resource: str


SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        MEMORY: Signal("MemoryPressure", "memory"),
        NODE_DISK: Signal("DiskPressure", "ephemeral-storage"),
        NODE_INODES: Signal("DiskPressure", "inodes"),
        IMAGE_DISK: Signal("DiskPressure", "ephemeral-storage"),
        IMAGE_INODES: Signal("DiskPressure", "inodes"),
        PIDS: Signal("PIDPressure", "pids"),
    }
)


@dataclass(frozen=True, slots=True)
class Amount:
    """So much, or so much of the whole."""

    text: str
    units: int = 0
    share: float | None = None

    def of(self, capacity: int) -> int:
        return self.units if self.share is None else int(capacity * self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    signal: str
    amount: Amount
    grace_seconds: float = 0.0  # how long it must last before pods go
    minimum_reclaim: Amount | None = None  # how much more than the threshold must be there for it to be over
    is_hard: bool = True

    @property
    def setting(self) -> str:
        return f"{'evictionHard' if self.is_hard else 'evictionSoft'}[{self.signal}]: {self.amount.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    thresholds: tuple[Threshold, ...] = ()
    transition_seconds: float = 300.0  # a condition stays so long after it was last observed
    max_pod_grace_seconds: float = 0.0  # what pods get at most when a soft threshold ends them

    def reserved(self, signal: str, capacity: int) -> int:
        """What hard thresholds keep from pods, which the node's allocatable leaves out."""
        return max((one.amount.of(capacity) for one in self.thresholds if one.is_hard and one.signal == signal), default=0)


NEVER = Settings()


def settings(
    *,
    hard: Mapping[str, str] | None = None,
    merge_defaults: bool = False,
    soft: Mapping[str, str],
    soft_grace: Mapping[str, str],
    minimum_reclaim: Mapping[str, str],
    transition: str = TRANSITION,
    max_pod_grace_seconds: int = 0,
) -> Settings:
    """From texts that `signal`, `amount`, `reclaim` and `seconds` accept. Without `hard` the defaults hold, else only what it names."""
    named = DEFAULT_HARD if hard is None else {**(DEFAULT_HARD if merge_defaults else {}), **hard}
    reclaims = {one: amount(text, least=0) for one, text in minimum_reclaim.items()}
    made = [
        Threshold(signal=one, amount=wanted, minimum_reclaim=reclaims.get(one))
        for one, text in named.items()
        if (wanted := amount(text)) is not None
    ]
    made += [
        Threshold(signal=one, amount=wanted, grace_seconds=seconds(soft_grace[one]), minimum_reclaim=reclaims.get(one), is_hard=False)
        for one, text in soft.items()
        if (wanted := amount(text)) is not None
    ]
    return Settings(thresholds=tuple(made), transition_seconds=seconds(transition), max_pod_grace_seconds=float(max_pod_grace_seconds))


def signal(text: str) -> str:
    """Raises ValueError."""
    if text not in SIGNALS:
        raise ValueError(f"unsupported eviction signal {text}, want one of {', '.join(SIGNALS)}")
    return text


def amount(text: str, *, least: int = 1) -> Amount | None:
    """A quantity or a percentage; None for 0% and 100%, with which Kubernetes leaves a threshold out. Raises ValueError."""
    if text in ("0%", "100%"):
        return None
    if not text.endswith("%"):
        parsed = quantity.parse(text)
        if parsed.value < least:
            raise ValueError(f"must be {'positive' if least else 'none below zero'}: {text}")
        return Amount(text, units=parsed.value)
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        raise ValueError(f"want a quantity such as 100Mi or a percentage such as 10%, not {text}") from None
    if not 0 <= share <= 1:
        raise ValueError(f"a percentage must be between 0% and 100%: {text}")
    return Amount(text, share=share)


def seconds(text: str) -> float:
    """A duration as Go writes it, such as 1m30s. Raises ValueError."""
    try:
        found = durations.parse(text).total_seconds()
    except (Failed, OverflowError) as error:
        raise ValueError(str(error)) from None
    if found < 0:
        raise ValueError(f"invalid eviction grace period specified: {text}, must be a positive value")
    return found
