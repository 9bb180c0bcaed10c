"""Connections through real sockets on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from reconciler.kit import clock as clocks
from reconciler.proxy.backends import userspace
from reconciler.proxy.plan import Endpoint, Route

KEY = ("default", "web")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def echo_server(name: bytes) -> tuple[asyncio.Server, Endpoint]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name + b":" + await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])


def route(port: int, *endpoints: Endpoint, affinity_seconds: int = 0, protocol: str = "tcp") -> Route:
    return Route("default/web", protocol, ("127.96.0.9",), port, 0, tuple(endpoints), affinity_seconds)


async def ask(port: int, message: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.96.0.9", port)
    writer.write(message)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.fixture
async def backend() -> AsyncIterator[userspace.UserspaceBackend]:
    made = userspace.UserspaceBackend(userspace.HostDialer(), clocks.VirtualClock())
    await made.add_place(userspace.HostPlace())
    yield made
    await made.remove()


async def test_a_connection_reaches_an_endpoint_and_comes_back_whole(backend: userspace.UserspaceBackend) -> None:
    server, endpoint = await echo_server(b"a")
    port = free_port()
    await backend.apply({KEY: (route(port, endpoint),)})
    message = b"x" * 3_000_000
    assert await ask(port, message) == b"a:" + message
    server.close()


async def test_new_connections_follow_the_endpoints(backend: userspace.UserspaceBackend) -> None:
    first, one = await echo_server(b"one")
    second, two = await echo_server(b"two")
    port = free_port()
    await backend.apply({KEY: (route(port, one),)})
    assert await ask(port, b"") == b"one:"
    await backend.apply({KEY: (route(port, two),)})
    assert await ask(port, b"") == b"two:"
    await backend.apply({KEY: (route(port, one, two),)})
    assert {await ask(port, b"") for _ in range(30)} == {b"one:", b"two:"}
    first.close()
    second.close()


async def test_no_endpoints_is_a_reset_and_no_service_is_a_refusal(backend: userspace.UserspaceBackend) -> None:
    port = free_port()
    await backend.apply({KEY: (route(port),)})
    reader, writer = await asyncio.open_connection("127.96.0.9", port)
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    await backend.apply({KEY: ()})
    with pytest.raises(ConnectionRefusedError):
        await ask(port, b"")


async def test_affinity_keeps_a_client_at_its_endpoint_until_it_expires() -> None:
    clock = clocks.VirtualClock()
    made = userspace.UserspaceBackend(userspace.HostDialer(), clock)
    endpoints = tuple(Endpoint(f"10.0.0.{i}", 80) for i in range(50))
    sticky = route(80, *endpoints, affinity_seconds=10)
    chosen = {made.choose(sticky, "client") for _ in range(20)}
    assert len(chosen) == 1
    clock.advance(11)
    assert len({made.choose(sticky, f"client{i}") for i in range(20)}) > 1
    without = route(80, *(set(endpoints) - chosen), affinity_seconds=10)
    assert made.choose(without, "client") not in chosen


async def test_a_taken_port_is_said_and_tried_again(backend: userspace.UserspaceBackend) -> None:
    server, endpoint = await echo_server(b"a")
    port = free_port()
    squatter = socket.socket()
    squatter.bind(("127.96.0.9", port))
    squatter.listen()
    await backend.apply({KEY: (route(port, endpoint),)})
    assert "Address already in use" in backend.refused["host", "127.96.0.9", port, "tcp"]
    squatter.close()
    await backend.apply({})
    assert await ask(port, b"") == b"a:"
    assert not backend.refused
    server.close()


async def test_datagrams_go_there_and_back(backend: userspace.UserspaceBackend) -> None:
    loop = asyncio.get_running_loop()
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    server.bind(("127.0.0.1", 0))
    port = free_port()
    await backend.apply({KEY: (route(port, Endpoint("127.0.0.1", server.getsockname()[1]), protocol="udp"),)})
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    client.connect(("127.96.0.9", port))
    for message in (b"one", b"two"):
        await loop.sock_sendall(client, message)
        data, peer = await loop.sock_recvfrom(server, 100)
        assert data == message
        await loop.sock_sendto(server, data.upper(), peer)
        assert await loop.sock_recv(client, 100) == message.upper()
    client.close()
    server.close()
