"""What the API asks of nodes: logs, programs in containers, ports of pods, and what a kubelet shows of itself.

The daemon gives an implementation; none means no node to ask. Whatever is refused raises StatusError.
"""

import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Which streams of v1.PodExecOptions and v1.PodAttachOptions are wanted; with `tty` never stderr."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class Ended(Protocol):
    """How a program ended; `failure` says why it never ran."""

    @property
    def exit_code(self) -> int: ...

    @property
    def failure(self) -> str: ...


class Session(Protocol):
    """A client connected to a program in a container."""

    async def read(self, stream: Literal["stdout", "stderr"]) -> bytes:
        """The next piece of its output; b"" at the end."""

    async def write(self, data: bytes) -> bool:
        """Return once the program has taken its input; False where it reads none."""

    def end_input(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None: ...

    async def ended(self) -> Ended: ...

    async def close(self) -> None:
        """Let go; a program that was run for the client is killed."""


class Page(Protocol):
    """An answer of the kubelet's own server."""

    @property
    def status(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    @property
    def body(self) -> bytes: ...


class NodeBackend(Protocol):
    def logs(self, pod: meta.Obj, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Pieces of a container's log as the client is to see it. Raises StatusError before the first piece."""

    async def exec(self, pod: meta.Obj, container: str, command: Sequence[str], wanted: StreamOptions) -> Session: ...

    async def attach(self, pod: meta.Obj, container: str, wanted: StreamOptions) -> Session: ...

    async def forward(self, pod: meta.Obj, port: int) -> socket.socket:
        """Connect to a port on a pod's own loopback. Raises OSError besides StatusError."""

    async def connect(self, pod: meta.Obj, port: int) -> socket.socket:
        """Connect to a port at a pod's address. Raises OSError besides StatusError."""

    async def page(self, node: str, path: str, query: str) -> Page:
        """What the kubelet of a node answers to a GET."""
