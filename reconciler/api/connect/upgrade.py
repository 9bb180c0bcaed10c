"""Connections that change their protocol: after 101 Switching Protocols they are bytes both ways.

Reading stops while nobody takes what has come, and writing waits while the client takes nothing: nothing piles up.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

READ_BYTES = 64 * 1024


class ByteStream(Protocol):
    """Bytes both ways, whatever carries them."""

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Return when there is room for more. Raises ConnectionError."""

    async def close(self) -> None: ...


class Switched(web.StreamResponse):
    """What a handler returns whose connection is no HTTP any more."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class Raw:
    """The ByteStream of a request whose protocol was switched."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._protocol = request.protocol
        self._transport = request.transport
        self._reader = asyncio.StreamReader(limit=READ_BYTES)
        if self._transport is not None:
            self._reader.set_transport(self._transport)
        self._protocol.set_parser(_Feeder(self._reader))  # type: ignore[arg-type]

    @classmethod
    def switch(cls, request: web.BaseRequest, headers: Mapping[str, str]) -> "Raw":
        """Answer 101 with `headers`."""
        lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in headers.items())]
        raw = cls(request)
        if raw._transport is not None:
            raw._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return raw

    async def read(self) -> bytes:
        try:
            return await self._reader.read(READ_BYTES)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        await self._protocol._drain_helper()  # what aiohttp's own writers wait for

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Feeder:
    """What aiohttp's connection takes for the parser of the new protocol."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()

    def set_exception(self, error: BaseException) -> None:
        self._reader.feed_eof()


async def pump(source: ByteStream, target: ByteStream) -> None:
    """Copy until the source ends."""
    while data := await source.read():
        await target.write(data)


class Socket:
    """The ByteStream of a connected socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(READ_BYTES)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """No more is written."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    def shut(self) -> None:
        """Close without waiting, as cleaning up does that may itself be cancelled."""
        self._writer.close()

    async def close(self) -> None:
        self.shut()
