"""What nodes measure, as metrics.k8s.io and the kubelet's summary show it: the contract between nodes and their readers.

Values only, and the one call that gives them. CPU is a rate over `window_seconds` before `timestamp`; memory is the
working set, what cannot be taken back from a container without hurting it. Only running containers are shown.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    cpu_nanocores: int
    memory_working_set_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    namespace: str
    name: str
    uid: str
    timestamp: float  # seconds since the epoch
    window_seconds: float
    containers: tuple[Container, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine as a whole, with what is no pod's, and its pods."""

    name: str
    timestamp: float
    window_seconds: float
    cpu_nanocores: int
    memory_working_set_bytes: int
    pods: tuple[Pod, ...]


class Source(Protocol):
    async def usage(self) -> tuple[Node, ...]:
        """Each node that this agent runs, measured now or a few seconds ago. Never raises; what cannot be read is left out."""
