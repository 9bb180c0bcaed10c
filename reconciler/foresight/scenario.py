"""What happens to a simulated cluster, and when: the file that `reconciler simulate --scenario` takes.

    duration: 1h
    nodes: {count: 12, zones: 3, cpu: "8", memory: 32Gi, pods: 110}
    loads:
    - {deployment: shop/web, cpu: [[0s, 500m], [20m, "6"], [40m, "1"]]}
    events:
    - {at: 5m, powerLoss: {zone: zone-2, for: 15m}}
    - {at: 10m, powerLoss: {nodes: [sim-1, sim-7]}}
    - {at: 30m, scale: {deployment: shop/web, replicas: 9}}
    - {at: 40m, apply: ../next-version}

Times count from the start and are written as Go writes durations. A load is what all ready pods of a Deployment use
together, straight from one point to the next. Pure; who carries it out is simulation.py.
"""

import bisect
import re
from typing import Annotated, Any

import pydantic
from pydantic.alias_generators import to_camel

from reconciler.model import quantity

MAX_NODES = 10_000
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: Any) -> float:
    """A duration such as 1h30m or 90s. Raises ValueError."""
    parts = _PART.findall(text) if isinstance(text, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("want a duration such as 90s, 10m or 1h30m")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def _amount(text: Any) -> str:
    quantity.parse(str(text))
    return str(text)


def _place(text: str) -> str:
    if text.count("/") != 1 or not all(text.split("/")):
        raise ValueError("want NAMESPACE/NAME")
    return text


Seconds = Annotated[float, pydantic.BeforeValidator(seconds_of)]
Amount = Annotated[str, pydantic.BeforeValidator(_amount)]
Place = Annotated[str, pydantic.AfterValidator(_place)]


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Nodes(_Model):
    count: int = pydantic.Field(default=3, ge=1, le=MAX_NODES)
    zones: int = pydantic.Field(default=3, ge=1)  # zone-1, zone-2, ...: nodes are dealt out in turn
    cpu: Amount = "16"
    memory: Amount = "64Gi"
    pods: int = pydantic.Field(default=110, ge=1)


class Load(_Model):
    deployment: Place
    cpu: tuple[tuple[Seconds, Amount], ...] = pydantic.Field(min_length=1)

    def nanocores(self, seconds: float) -> int:
        """What all pods use together at a time; before the first point as there, after the last as there."""
        times = [at for at, _ in self.cpu]
        amounts = [quantity.milli(text) * 1_000_000 for _, text in self.cpu]
        after = bisect.bisect_right(times, seconds)
        if after in (0, len(times)):
            return int(amounts[0 if after == 0 else -1])
        share = (seconds - times[after - 1]) / (times[after] - times[after - 1])
        return int(amounts[after - 1] + share * (amounts[after] - amounts[after - 1]))


class PowerLoss(_Model):
    """Nodes that say and do nothing any more: those of a zone, or by name."""

    zone: str = ""
    nodes: tuple[str, ...] = ()
    lasts: Seconds | None = pydantic.Field(None, alias="for")  # for good, where it is not said

    @pydantic.model_validator(mode="after")
    def _names_some(self) -> "PowerLoss":
        if bool(self.zone) == bool(self.nodes):
            raise ValueError("want either zone or nodes")
        return self


class Scale(_Model):
    deployment: Place
    replicas: int = pydantic.Field(ge=0)


class Event(_Model):
    at: Seconds
    power_loss: PowerLoss | None = None
    scale: Scale | None = None
    apply: str | None = None  # a folder, from the scenario's own

    @pydantic.model_validator(mode="after")
    def _is_one(self) -> "Event":
        if sum(one is not None for one in (self.power_loss, self.scale, self.apply)) != 1:
            raise ValueError("want exactly one of powerLoss, scale and apply")
        return self


class Scenario(_Model):
    duration: Seconds = pydantic.Field(default=3600.0, gt=0, le=7 * 24 * 3600.0)
    nodes: Nodes = pydantic.Field(default_factory=Nodes)
    loads: tuple[Load, ...] = ()
    events: tuple[Event, ...] = ()
