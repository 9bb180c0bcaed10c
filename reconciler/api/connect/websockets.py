"""Kubernetes' subprotocols over WebSockets: messages that begin with a channel's number, and bytes as they are (tunnels).

    v5.channel.k8s.io            binary; channel 255 ends the input of the channel that follows it
    v4.channel.k8s.io            binary; the error channel carries a Status
    channel.k8s.io, none at all  binary; the error channel carries text, and only where something failed
    (v4.)base64.channel.k8s.io   the same as text: a digit, then base64

A message is bounded, and none is read while nobody takes the one before.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from reconciler.model import errors

MESSAGE_MOST_BYTES = 16 * 1024 * 1024
CLOSE_SECONDS = 5.0
CLOSE = 255  # the channel of half-closes


@dataclass(frozen=True, slots=True)
class Protocol:
    """How channels are written; `version` is that of the error channel's contents."""

    name: str
    version: int
    is_text: bool = False


PROTOCOLS = (
    Protocol("v5.channel.k8s.io", 5),
    Protocol("v4.channel.k8s.io", 4),
    Protocol("v4.base64.channel.k8s.io", 4, is_text=True),
    Protocol("channel.k8s.io", 1),
    Protocol("base64.channel.k8s.io", 1, is_text=True),
)
OLDEST = Protocol("", 1)  # what a client gets that names none


def is_asked(request: web.BaseRequest) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket" and "upgrade" in request.headers.get("Connection", "").lower()


def offered(request: web.BaseRequest) -> list[str]:
    """The subprotocols that the client speaks, the dearest first."""
    return [name.strip() for name in ",".join(request.headers.getall("Sec-WebSocket-Protocol", ())).split(",") if name.strip()]


def chosen(request: web.BaseRequest, supported: Sequence[Protocol]) -> Protocol:
    """Raises StatusError 403 where client and server have none in common."""
    names = offered(request)
    if not names:
        return OLDEST
    found = next((one for name in names for one in supported if one.name == name), None)
    if found is None:
        known = " ".join(one.name for one in supported)
        raise errors.StatusError(403, "Forbidden", f"requested protocol(s) are not supported: [{' '.join(names)}]; supports [{known}]")
    return found


async def opened(request: web.BaseRequest, protocol: str) -> web.WebSocketResponse:
    """Raises StatusError 400 for a handshake that is none."""
    socket = web.WebSocketResponse(
        protocols=(protocol,) if protocol else (), max_msg_size=MESSAGE_MOST_BYTES, compress=False, timeout=CLOSE_SECONDS
    )
    try:
        await socket.prepare(request)
    except web.HTTPException as error:
        raise errors.bad_request(str(error.text)) from error
    return socket


class Channels:
    """Numbered channels over one WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, protocol: Protocol) -> None:
        self.version = protocol.version
        self._socket = socket
        self._protocol = protocol

    async def receive(self) -> tuple[int, bytes] | None:
        """The next message as (channel, contents); None once the client is gone."""
        while True:
            message = await self._socket.receive()
            if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                return None
            data = message.data.encode() if isinstance(message.data, str) else bytes(message.data)
            if not data:
                continue
            if not self._protocol.is_text:
                return data[0], data[1:]
            try:
                return data[0] - ord("0"), base64.b64decode(data[1:], validate=True)
            except binascii.Error:
                return None

    async def send(self, channel: int, data: bytes) -> None:
        """Return when there is room for more. Raises ConnectionError."""
        if self._protocol.is_text:
            await self._socket.send_str(str(channel) + base64.b64encode(data).decode())
        else:
            await self._socket.send_bytes(bytes((channel,)) + data)

    async def ping(self) -> None:
        await self._socket.ping()

    async def close(self) -> None:
        await self._socket.close()


class Tunnel:
    """The ByteStream whose pieces are binary messages."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return b""
            if message.data:
                return bytes(message.data)

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()
