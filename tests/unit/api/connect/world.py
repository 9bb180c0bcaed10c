"""A node whose programs are in this process, a server in front of it, and clients of both protocols."""

import asyncio
import contextlib
import pathlib
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from reconciler import kinds
from reconciler.api import apiserver, backend, server
from reconciler.api.connect import spdy
from reconciler.client import protocol
from reconciler.kit import clock
from reconciler.model import errors, meta, plan
from tests.unit.api.memory import MemoryJournal

PATIENCE_SECONDS = 20.0
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "labels": {"app": "p"}},
    "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]},
}


@dataclass(frozen=True)
class Ended:
    exit_code: int = 0
    failure: str = ""


class Program:
    """Echoes its input to stdout, and says its lengths on stderr; its exit code is the number of resizes and 3."""

    def __init__(self, command: Sequence[str], wanted: backend.StreamOptions) -> None:
        self.command = list(command)
        self.wanted = wanted
        self.sizes: list[tuple[int, int]] = []
        self.closed = asyncio.Event()
        self._output: dict[str, asyncio.Queue[bytes]] = {"stdout": asyncio.Queue(), "stderr": asyncio.Queue()}
        if not wanted.stdin:
            self._output["stdout"].put_nowait(" ".join(command).encode())
            self.end_input()

    async def read(self, stream: Any) -> bytes:
        return await self._output[stream].get()

    async def write(self, data: bytes) -> bool:
        self._output["stdout"].put_nowait(data)
        self._output["stderr"].put_nowait(f"{len(data)}\n".encode())
        return True

    def end_input(self) -> None:
        for queue in self._output.values():
            queue.put_nowait(b"")

    def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def ended(self) -> Ended:
        return Ended(failure="no such file") if self.command == ["missing"] else Ended(3 + len(self.sizes))

    async def close(self) -> None:
        self.end_input()
        self.closed.set()


@dataclass
class Node:
    """Implements NodeBackend; ports are those of this machine's loopback."""

    programs: list[Program] = field(default_factory=list)

    async def logs(self, pod: meta.Obj, container: str, options: backend.LogOptions) -> AsyncIterator[bytes]:
        yield b"log\n"

    async def exec(self, pod: meta.Obj, container: str, command: Sequence[str], wanted: backend.StreamOptions) -> Program:
        if command == ["refused"]:
            raise errors.StatusError(500, "InternalError", f'container not found ("{container}")')
        self.programs.append(Program(command, wanted))
        return self.programs[-1]

    async def attach(self, pod: meta.Obj, container: str, wanted: backend.StreamOptions) -> Program:
        return await self.exec(pod, container, ["attached"], wanted)

    async def forward(self, pod: meta.Obj, port: int) -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        except OSError:
            made.close()
            raise
        return made

    async def connect(self, pod: meta.Obj, port: int) -> socket.socket:
        return await self.forward(pod, port)

    async def page(self, node: str, path: str, query: str) -> Any:
        raise errors.StatusError(503, "ServiceUnavailable", f"{node} {path} {query}")


class World:
    def __init__(self, http: server.HttpServer, node: Node) -> None:
        self.http = http
        self.node = node
        self.session = aiohttp.ClientSession("http://x", connector=aiohttp.UnixConnector(str(http.listen.socket)))

    async def create(self, kind: str, body: dict[str, Any]) -> meta.Obj:
        client = self.http.server.client("tester")
        return (await client.perform(plan.Create(kind=kind, body=body, why="test"), protocol.Origin(actor="test"))).obj

    async def pod(self, **status: Any) -> meta.Obj:
        """The pod p; with a podIP it has that address."""
        made = await self.create("pods", POD)
        if status:
            ips = {"podIPs": [{"ip": status["podIP"]}]} if "podIP" in status else {}
            action = plan.Patch(
                kind="pods",
                namespace="default",
                name="p",
                type="merge",
                subresource="status",
                patch={"status": {**status, **ips}},
                why="test",
            )
            await self.http.server.client("tester").perform(action, protocol.Origin(actor="test"))
        return made

    async def get(self, path: str, **more: Any) -> tuple[int, Any]:
        async with self.session.get(path, **more) as answer:
            return answer.status, await answer.json(content_type=None)


@contextlib.asynccontextmanager
async def world(folder: pathlib.Path) -> AsyncIterator[World]:
    api = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), clock.SystemClock(), apiserver.Settings(mount_tokens=False))
    await api.start()
    node = Node()
    http = server.HttpServer(api, server.Listen(port=0, socket=folder / "api.sock"), folder, node)
    await http.start()
    made = World(http, node)
    try:
        yield made
    finally:
        await made.session.close()
        await http.close()
        await api.close()


class SpdyClient:
    """Just enough of the other end of SPDY/3.1, over bytes that `send` takes and `receive` gives."""

    def __init__(self, send: Any, receive: Any) -> None:
        self._send, self._receive = send, receive
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=spdy.DICTIONARY)
        self._buffer = b""
        self._last = -1
        self.data: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.refused: set[int] = set()
        self.replied: set[int] = set()
        self.pongs: list[int] = []

    async def open(self, **headers: str) -> int:
        self._last += 2
        pairs = b"".join(struct.pack(">I", len(part)) + part.encode() for pair in headers.items() for part in pair)
        block = self._deflate.compress(struct.pack(">I", len(headers)) + pairs) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self.control(spdy.SYN_STREAM, struct.pack(">IIH", self._last, 0, 0) + block)
        return self._last

    async def control(self, kind: int, body: bytes, flags: int = 0) -> None:
        await self._send(struct.pack(">HHI", 0x8000 | spdy.VERSION, kind, flags << 24 | len(body)) + body)

    async def write(self, stream: int, data: bytes, *, end: bool = False) -> None:
        await self._send(struct.pack(">II", stream, int(end) << 24 | len(data)) + data)

    async def until(self, fulfilled: Any) -> None:
        """Take frames until `fulfilled()`; fails at the end of the connection."""
        while not fulfilled():
            assert await self.frame(), "the connection ended"

    async def frame(self) -> bool:
        head = await self._exactly(8)
        if head is None:
            return False
        first, second = struct.unpack(">II", head)
        body = await self._exactly(second & 0xFFFFFF) or b""
        if not first >> 31:
            self.data[first] = self.data.get(first, b"") + body
            if second >> 24 & 1:
                self.ended.add(first)
            return True
        kind = first & 0xFFFF
        if kind == spdy.SYN_REPLY:
            self._inflate.decompress(body[4:])
            self.replied.add(struct.unpack_from(">I", body)[0])
        elif kind == spdy.RST_STREAM:
            self.refused.add(struct.unpack_from(">I", body)[0])
        elif kind == spdy.PING:
            self.pongs.append(struct.unpack(">I", body)[0])
        return True

    async def _exactly(self, count: int) -> bytes | None:
        while len(self._buffer) < count:
            piece = await self._receive()
            if not piece:
                return None
            self._buffer += piece
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


@contextlib.asynccontextmanager
async def upgraded(made: World, path: str, **headers: str) -> AsyncIterator[tuple[str, SpdyClient]]:
    """A connection upgraded to SPDY: the head of the answer, and the client."""
    reader, writer = await asyncio.open_unix_connection(str(made.http.listen.socket))
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0"]
    writer.write("\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode())

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    try:
        head = await reader.readuntil(b"\r\n\r\n")
        yield head.decode(), SpdyClient(send, lambda: reader.read(65536))
    finally:
        writer.close()
