"""Port-forward: connections to a pod's ports over SPDY (upgraded, or tunnelled in a WebSocket) or WebSocket channels.

Over SPDY a connection is a pair of streams, `data` and `error`, with the same request id; each pair ends by itself. Over
channels each port that was asked for is one connection: channel 2n its data, 2n+1 its errors, and both begin with the
port's number. What cannot be connected is told on the error stream, in kubelet's words.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from reconciler.api import options
from reconciler.api.connect import limits, spdy, upgrade, websockets
from reconciler.kit import tasks
from reconciler.model import errors

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL = websockets.Protocol(f"SPDY/3.1+{SPDY_PROTOCOL}", 5)
PROTOCOLS = (TUNNEL, *(one for one in websockets.PROTOCOLS if one.version == 4))
PAIR_SECONDS = 30.0  # both streams of a connection come within
PORTS_MOST = 64  # over channels

Dial = Callable[[int], Awaitable[socket.socket]]  # raises OSError, StatusError


@dataclass(frozen=True, slots=True)
class Target:
    """A pod that is forwarded to."""

    name: str
    uid: str
    dial: Dial

    def failure(self, port: int, error: Exception) -> str:
        reason = error.message if isinstance(error, errors.StatusError) else _reason(port, error)
        return f"error forwarding port {port} to pod {self.name}, uid {self.uid}: {reason}"


async def serve_websocket(request: web.BaseRequest, target: Target, query: options.Query) -> web.StreamResponse:
    protocol = websockets.chosen(request, PROTOCOLS)
    if protocol is TUNNEL:
        socket = await websockets.opened(request, protocol.name)
        await _Pairs(websockets.Tunnel(socket), target).run()
        return socket
    ports = _ports(query)
    socket = await websockets.opened(request, protocol.name)
    client = websockets.Channels(socket, protocol)
    with contextlib.suppress(ConnectionError):
        async with limits.idle() as idle:
            await _Channels(client, target, ports, idle).run()
        await client.close()
    return socket


async def serve_spdy(request: web.BaseRequest, target: Target) -> web.StreamResponse:
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": SPDY_PROTOCOL}
    await _Pairs(upgrade.Raw.switch(request, headers), target).run()
    return upgrade.Switched()


@dataclass(slots=True)
class _Pair:
    streams: dict[str, spdy.Stream] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class _Pairs:
    """One client's connections."""

    def __init__(self, carrier: upgrade.ByteStream, target: Target) -> None:
        self._target = target
        self._connection = spdy.Connection(carrier, self._accept)
        self._pairs: dict[str, _Pair] = {}
        self._tasks = tasks.Tasks()

    async def run(self) -> None:
        """Until the client goes, or does nothing for long."""
        try:
            async with limits.idle() as idle:
                self._idle = idle
                self._tasks.start(self._keep_asking(), "pings")
                await self._connection.run()
        except ConnectionError:
            return
        finally:
            await self._tasks.close()
            await self._connection.close()

    async def _keep_asking(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(limits.PING_SECONDS)
                await self._connection.ping()

    def _accept(self, stream: spdy.Stream) -> bool:
        kind, port = stream.headers.get("streamtype", ""), stream.headers.get("port", "")
        if kind not in ("data", "error") or not port.isdecimal() or not 0 < int(port) < 65536:
            return False
        id = stream.headers.get("requestid") or str(stream.id - (2 if kind == "data" else 0))  # old clients open them in a row
        pair = self._pairs.get(id)
        if pair is None:
            pair = self._pairs[id] = _Pair()
            self._tasks.start(self._forward(id, pair, int(port)), f"forwarded port {port}")
        if kind in pair.streams:
            return False
        pair.streams[kind] = stream
        if len(pair.streams) == 2:
            pair.complete.set()
        return True

    async def _forward(self, id: str, pair: _Pair, port: int) -> None:
        try:
            async with asyncio.timeout(PAIR_SECONDS):
                await pair.complete.wait()
            await self._couple(pair.streams["data"], pair.streams["error"], port)
        except OSError:
            return
        finally:
            del self._pairs[id]
            for stream in pair.streams.values():
                with contextlib.suppress(ConnectionError):
                    await stream.end()
                stream.close()

    async def _couple(self, data: spdy.Stream, error: spdy.Stream, port: int) -> None:
        try:
            pod = await _connected(self._target, port)
        except (OSError, errors.StatusError) as failure:
            await error.write(self._target.failure(port, failure).encode())
            return
        sending = asyncio.create_task(self._send(data, pod))
        try:
            while piece := await pod.read():
                self._idle.moved()
                await data.write(piece)
        finally:
            pod.shut()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, data: spdy.Stream, pod: upgrade.Socket) -> None:
        with contextlib.suppress(OSError):
            while piece := await data.read():
                self._idle.moved()
                await pod.write(piece)
            pod.end()


class _Channels:
    """One connection for each port, over numbered channels."""

    def __init__(self, client: websockets.Channels, target: Target, ports: list[int], idle: limits.Idle) -> None:
        self._client, self._target, self._ports, self._idle = client, target, ports, idle
        self._tasks = tasks.Tasks()
        self._pods = [asyncio.get_running_loop().create_future() for _ in ports]

    async def run(self) -> None:
        """Until the client goes."""
        try:
            for number, port in enumerate(self._ports):
                for channel in (2 * number, 2 * number + 1):
                    await self._client.send(channel, struct.pack("<H", port))
                self._tasks.start(self._receive(number, port), f"forwarded port {port}")
            while (message := await self._client.receive()) is not None:
                self._idle.moved()
                channel, data = message
                if channel % 2 == 0 and channel < 2 * len(self._ports) and data:
                    await self._send(await self._pods[channel // 2], data)
        finally:
            for pod in self._pods:
                if pod.done() and pod.result() is not None:
                    pod.result().shut()
            await self._tasks.close()

    async def _receive(self, number: int, port: int) -> None:
        with contextlib.suppress(OSError):
            try:
                pod = await _connected(self._target, port)
            except (OSError, errors.StatusError) as failure:
                self._pods[number].set_result(None)
                await self._client.send(2 * number + 1, self._target.failure(port, failure).encode())
                return
            self._pods[number].set_result(pod)
            while piece := await pod.read():
                self._idle.moved()
                await self._client.send(2 * number, piece)

    async def _send(self, pod: upgrade.Socket | None, data: bytes) -> None:
        """What a port that is gone would have got is dropped."""
        if pod is not None:
            with contextlib.suppress(OSError):
                await pod.write(data)


def _ports(query: options.Query) -> list[int]:
    """Raises StatusError 400."""
    texts = [text for value in query.get("ports", []) for text in value.split(",") if text]
    if not texts:
        raise errors.bad_request('query parameter "port" is required')
    if len(texts) > PORTS_MOST:
        raise errors.bad_request(f"more than {PORTS_MOST} ports")
    for text in texts:
        if not text.isdecimal() or int(text) > 65535:
            raise errors.bad_request(f'unable to parse "{text}" as a port')
        if int(text) == 0:
            raise errors.bad_request(f'port "{text}" must be > 0')
    return list(map(int, texts))


async def _connected(target: Target, port: int) -> upgrade.Socket:
    reader, writer = await asyncio.open_connection(sock=await target.dial(port))
    return upgrade.Socket(reader, writer)


def _reason(port: int, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"failed to connect to localhost:{port} inside the pod: {os.strerror(error.errno).lower()}"
    return f"failed to connect to localhost:{port} inside the pod: {error}"
