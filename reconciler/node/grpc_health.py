"""One call of grpc.health.v1.Health/Check over a fresh connection: as much HTTP/2 as that takes, and no more.

Headers are sent as literals without compression tables; of the answer only DATA frames are read, for a healthy
server's first message holds all. Not a gRPC client.
"""

import asyncio
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_MAX_FRAME_BYTES = 1 << 20
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: str) -> str:
    """SERVING, NOT_SERVING, ...; raises ValueError or IncompleteReadError for anything but an answer."""
    name = service.encode()
    request = b"\x0a" + _length(name) + name if name else b""
    message = struct.pack(">BI", 0, len(request)) + request
    writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_HEADERS, 1, _headers()))
    writer.write(_frame(_DATA, _END_STREAM, 1, message))
    await writer.drain()
    body = b""
    while True:
        kind, flags, payload = await _read(reader)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _DATA:
            body += payload
            if len(body) >= 5 and len(body) >= 5 + struct.unpack(">I", body[1:5])[0]:
                return _status(body[5:])
        elif kind in (_RESET, _GOAWAY) or (kind == _HEADERS and flags & _END_STREAM):
            raise ValueError("the server does not implement grpc.health.v1.Health, or does not know the service")


def _status(message: bytes) -> str:
    """HealthCheckResponse: field 1 is the status, 0 where it is absent."""
    return _STATUSES.get(message[1] if len(message) >= 2 and message[0] == 0x08 else 0, "UNKNOWN")


def _headers() -> bytes:
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/grpc.health.v1.Health/Check"),
        (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"user-agent", b"kube-probe/1.36"),
    )
    return b"".join(b"\x00" + _length(name) + name + _length(value) + value for name, value in fields)


def _length(text: bytes) -> bytes:
    """All texts here are shorter than 127 bytes, where HPACK's and protobuf's integers are one byte."""
    if len(text) > 126:
        raise ValueError("the service name is too long")
    return bytes([len(text)])


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    head = await reader.readexactly(9)
    size = int.from_bytes(head[:3], "big")
    if size > _MAX_FRAME_BYTES:
        raise ValueError("the answer is no HTTP/2")
    return head[3], head[4], await reader.readexactly(size)
