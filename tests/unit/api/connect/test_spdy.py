"""Clients that break the rules of SPDY/3.1 lose the connection; the others are not held up by what nobody reads."""

import asyncio
import struct

import pytest

from reconciler.api.connect import spdy
from tests.unit.api.connect.world import SpdyClient


class Pipe:
    """Both ends of a carrier in this process."""

    def __init__(self) -> None:
        self.inward: asyncio.Queue[bytes] = asyncio.Queue()
        self.outward: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        return await self.inward.get()

    async def write(self, data: bytes) -> None:
        self.outward.put_nowait(data)

    async def close(self) -> None:
        self.outward.put_nowait(b"")


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">HHI", 0x8002, spdy.SYN_STREAM, 0),
        struct.pack(">HHI", 0x8003, spdy.SYN_STREAM, 12) + struct.pack(">IIHH", 1, 0, 0, 0),
        struct.pack(">II", 1, spdy.FRAME_MOST_BYTES + 1),
        struct.pack(">HHI", 0x8003, spdy.RST_STREAM, 2) + b"\0\0",
    ],
)
async def test_broken_frames(frame: bytes) -> None:
    pipe = Pipe()
    pipe.inward.put_nowait(frame)
    with pytest.raises(spdy.Broken):
        await spdy.Connection(pipe, lambda stream: True).run()


async def test_stream_ids_only_grow() -> None:
    pipe = Pipe()
    client = SpdyClient(pipe.inward.put, pipe.outward.get)
    await client.open(streamtype="data")
    client._last = -1
    await client.open(streamtype="data")
    with pytest.raises(spdy.Broken, match="stream 1 after stream 1"):
        await spdy.Connection(pipe, lambda stream: True).run()


async def test_headers_are_bounded() -> None:
    pipe = Pipe()
    client = SpdyClient(pipe.inward.put, pipe.outward.get)
    await client.open(large="x" * (spdy.HEADERS_MOST_BYTES + 1))
    with pytest.raises(spdy.Broken, match="headers of more than"):
        await spdy.Connection(pipe, lambda stream: True).run()


async def test_what_nobody_reads_holds_the_client_up_until_it_is_dropped() -> None:
    pipe, streams = Pipe(), []
    client = SpdyClient(pipe.inward.put, pipe.outward.get)
    running = asyncio.create_task(spdy.Connection(pipe, lambda stream: not streams.append(stream)).run())  # type: ignore[func-returns-value]
    stream = await client.open(streamtype="data")
    for _ in range(20):
        await client.write(stream, bytes(spdy.WAITING_MOST_BYTES // 4))
    await client.control(spdy.PING, b"\0\0\0\1")
    while pipe.inward.qsize() > 17:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)
    assert not client.pongs
    streams[0].close()
    await client.until(lambda: client.pongs == [1])
    pipe.inward.put_nowait(b"")
    await running


async def test_a_reset_ends_both_directions() -> None:
    pipe, streams = Pipe(), []
    client = SpdyClient(pipe.inward.put, pipe.outward.get)
    running = asyncio.create_task(spdy.Connection(pipe, lambda stream: not streams.append(stream)).run())  # type: ignore[func-returns-value]
    stream = await client.open(streamtype="data")
    await client.control(spdy.RST_STREAM, struct.pack(">II", stream, spdy.CANCEL))
    await client.control(spdy.PING, b"\0\0\0\1")
    await client.until(lambda: client.pongs == [1])
    assert await streams[0].read() == b""
    with pytest.raises(ConnectionResetError):
        await streams[0].write(b"x")
    pipe.inward.put_nowait(b"")
    await running
