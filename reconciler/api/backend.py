"""What the API asks of nodes: logs, and later exec. The daemon gives an implementation; none means no node to ask."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from reconciler.model import meta


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """v1.PodLogOptions. Times are seconds since the epoch."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: float | None = None
    stream: str = "All"  # All, Stdout, Stderr


class NodeBackend(Protocol):
    def logs(self, pod: meta.Obj, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Pieces of a container's log as the client is to see it. Raises StatusError before the first piece."""
