"""Routes as listening sockets, where the kernel's tables may not be touched.

A Place is a network namespace that services must be reachable from: the host, or one pod that shares nothing with
it (the keeper opens sockets there). Each route listens in each place; a connection is passed on to one endpoint
and copied in both directions with flow control. Slower than rules by a copy, and the endpoint sees the proxy's
address; everything that listens, waits or is remembered is bounded.
"""

import asyncio
import contextlib
import logging
import random
import socket
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Protocol, cast

from reconciler.kit import clock as clocks
from reconciler.model import meta
from reconciler.proxy.plan import Endpoint, Route

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 4096
MAX_REMEMBERED_CLIENTS = 65536
DIAL_SECONDS = 5.0
UDP_IDLE_SECONDS = 60.0
HIGH_WATER_BYTES = 256 * 1024


class Place(Protocol):
    """A network namespace in which services are to be reached."""

    name: str
    takes_node_ports: bool

    async def listen(self, ip: str, port: int, protocol: str) -> socket.socket:
        """A bound (UDP) or listening (TCP) non-blocking socket. Raises OSError."""


class Dialer(Protocol):
    async def dial(self, endpoint: Endpoint, protocol: str) -> socket.socket:
        """A connected non-blocking socket, made where the endpoint can be reached. Raises OSError."""


