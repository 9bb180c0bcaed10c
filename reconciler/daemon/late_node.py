"""The API's NodeBackend. The API listens before there is a node to ask."""

import socket
from collections.abc import AsyncIterator, Sequence

from reconciler.api import backend
from reconciler.model import errors, meta


class LateNode:
    """Refuses until `node` is there."""

    def __init__(self) -> None:
        self.node: backend.NodeBackend | None = None

    async def logs(self, pod: meta.Obj, container: str, options: backend.LogOptions) -> AsyncIterator[bytes]:
        async for piece in self._present().logs(pod, container, options):
            yield piece

    async def exec(self, pod: meta.Obj, container: str, command: Sequence[str], wanted: backend.StreamOptions) -> backend.Session:
        return await self._present().exec(pod, container, command, wanted)

    async def attach(self, pod: meta.Obj, container: str, wanted: backend.StreamOptions) -> backend.Session:
        return await self._present().attach(pod, container, wanted)

    async def forward(self, pod: meta.Obj, port: int) -> socket.socket:
        return await self._present().forward(pod, port)

    async def connect(self, pod: meta.Obj, port: int) -> socket.socket:
        return await self._present().connect(pod, port)

    async def page(self, node: str, path: str, query: str) -> backend.Page:
        return await self._present().page(node, path, query)

    def _present(self) -> backend.NodeBackend:
        if self.node is None:
            raise errors.StatusError(503, "ServiceUnavailable", "no node runs here that has the pod", retry_after_seconds=1)
        return self.node
