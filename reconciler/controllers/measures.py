"""What an autoscaler is told from outside, and what it remembers of itself.

A planner asks with `Measure`; whoever performs it keeps the answers in the autoscaler's `Memory` and wakes the key. What
the planner decides on them it has written back with `Remember`. All of it is in memory only: after a restart an
autoscaler begins with the size it finds, as upstream's does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.model import meta

Source = Literal["resource", "pods", "object", "external"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One metric: of pods that `selector` matches, of one object, or of something outside."""

    source: Source
    namespace: str
    metric: str  # or the resource's name
    container: str = ""  # of a resource: only this container's share
    selector: str = ""  # which pods
    metric_selector: str = ""  # which series of the metric
    described: tuple[str, str, str] = ("", "", "")  # apiVersion, kind and name of the object


@dataclass(frozen=True, slots=True)
class Sample:
    milli: int  # the value in thousandths
    timestamp: float = 0.0
    window_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Samples by pod, or by series where the query is not about pods; or why there are none."""

    samples: Mapping[str, Sample] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    at: float
    generation: int  # of the autoscaler that asked
    answers: Mapping[Query, Answer]


Moments = tuple[tuple[float, int], ...]  # (when, how many), oldest first


@dataclass(frozen=True, slots=True)
class Memory:
    measured: Measurement | None = None
    is_decided: bool = False  # whether `measured` was decided upon
    recommendations: Moments = ()
    scaled_up: Moments = ()  # by how many pods
    scaled_down: Moments = ()


Memories = Mapping[meta.Key, Memory]


@dataclass(frozen=True, slots=True)
class Measure:
    """Answer `queries` for the autoscaler `key`, and wake it."""

    key: meta.Key
    generation: int
    queries: frozenset[Query]
    why: str = "its size depends on what is measured"


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep `memory` for the autoscaler `key`; None forgets it."""

    key: meta.Key
    memory: Memory | None
    why: str = "later decisions depend on this one"
