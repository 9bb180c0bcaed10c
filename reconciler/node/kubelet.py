"""What a kubelet serves to the API server: logs, programs in containers, ports of pods, and pages about itself.

Implements api.backend.NodeBackend for the pods of one runtime. Refusals have kubelet's words.
"""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from reconciler.kinds import pod as pods
from reconciler.model import errors, meta
from reconciler.node import logs, pages
from reconciler.node.runtimes import types

LOOPBACKS = ("127.0.0.1", "::1")


class Streams(Protocol):
    """api.backend.StreamOptions."""

    @property
    def stdin(self) -> bool: ...

    @property
    def stdout(self) -> bool: ...

    @property
    def stderr(self) -> bool: ...

    @property
    def tty(self) -> bool: ...


class Kubelet:
    def __init__(self, name: str, runtime: types.Runtime, container_logs: logs.Logs, shown: pages.Pages) -> None:
        self._name = name
        self._runtime = runtime
        self._logs = container_logs
        self._pages = shown

    def logs(self, pod: meta.Obj, container: str, options: logs.Options) -> AsyncIterator[bytes]:
        return self._logs.logs(pod, container, options)

    async def exec(self, pod: meta.Obj, container: str, command: Sequence[str], wanted: Streams) -> types.Session:
        self._require_running(pod, container)
        if not command:
            raise errors.bad_request("command cannot be empty")
        try:
            return await self._runtime.run(meta.uid(pod), container, command, _streams(wanted))
        except types.RuntimeFailure as failure:
            raise errors.StatusError(500, "InternalError", failure.message) from failure

    async def attach(self, pod: meta.Obj, container: str, wanted: Streams) -> types.Session:
        self._require_running(pod, container)
        try:
            return await self._runtime.attach(meta.uid(pod), container, _streams(wanted))
        except types.RuntimeFailure as failure:
            raise errors.StatusError(500, "InternalError", failure.message) from failure

    async def forward(self, pod: meta.Obj, port: int) -> socket.socket:
        """Where nothing listens on 127.0.0.1, ::1 is tried, as `localhost` would be."""
        if not self._has(pod):
            raise errors.StatusError(500, "InternalError", f"pod not running: {meta.name(pod)}")
        try:
            return await self._connected(pod, (LOOPBACKS[0], port))
        except ConnectionRefusedError as refused:
            try:
                return await self._connected(pod, (LOOPBACKS[1], port))
            except OSError:
                raise refused from None

    async def connect(self, pod: meta.Obj, port: int) -> socket.socket:
        if not self._has(pod):
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        return await self._connected(pod, (pods.ip(pod), port))

    async def page(self, node: str, path: str, query: str) -> pages.Page:
        if node != self._name:
            raise errors.StatusError(503, "ServiceUnavailable", f"error trying to reach service: no kubelet of node {node} is known")
        return await self._pages.page(path)

    def _has(self, pod: meta.Obj) -> bool:
        sandbox = self._runtime.sandboxes().get(meta.uid(pod))
        return sandbox is not None and sandbox.ready

    def _require_running(self, pod: meta.Obj, container: str) -> None:
        sandbox = self._runtime.sandboxes().get(meta.uid(pod))
        latest = sandbox.latest(container) if sandbox is not None else None
        if latest is None or latest.state != "running":
            raise errors.StatusError(500, "InternalError", f'container not found ("{container}")')

    async def _connected(self, pod: meta.Obj, address: tuple[str, int]) -> socket.socket:
        """A socket of the pod's own network. Raises OSError."""
        try:
            made = socket.socket(fileno=await self._runtime.open_socket(meta.uid(pod), connect=address))
        except types.RuntimeFailure as failure:
            raise OSError(errno.EHOSTUNREACH, failure.message) from failure
        made.setblocking(False)
        try:
            await _writable(made)
            if error := made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error))
        except BaseException:
            made.close()
            raise
        return made


def _streams(wanted: Streams) -> types.Streams:
    return types.Streams(stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty)


async def _writable(made: socket.socket) -> None:
    """Until a connection that is under way has succeeded or failed."""
    loop, ready = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    loop.add_writer(made.fileno(), _set, ready)
    try:
        await ready
    finally:
        loop.remove_writer(made.fileno())


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
