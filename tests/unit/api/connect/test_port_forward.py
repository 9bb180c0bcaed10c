"""Connections to a pod's ports, over SPDY in both wrappings and over channels."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator

import pytest

from tests.unit.api.connect import world as worlds
from tests.unit.api.connect.world import World

PATH = "/api/v1/namespaces/default/pods/p/portforward"


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """A port where everything comes back, and the end too."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    listening = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await asyncio.gather(*serving)


async def exchange(client: worlds.SpdyClient, port: int) -> None:
    pairs = []
    for id in ("0", "1"):
        headers = {"port": str(port), "requestID": id}
        pairs.append((await client.open(streamtype="error", **headers), await client.open(streamtype="data", **headers)))
    for number, (_, data) in enumerate(pairs):
        await client.write(data, bytes((number,)) * 100_000)
        await client.write(data, b"end", end=True)
    await client.until(lambda: {data for _, data in pairs} <= client.ended)
    for number, (error, data) in enumerate(pairs):
        assert client.data[data] == bytes((number,)) * 100_000 + b"end"
        assert not client.data.get(error)


async def test_over_an_upgraded_connection(world: World) -> None:
    await world.pod()
    async with echoing() as port, worlds.upgraded(world, PATH, **{"X-Stream-Protocol-Version": "portforward.k8s.io"}) as (_, client):
        await exchange(client, port)


async def test_through_a_tunnel(world: World) -> None:
    await world.pod()
    async with echoing() as port, world.session.ws_connect(PATH, protocols=("SPDY/3.1+portforward.k8s.io",)) as socket:
        assert socket.protocol == "SPDY/3.1+portforward.k8s.io"
        await exchange(worlds.SpdyClient(socket.send_bytes, socket.receive_bytes), port)


async def test_a_port_where_nobody_listens_and_streams_that_are_none(world: World) -> None:
    uid = (await world.pod())["metadata"]["uid"]
    async with worlds.upgraded(world, PATH) as (_, client):
        error = await client.open(streamtype="error", port="1", requestID="0")
        await client.open(streamtype="data", port="1", requestID="0")
        await client.until(lambda: error in client.ended)
        reason = "failed to connect to localhost:1 inside the pod: connection refused"
        assert client.data[error].decode() == f"error forwarding port 1 to pod p, uid {uid}: {reason}"
        refused = [await client.open(streamtype="data", port="0"), await client.open(streamtype="other", port="80")]
        await client.until(lambda: set(refused) <= client.refused)


async def test_over_channels(world: World) -> None:
    await world.pod()
    async with echoing() as port, world.session.ws_connect(f"{PATH}?ports={port},1", protocols=("v4.channel.k8s.io",)) as socket:
        got = {0: b"", 1: b"", 2: b"", 3: b""}
        await socket.send_bytes(b"\2dropped")
        await socket.send_bytes(b"\0hello")
        while not got[0].endswith(b"hello") or len(got[3]) <= 2:
            data = await socket.receive_bytes()
            got[data[0]] += data[1:]
        assert got[0] == struct.pack("<H", port) + b"hello"
        assert got[2] == struct.pack("<H", 1)
        assert b"connection refused" in got[3]


@pytest.mark.parametrize(
    ("query", "words"),
    [("", 'query parameter "port" is required'), ("?ports=x", 'unable to parse "x" as a port'), ("?ports=0", 'port "0" must be > 0')],
)
async def test_ports_that_are_none(world: World, query: str, words: str) -> None:
    await world.pod()
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": "v4.channel.k8s.io"}
    async with world.session.get(PATH + query, headers=headers) as answer:
        assert answer.status == 400
        assert json.loads(await answer.read())["message"] == words
