"""Serves the cluster's names on UDP and TCP and forwards everything else to the machine's own resolvers.

Sockets are handed in: the daemon binds the cluster's DNS address, the keeper opens one inside each pod that has no
way out. Every wait, message and number of questions in flight is bounded; beyond it a question is refused.
"""

import asyncio
import logging
import pathlib
import secrets
import socket
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import cast

from reconciler.dns import plan, wire
from reconciler.loop import cache as caches
from reconciler.model import meta

logger = logging.getLogger(__name__)

READS = frozenset({plan.SERVICES, plan.SLICES, "namespaces"})
MAX_FORWARDED = 256  # questions at other resolvers at once
FORWARD_SECONDS = 2.0  # each attempt
MAX_TCP_CONNECTIONS = 64
TCP_IDLE_SECONDS = 10.0
MAX_MESSAGE_BYTES = 65535


def resolvers(path: pathlib.Path = pathlib.Path("/etc/resolv.conf"), *, ours: Iterable[str] = ()) -> tuple[str, ...]:
    """The machine's name servers, without our own addresses; at most three, as resolv.conf(5) says."""
    try:
        words = [line.split() for line in path.read_text(errors="replace").splitlines()]
    except OSError:
        return ()
    found = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    return tuple(address for address in found if address not in set(ours))[:3]


class DnsAgent:
    """Answers questions from a cache's view."""

    def __init__(self, cache: caches.Cache, domain: str, upstream: Sequence[str]) -> None:
        self._cache = cache
        self._domain = domain
        self._upstream = tuple(upstream)
        self._pointers: dict[str, set[str]] = defaultdict(set)
        self._transports: list[asyncio.DatagramTransport] = []
        self._servers: list[asyncio.Server] = []
        self._connections = 0
        self._slots = asyncio.Semaphore(MAX_FORWARDED)
        self._tasks: set[asyncio.Task[None]] = set()
        cache.subscribe((plan.SERVICES, plan.SLICES), self._changed)

    async def serve(self, datagrams: socket.socket, stream: socket.socket) -> None:
        """Answer on a bound UDP socket and a listening TCP socket until close()."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
        self._transports.append(transport)
        self._servers.append(await asyncio.start_server(self._connected, sock=stream))

    async def close(self) -> None:
        for transport in self._transports:
            transport.close()
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()

    async def answer(self, message: bytes, *, over_udp: bool) -> bytes:
        """The response to a message; never raises for what it contains."""
        try:
            question = wire.read_question(message)
        except wire.Malformed:
            return wire.write_error(message, wire.FORMERR)
        most = question.udp_bytes if over_udp else MAX_MESSAGE_BYTES
        serial = self._cache.revision(plan.SERVICES)
        try:
            found = plan.answer(self._cache, self._pointers, self._domain, question, serial)
        except ValueError:  # a name that cannot be written, such as an external one with a label of 64 bytes
            found = wire.Answer(code=wire.SERVFAIL)
        if found is not None:
            return wire.write_answer(question, found, most_bytes=most)
        if self._slots.locked():
            return wire.write_answer(question, wire.Answer(code=wire.REFUSED), most_bytes=most)
        async with self._slots:
            forwarded = await self._forward(message, over_udp=over_udp)
        return forwarded or wire.write_answer(question, wire.Answer(code=wire.SERVFAIL), most_bytes=most)

    def start_answer(self, transport: asyncio.DatagramTransport, message: bytes, peer: tuple[str, int]) -> None:
        async def work() -> None:
            response = await self.answer(message, over_udp=True)
            if not transport.is_closing():
                transport.sendto(response, peer)

        task = asyncio.get_running_loop().create_task(work(), name="dns-answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _changed(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        for ip, name in plan.names_of(kind, old, self._domain) if old is not None else ():
            self._pointers[ip].discard(name)
            if not self._pointers[ip]:
                del self._pointers[ip]
        for ip, name in plan.names_of(kind, new, self._domain) if new is not None else ():
            self._pointers[ip].add(name)

    async def _forward(self, message: bytes, *, over_udp: bool) -> bytes | None:
        """The first good response of the machine's resolvers, under an identifier that cannot be guessed."""
        ident = secrets.token_bytes(2)
        query = ident + message[2:]
        for address in self._upstream:
            try:
                async with asyncio.timeout(FORWARD_SECONDS):
                    response = await (_ask_udp(address, query) if over_udp else _ask_tcp(address, query))
            except (OSError, TimeoutError, EOFError):
                continue
            if response[:2] == ident:
                return message[:2] + response[2:]
        return None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            while self._connections <= MAX_TCP_CONNECTIONS:
                async with asyncio.timeout(TCP_IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    message = await reader.readexactly(size)
                response = await self.answer(message, over_udp=False)
                writer.write(len(response).to_bytes(2, "big") + response)
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass  # the asker went away or said nothing
        finally:
            self._connections -= 1
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, agent: DnsAgent) -> None:
        self._agent = agent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # not every event loop's transports inherit from it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._agent.start_answer(self._transport, data, addr)


class _Response(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.arrived.done():
            self.arrived.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.arrived.done():
            self.arrived.set_exception(exc)


async def _ask_udp(address: str, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, response = await loop.create_datagram_endpoint(_Response, remote_addr=(address, 53))
    try:
        transport.sendto(query)
        return await response.arrived
    finally:
        transport.close()


async def _ask_tcp(address: str, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(address, 53)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        await writer.drain()
        size = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size)
    finally:
        writer.close()
