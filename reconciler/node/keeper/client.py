"""The daemon's side of the wire: asyncio, one connection a request, one that listens per keeper and shim."""

import array
import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.node.keeper import wire

CONNECT_ATTEMPTS = 40
CONNECT_DELAY_SECONDS = 0.005


class Gone(ConnectionError):
    """Nobody listens at the socket, or the answer never came."""


class Channel:
    """One connection; lines come with the descriptors that travelled along."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._received = bytearray()
        self._descriptors: list[int] = []
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, path: Path) -> "Channel":
        """Raises Gone. A full backlog is waited for; a path may be longer than an address holds."""
        try:
            folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Gone(f"{path} does not exist") from error
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            for _ in range(CONNECT_ATTEMPTS):
                try:
                    sock.connect(f"/proc/self/fd/{folder}/{path.name}")
                    return cls(sock)
                except BlockingIOError:
                    await asyncio.sleep(CONNECT_DELAY_SECONDS)
            raise Gone(f"{path} does not accept connections")
        except OSError as error:
            sock.close()
            raise Gone(f"{path}: {error.strerror or error}") from error
        finally:
            os.close(folder)

    async def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        line = wire.encode({**message, "fds": len(descriptors)} if descriptors else dict(message))
        try:
            sent = socket.send_fds(self._sock, [line], list(descriptors)) if descriptors else 0
            if sent < len(line):  # even sending nothing fails where the answer is there already
                await self._loop.sock_sendall(self._sock, line[sent:])
        except OSError as error:
            raise Gone("the connection broke") from error

    async def receive(self) -> tuple[dict[str, Any], list[int]]:
        """The next line; raises Gone at the end."""
        while (end := self._received.find(b"\n")) < 0:
            try:
                data, ancillary, _, _ = self._sock.recvmsg(1 << 18, socket.CMSG_SPACE(4 * wire.MAX_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                await self._readable()
                continue
            except OSError as error:
                raise Gone("the connection broke") from error
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    self._descriptors += array.array("i", payload[: len(payload) & ~3])
            if not data:
                raise Gone("the connection ended")
            self._received += data
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        message: dict[str, Any] = json.loads(line)
        descriptors, self._descriptors = self._descriptors, []
        return message, descriptors

    async def answer(self) -> tuple[dict[str, Any], list[int]]:
        """The next line that is no event; raises wire.Refused for a refusal."""
        while True:
            message, descriptors = await self.receive()
            if "event" not in message:
                break
        if "error" in message:
            raise wire.Refused(message["error"]["reason"], message["error"]["message"])
        return message, descriptors

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Ends when the other side does."""
        while True:
            try:
                message, _ = await self.receive()
            except Gone:
                return
            yield message

    async def _readable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(self._sock, _set, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._sock)

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._sock.close()


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


async def request(path: Path, op: str, descriptors: Sequence[int] = (), **fields: Any) -> dict[str, Any]:
    """One request and its answer; raises Gone, wire.Refused."""
    answer, received = await request_descriptors(path, op, descriptors, **fields)
    for descriptor in received:
        os.close(descriptor)
    return answer


async def request_descriptors(path: Path, op: str, descriptors: Sequence[int] = (), **fields: Any) -> tuple[dict[str, Any], list[int]]:
    """The same where the answer may bring descriptors, which then are the caller's."""
    channel = await Channel.connect(path)
    try:
        await channel.send({"op": op, **fields}, descriptors)
        return await channel.answer()
    finally:
        channel.close()
