"""SPDY/3.1, the server's end: the framing of kubectl's exec and attach before 1.31, and of port-forward to this day.

Kubernetes' clients and servers (moby/spdystream) neither send nor heed window updates: the connection's own flow control
is all there is, so a stream that nobody reads holds up the others. Priorities and settings mean nothing here. Frames,
header blocks, streams and what waits to be read are bounded; whoever breaks the rules loses the connection.
"""

import asyncio
import contextlib
import struct
import zlib
from collections import deque
from collections.abc import Callable, Mapping

from reconciler.api.connect.upgrade import ByteStream

_WORDS = (
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding", "accept-language",
    "accept-ranges", "age", "allow", "authorization", "cache-control", "connection", "content-base", "content-encoding",
    "content-language", "content-length", "content-location", "content-md5", "content-range", "content-type", "date", "etag", "expect",
    "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified",
    "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after", "server", "te",
    "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning", "www-authenticate", "method", "get", "status",
    "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin",
)  # fmt: skip
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found"
    "500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec"
    " 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
# What both ends have their zlib know before the first header block (SPDY/3, 2.6.10.1).
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS) + _REST.encode()

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS = 1, 2, 3, 4, 6, 7, 8
FIN = 1
REFUSED_STREAM, CANCEL = 3, 5
STREAMS_MOST = 1024  # open at a time
FRAME_MOST_BYTES = 1 << 20
HEADERS_MOST_BYTES = 64 * 1024
WAITING_MOST_BYTES = 256 * 1024  # of one stream, before the connection is held up
PIECE_BYTES = 32 * 1024
_HEAD = struct.Struct(">II")


class Broken(ConnectionError):
    """The client does not speak SPDY/3.1, or more of it than is allowed."""


