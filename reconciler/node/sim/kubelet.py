"""What the kubelets of simulated nodes serve: pages about themselves. No program runs in their pods, so none is reached."""

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import NoReturn

from reconciler.model import errors, meta
from reconciler.node import kubelet, logs, pages
from reconciler.node.runtimes import types


class SimulatedKubelet:
    """Implements api.backend.NodeBackend; `pods_of` gives the pods bound to a node."""

    def __init__(self, pods_of: Callable[[str], Iterable[meta.Obj]]) -> None:
        self._pods_of = pods_of

    def logs(self, pod: meta.Obj, container: str, options: logs.Options) -> AsyncIterator[bytes]:
        _refuse(pod)

    async def exec(self, pod: meta.Obj, container: str, command: Sequence[str], wanted: kubelet.Streams) -> types.Session:
        _refuse(pod)

    async def attach(self, pod: meta.Obj, container: str, wanted: kubelet.Streams) -> types.Session:
        _refuse(pod)

    async def forward(self, pod: meta.Obj, port: int) -> socket.socket:
        _refuse(pod)

    async def connect(self, pod: meta.Obj, port: int) -> socket.socket:
        raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    async def page(self, node: str, path: str, query: str) -> pages.Page:
        return await pages.Pages(lambda: self._pods_of(node), None, None).page(path)


def _refuse(pod: meta.Obj) -> NoReturn:
    message = f"pod {meta.name(pod)} is on the simulated node {meta.spec(pod).get('nodeName')}: no program runs in it"
    raise errors.StatusError(501, "NotImplemented", message)
