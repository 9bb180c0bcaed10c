"""The wire of keeper and shims: one JSON line each way over a unix socket, one request a connection.

A request is {"op", ...}, its answer {...} or {"error": {"reason", "message"}}. A connection whose request was
"hello" stays open and receives {"event": ...} lines from then on; its end is the end of the process. Descriptors
travel with the line. Only the own user and root may connect; a line is at most MAX_BYTES.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct

TYPE_CHECKING = False  # as typing's own, whose import would cost every shim memory
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MAX_BYTES = 4 << 20
MAX_DESCRIPTORS = 8
BACKLOG = 256
TIMEOUT_SECONDS = 10.0  # for a request that was begun to arrive whole
_PEER = struct.Struct("3i")


class Refused(Exception):
    """An answer that says no; `reason` is what a container's status shows."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def listen(path: str) -> socket.socket:
    """Listen at `path`, which may be longer than an address holds: the folder is named by descriptor."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        server.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.umask(before)
        os.close(folder)
    server.listen(BACKLOG)
    return server


def answers(path: str) -> bool:
    """Whether somebody listens at `path`."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def is_trusted(connection: socket.socket) -> bool:
    peer = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return peer[1] in (0, os.geteuid())


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The request and its descriptors; raises ValueError for anything but one whole line in time."""
    connection.settimeout(TIMEOUT_SECONDS)
    line = bytearray()
    descriptors: list[int] = []
    while not line.endswith(b"\n"):
        data, ancillary, _, _ = connection.recvmsg(1 << 18, socket.CMSG_SPACE(4 * MAX_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors += array.array("i", payload[: len(payload) & ~3])
        line += data
        if not data or len(line) > MAX_BYTES:
            raise ValueError("no request: the line ended early or is too long")
    request = json.loads(line)
    if not isinstance(request, dict):
        raise ValueError("a request is an object")
    return request, descriptors


def send(connection: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    line = encode(message)
    sent = socket.send_fds(connection, [line], list(descriptors)) if descriptors else 0
    connection.sendall(line[sent:])


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