class Stream:
    """One stream of a client: it reads what the client wrote, and the other way round."""

    def __init__(self, connection: "Connection", id: int, headers: Mapping[str, str]) -> None:
        self.id = id
        self.headers = headers
        self.is_done = False  # nothing is read or written any more
        self._connection = connection
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._input_ended = False
        self._output_ended = False
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""
        while not self._waiting and not self._input_ended:
            self._changed.clear()
            await self._changed.wait()
        if not self._waiting:
            return b""
        data = self._waiting.popleft()
        self._waiting_bytes -= len(data)
        if self._waiting_bytes < WAITING_MOST_BYTES:
            self._has_room.set()
        return data

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError once the client has reset the stream or is gone."""
        if self._output_ended:
            raise ConnectionResetError("the stream is closed")
        for first in range(0, len(data), PIECE_BYTES):
            await self._connection.send_data(self.id, data[first : first + PIECE_BYTES])

    async def end(self) -> None:
        """No more is written."""
        if not self._output_ended:
            self._output_ended = True
            await self._connection.send_data(self.id, b"", FIN)
            self._forget_if_over()

    def close(self) -> None:
        """What still comes is dropped."""
        self.is_done = True
        self.end_input()
        self._waiting.clear()
        self._has_room.set()

    # What the connection tells.

    async def receive(self, data: bytes) -> None:
        if self._input_ended or self.is_done:
            return
        if data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._changed.set()
        if self._waiting_bytes >= WAITING_MOST_BYTES:
            self._has_room.clear()
            await self._has_room.wait()

    def end_input(self) -> None:
        self._input_ended = True
        self._changed.set()
        self._forget_if_over()

    def reset(self) -> None:
        self._output_ended = True
        self.close()

    def _forget_if_over(self) -> None:
        if self._input_ended and self._output_ended:
            self._connection.streams.pop(self.id, None)


class Connection:
    """`accept(stream)` says whether a new stream is wanted; it must not block."""

    def __init__(self, carrier: ByteStream, accept: Callable[[Stream], bool]) -> None:
        self.streams: dict[int, Stream] = {}
        self._carrier = carrier
        self._accept = accept
        self._received = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._last = self._pings = 0
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Serve frames until the client goes or breaks the rules; then every stream is at its end."""
        try:
            while (head := await self._exactly(8)) is not None:
                first, second = _HEAD.unpack(head)
                flags, length = second >> 24, second & 0xFFFFFF
                if length > FRAME_MOST_BYTES:
                    raise Broken(f"a frame of {length} bytes")
                body = await self._exactly(length)
                if body is None:
                    break
                if first >> 31:
                    if first >> 16 & 0x7FFF != VERSION:
                        raise Broken(f"version {first >> 16 & 0x7FFF} of SPDY")
                    await self._control(first & 0xFFFF, flags, body)
                else:
                    await self._data(first, flags, body)
        except (struct.error, zlib.error) as error:
            raise Broken(f"a frame that cannot be read: {error}") from error
        finally:
            for stream in list(self.streams.values()):
                stream.reset()

    async def send_data(self, id: int, data: bytes, flags: int = 0) -> None:
        await self._send(_HEAD.pack(id, flags << 24 | len(data)) + data)

    async def ping(self) -> None:
        self._pings += 2
        await self._send_control(PING, struct.pack(">I", self._pings & 0x7FFFFFFF))

    async def close(self) -> None:
        """Say goodbye, and hang up."""
        with contextlib.suppress(ConnectionError):
            await self._send_control(GOAWAY, struct.pack(">II", self._last, 0))
        await self._carrier.close()

    async def _exactly(self, count: int) -> bytes | None:
        while len(self._received) < count:
            data = await self._carrier.read()
            if not data:
                return None
            self._received += data
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    async def _data(self, id: int, flags: int, body: bytes) -> None:
        stream = self.streams.get(id)
        if stream is None:
            return  # one that was reset, or ended on both sides: what was under way is of no use
        await stream.receive(body)
        if flags & FIN:
            stream.end_input()

    async def _control(self, kind: int, flags: int, body: bytes) -> None:
        if kind == SYN_STREAM:
            await self._open(flags, body)
        elif kind == RST_STREAM:
            id, _ = struct.unpack(">II", body)
            if id in self.streams:
                self.streams[id].reset()
        elif kind == PING and struct.unpack(">I", body)[0] % 2:  # an even one answers ours
            await self._send_control(PING, body[:4])
        elif kind == HEADERS:
            self._headers(body[4:])  # the other end's compression has advanced
            if flags & FIN and (stream := self.streams.get(struct.unpack_from(">I", body)[0])):
                stream.end_input()

    async def _open(self, flags: int, body: bytes) -> None:
        (id,) = struct.unpack_from(">I", body)
        headers = self._headers(body[10:])
        if id % 2 == 0 or id <= self._last:
            raise Broken(f"stream {id} after stream {self._last}")
        self._last = id
        stream = Stream(self, id, headers)
        if len(self.streams) >= STREAMS_MOST or not self._accept(stream):
            await self._send_control(RST_STREAM, struct.pack(">II", id, REFUSED_STREAM))
            return
        self.streams[id] = stream
        if flags & FIN:
            stream.end_input()
        await self._send_reply(id)

    async def _send_reply(self, id: int) -> None:
        async with self._writing:  # the order of header blocks is the order of their compression
            block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            await self._carrier.write(_control_frame(SYN_REPLY, struct.pack(">I", id) + block))

    def _headers(self, block: bytes) -> dict[str, str]:
        text = self._inflate.decompress(block, HEADERS_MOST_BYTES)
        if self._inflate.unconsumed_tail:
            raise Broken(f"headers of more than {HEADERS_MOST_BYTES} bytes")
        (count,) = struct.unpack_from(">I", text)
        at, parts = 4, []
        for _ in range(count * 2):
            (length,) = struct.unpack_from(">I", text, at)
            parts.append(text[at + 4 : at + 4 + length].decode("latin-1"))
            at += 4 + length
        return {name.lower(): value.split("\0")[0] for name, value in zip(parts[::2], parts[1::2], strict=True)}

    async def _send_control(self, kind: int, body: bytes) -> None:
        await self._send(_control_frame(kind, body))

    async def _send(self, frame: bytes) -> None:
        async with self._writing:
            await self._carrier.write(frame)


def _control_frame(kind: int, body: bytes) -> bytes:
    return _HEAD.pack(1 << 31 | VERSION << 16 | kind, len(body)) + body
