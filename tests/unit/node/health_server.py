"""A gRPC health server in as little HTTP/2 as that takes: what containers under test run, standard library only.

    python3 health_server.py PORT FILE     the status that it answers is what FILE says: a number, or nothing for 0

`serving` is also used in process: `script` turns the service's name into the frames of an answer.
"""

import asyncio
import contextlib
import pathlib
import struct
import sys
from collections.abc import AsyncIterator, Callable

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
OK_HEADERS = b"\x88\x5f\x10application/grpc"  # :status 200 and content-type, of HPACK's static table
OK_TRAILERS = b"\x00\x0bgrpc-status\x010"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def answer(status: int) -> bytes:
    message = bytes([8, status]) if status else b""
    body = struct.pack(">BI", 0, len(message)) + message
    return frame(HEADERS, 4, 1, OK_HEADERS) + frame(DATA, 0, 1, body) + frame(HEADERS, 5, 1, OK_TRAILERS)


@contextlib.asynccontextmanager
async def serving(script: Callable[[str], bytes], port: int = 0) -> AsyncIterator[int]:
    """Yields the port. Every connection is served to its end."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            assert await reader.readexactly(len(PREFACE)) == PREFACE
            writer.write(frame(SETTINGS, 0, 0))
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == HEADERS:
                    assert b"/grpc.health.v1.Health/Check" in payload
                elif head[3] == DATA:
                    writer.write(script(payload[7:].decode()))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(talk(reader, writer))
        talks.add(task)
        task.add_done_callback(talks.discard)

    server = await asyncio.start_server(accept, "0.0.0.0", port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await asyncio.gather(*talks)


async def main(port: int, path: pathlib.Path) -> None:
    async with serving(lambda _: answer(int(path.read_text() or 0) if path.exists() else 0), port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), pathlib.Path(sys.argv[2])))