class UserspaceBackend:
    """Holds the listeners of every route in every place."""

    name = "userspace"

    def __init__(self, dialer: Dialer, clock: clocks.Clock, seed: int = 0) -> None:
        self._dialer = dialer
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311  spreads load, guards nothing
        self._places: dict[str, Place] = {}
        self._routes: dict[meta.Key, tuple[Route, ...]] = {}
        self._open: dict[tuple[str, str, int, str], _Listener] = {}  # (place, ip, port, protocol)
        self._affine: OrderedDict[tuple[str, str], tuple[Endpoint, float]] = OrderedDict()
        self._connections: set[asyncio.BaseTransport] = set()
        self.refused: dict[tuple[str, str, int, str], str] = {}  # listeners that could not be opened, and why

    async def start(self) -> None:
        return None

    async def apply(self, changes: Mapping[meta.Key, tuple[Route, ...]]) -> None:
        for key, routes in changes.items():
            if routes:
                self._routes[key] = routes
            else:
                self._routes.pop(key, None)
        await self._settle()

    async def add_place(self, place: Place) -> None:
        self._places[place.name] = place
        await self._settle()

    async def remove_place(self, name: str) -> None:
        if self._places.pop(name, None) is not None:
            await self._settle()

    async def remove(self) -> None:
        self._places.clear()
        self._routes.clear()
        await self._settle()
        for transport in list(self._connections):
            transport.close()

    def choose(self, route: Route, client: str) -> Endpoint | None:
        """One endpoint for a client: the one it had within the affinity time, else any."""
        if not route.endpoints:
            return None
        now = self._clock.monotonic()
        if route.affinity_seconds:
            endpoint, until = self._affine.get((route.name, client), (None, 0.0))
            if endpoint in route.endpoints and now < until:
                return endpoint
        chosen = self._random.choice(route.endpoints)
        if route.affinity_seconds:
            self._affine[route.name, client] = (chosen, now + route.affinity_seconds)
            self._affine.move_to_end((route.name, client))
            while len(self._affine) > MAX_REMEMBERED_CLIENTS:
                self._affine.popitem(last=False)
        return chosen

    async def dial(self, endpoint: Endpoint, protocol: str) -> socket.socket:
        if len(self._connections) >= MAX_CONNECTIONS:
            raise OSError(f"{MAX_CONNECTIONS} connections are open already")
        async with asyncio.timeout(DIAL_SECONDS):
            return await self._dialer.dial(endpoint, protocol)

    def opened(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(transport)

    def closed(self, transport: asyncio.BaseTransport | None) -> None:
        if transport is not None:
            self._connections.discard(transport)

    def _wanted(self) -> Iterator[tuple[tuple[str, str, int, str], Route]]:
        for routes in self._routes.values():
            for route in routes:
                for place in self._places.values():
                    for ip in route.ips:
                        yield (place.name, ip, route.port, route.protocol), route
                    if route.node_port and place.takes_node_ports:
                        yield (place.name, "0.0.0.0", route.node_port, route.protocol), route  # noqa: S104

    async def _settle(self) -> None:
        """Open what is missing, close what is too much, tell the rest their routes."""
        wanted = dict(self._wanted())
        for key in self._open.keys() - wanted.keys():
            self._open.pop(key).close()
        self.refused = {key: why for key, why in self.refused.items() if key in wanted}
        for key, route in wanted.items():
            if key in self._open:
                self._open[key].route = route
                continue
            place, ip, port, protocol = key
            try:
                listener = _Listener(self, route)
                await listener.open(await self._places[place].listen(ip, port, protocol))
            except OSError as error:
                if key not in self.refused:
                    logger.warning(
                        "cannot listen for a service", extra={"facts": {"service": route.name, "address": f"{ip}:{port}", "error": error}}
                    )
                self.refused[key] = str(error)
                continue
            self.refused.pop(key, None)
            self._open[key] = listener


class _Listener:
    """One socket of one route."""

    def __init__(self, backend: UserspaceBackend, route: Route) -> None:
        self.backend = backend
        self.route = route
        self._server: asyncio.Server | None = None
        self._transport: asyncio.BaseTransport | None = None

    async def open(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if sock.type == socket.SOCK_STREAM:
            self._server = await loop.create_server(lambda: _Half(self), sock=sock)
        else:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sock)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._transport is not None:
            self._transport.close()


class _Half(asyncio.Protocol):
    """One side of a TCP connection; its `peer` is the other."""

    def __init__(self, listener: _Listener | None = None, peer: "_Half | None" = None) -> None:
        self._listener = listener
        self._peer = peer
        self.transport: asyncio.Transport | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._has_ended = False  # nothing more comes from this side
        self._early: list[bytes] = []  # came before the other side was there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # not every event loop's transports inherit from it
        self.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        if self._listener is not None:
            self._listener.backend.opened(transport)
            client = str((transport.get_extra_info("peername") or ("", 0))[0])
            self._dialing = asyncio.get_running_loop().create_task(self._connect(self._listener, client), name="proxy-dial")

    async def _connect(self, listener: _Listener, client: str) -> None:
        assert self.transport is not None
        endpoint = listener.backend.choose(listener.route, client)
        try:
            if endpoint is None:
                raise ConnectionRefusedError(f"{listener.route.name} has no endpoints")
            sock = await listener.backend.dial(endpoint, "tcp")
            _, self._peer = await asyncio.get_running_loop().create_connection(lambda: _Half(peer=self), sock=sock)
        except (OSError, TimeoutError):
            _reset(self.transport)
            return
        assert self._peer.transport is not None
        if self.transport.is_closing():
            self._peer.transport.abort()
            return
        self._peer.transport.writelines(self._early)
        self._early.clear()
        if self._has_ended:
            self._peer.transport.write_eof()
        else:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._peer is not None and self._peer.transport is not None:
            self._peer.transport.write(data)
        elif self.transport is not None:
            self._early.append(data)
            self.transport.pause_reading()  # no more of it before there is somebody to take it

    def eof_received(self) -> bool:
        """Passes the end on; the connection lives until both sides have ended."""
        self._has_ended = True
        peer = self._peer
        if peer is None or peer.transport is None:
            return self._dialing is not None
        if peer._has_ended:
            return False
        if not peer.transport.is_closing():
            with contextlib.suppress(OSError):
                peer.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self._peer is not None and self._peer.transport is not None:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None and self._peer.transport is not None and not self._peer.transport.is_closing():
            self._peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._listener is not None:
            self._listener.backend.closed(self.transport)
        if self._dialing is not None:
            self._dialing.cancel()
        if self._peer is not None and self._peer.transport is not None:
            self._peer.transport.close()


def _reset(transport: asyncio.Transport) -> None:
    """Close so that the client sees a reset, as from a port that nobody listens on."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _Datagrams(asyncio.DatagramProtocol):
    """A UDP route: each client has a socket of its own towards its endpoint until both are silent."""

    def __init__(self, listener: _Listener) -> None:
        self._listener = listener
        self._clients: dict[tuple[str, int], _Reply] = {}
        self._dialing: dict[tuple[str, int], asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # not every event loop's transports inherit from it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._clients.get(addr)
        if reply is not None:
            reply.send(data)
        elif addr not in self._dialing:
            self._dialing[addr] = asyncio.get_running_loop().create_task(self._connect(data, addr), name="proxy-dial")

    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._dialing.values():
            task.cancel()
        for reply in list(self._clients.values()):
            reply.close()

    async def _connect(self, first: bytes, client: tuple[str, int]) -> None:
        backend = self._listener.backend
        endpoint = backend.choose(self._listener.route, client[0])
        try:
            if endpoint is not None:
                sock = await backend.dial(endpoint, "udp")
                reply = _Reply(self, client)
                await asyncio.get_running_loop().create_datagram_endpoint(lambda: reply, sock=sock)
                self._clients[client] = reply
                reply.send(first)
        except (OSError, TimeoutError):
            pass  # as UDP goes: the client hears nothing and asks again
        finally:
            self._dialing.pop(client, None)

    def answer(self, data: bytes, client: tuple[str, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, client)

    def forget(self, client: tuple[str, int]) -> None:
        self._clients.pop(client, None)

    @property
    def backend(self) -> UserspaceBackend:
        return self._listener.backend


class _Reply(asyncio.DatagramProtocol):
    def __init__(self, owner: _Datagrams, client: tuple[str, int]) -> None:
        self._owner = owner
        self._client = client
        self._transport: asyncio.DatagramTransport | None = None
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # not every event loop's transports inherit from it
        self._owner.backend.opened(transport)

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(data)
            self._touch()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._owner.answer(data, self._client)
        self._touch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.backend.closed(self._transport)
        self._owner.forget(self._client)
        if self._idle is not None:
            self._idle.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _touch(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(UDP_IDLE_SECONDS, self.close)


class HostPlace:
    """The daemon's own network namespace."""

    name = "host"
    takes_node_ports = True

    async def listen(self, ip: str, port: int, protocol: str) -> socket.socket:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        sock = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((ip, port))
            if protocol == "tcp":
                sock.listen(512)
        except OSError:
            sock.close()
            raise
        return sock


class HostDialer:
    """Connects from the daemon's own network namespace."""

    async def dial(self, endpoint: Endpoint, protocol: str) -> socket.socket:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        sock = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (endpoint.ip, endpoint.port))
        except BaseException:
            sock.close()
            raise
        return sock
