"""The keeper's and the shims' side of the wire: JSON lines over unix sockets, one thread, one poll loop.

A request is {"id", "op", ...}, its answer {"id", ...} or {"id", "error": {"reason", "message"}}; {"event", ...}
comes unasked. Descriptors travel with the message that says {"fds": n}. Only the own user and root may connect.
A line or a backlog of unread answers above MAX_BYTES ends the connection, never the process.
"""

from __future__ import annotations

import array
import errno
import json
import os
import select
import signal
import socket
import struct

MAX_BYTES = 4 << 20
MAX_CONNECTIONS = 64
MAX_DESCRIPTORS = 8
_PEER = struct.Struct("3i")

TYPE_CHECKING = False  # as typing's own, whose import would cost every shim memory
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Refused(Exception):
    """An answer that says no; `reason` is what a container's status shows."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


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
    server.listen(MAX_CONNECTIONS)
    return server


class Connection:
    """One client. `subscribed` once it asked for events."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.subscribed = False
        self.closed = False
        self._received = bytearray()
        self._descriptors: list[int] = []
        self._unsent = bytearray()

    def fileno(self) -> int:
        return self.sock.fileno()

    @property
    def wants(self) -> int:
        return select.POLLIN | (select.POLLOUT if self._unsent else 0)

    def receive(self) -> list[tuple[dict[str, Any], list[int]]]:
        """The requests that have come with their descriptors; closes itself at the end or on nonsense."""
        try:
            size = socket.CMSG_SPACE(4 * MAX_DESCRIPTORS)
            data, ancillary, flags, _ = self.sock.recvmsg(65536, size, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return []
        except OSError:
            data, ancillary, flags = b"", [], 0
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._descriptors += array.array("i", payload[: len(payload) & ~3])
        self._received += data
        if not data or flags & socket.MSG_CTRUNC:
            self.close()
            return []
        *lines, rest = bytes(self._received).split(b"\n") if b"\n" in data else [bytes(self._received)]
        self._received = bytearray(rest)
        if len(rest) > MAX_BYTES:
            self.close()
        return self._requests(lines)

    def _requests(self, lines: list[bytes]) -> list[tuple[dict[str, Any], list[int]]]:
        requests = []
        for line in lines:
            try:
                request = json.loads(line)
                count = int(request.get("fds", 0))
            except (ValueError, AttributeError, TypeError):
                self.close()
                break
            if not 0 <= count <= len(self._descriptors):
                self.close()
                break
            requests.append((request, self._descriptors[:count]))
            del self._descriptors[:count]
        return requests

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Queue and try to send. Descriptors need an empty queue, which a client that waits for its answer leaves."""
        if self.closed:
            return
        if descriptors:
            try:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
                line = encode(message)
                sent = self.sock.sendmsg([line], rights)
                self._unsent += line[sent:]
            except OSError:
                self.close()
            return
        self._unsent += encode(message)
        self.flush()

    def flush(self) -> None:
        try:
            while self._unsent and not self.closed:
                del self._unsent[: self.sock.send(self._unsent)]
        except BlockingIOError:
            if len(self._unsent) > MAX_BYTES:
                self.close()
        except OSError:
            self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            for descriptor in self._descriptors:
                os.close(descriptor)
            self._descriptors.clear()


class Endpoint:
    """A poll loop around a listening socket. Subclasses answer `op_NAME(request, descriptors, connection)`.

    An operation returns its answer, or None when it will answer later through `reply`.
    """

    def __init__(self, server: socket.socket) -> None:
        self.server = server
        self.stopping = False
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._connections: dict[int, Connection] = {}
        self._wakeup_read, self._wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, _nothing)
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        self.watch(self._wakeup_read, self._signalled)
        self.watch(server.fileno(), self._accept)

    def watch(self, descriptor: int, callback: Callable[[int], None], events: int = select.POLLIN) -> None:
        self._callbacks[descriptor] = callback
        self._poll.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        if self._callbacks.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def run(self) -> None:
        """Serve until `stopping`."""
        while not self.stopping:
            for descriptor, events in self._poll.poll(self.timeout_ms()):
                callback = self._callbacks.get(descriptor)
                if callback is not None:
                    callback(events)

    def timeout_ms(self) -> int | None:
        """How long a poll may wait; subclasses with timers override it."""
        return None

    def on_child(self) -> None:
        """A child changed state."""

    def on_terminate(self) -> None:
        self.stopping = True

    def on_disconnect(self, connection: Connection) -> None:
        """A client is gone."""

    def reply(self, connection: Connection, request: dict[str, Any], answer: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        if descriptors:
            answer = {**answer, "fds": len(descriptors)}
        connection.send({"id": request.get("id"), **answer}, descriptors)
        self._settle(connection)

    def refuse(self, connection: Connection, request: dict[str, Any], reason: str, message: str) -> None:
        self.reply(connection, request, {"error": {"reason": reason, "message": message}})

    def publish(self, event: dict[str, Any]) -> None:
        for connection in list(self._connections.values()):
            if connection.subscribed:
                connection.send(event)
                self._settle(connection)

    def close(self) -> None:
        """Close every descriptor of the loop: in a fork that goes on as something else."""
        signal.set_wakeup_fd(-1)
        for connection in self._connections.values():
            connection.close()
            connection.sock.close()
        self.server.close()
        os.close(self._wakeup_read)
        os.close(self._wakeup_write)

    def _accept(self, _: int) -> None:
        try:
            sock, _ = self.server.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EMFILE, errno.ENFILE):
                return
            raise
        uid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
        if uid not in (0, os.geteuid()) or len(self._connections) >= MAX_CONNECTIONS:
            sock.close()
            return
        sock.setblocking(False)
        connection = Connection(sock)
        self._connections[connection.fileno()] = connection
        self.watch(connection.fileno(), lambda events: self._serve(connection, events), connection.wants)

    def _serve(self, connection: Connection, events: int) -> None:
        if events & select.POLLOUT:
            connection.flush()
        if events & ~select.POLLOUT:
            for request, descriptors in connection.receive():
                self._answer(connection, request, descriptors)
        self._settle(connection)

    def _answer(self, connection: Connection, request: dict[str, Any], descriptors: list[int]) -> None:
        try:
            operation = getattr(self, "op_" + str(request.get("op")), None)
            if operation is None:
                raise Refused("Unimplemented", f"unknown operation {request.get('op')!r}")
            answer = operation(request, descriptors, connection)
            if answer is not None:
                self.reply(connection, request, answer)
        except Refused as error:
            self.refuse(connection, request, error.reason, error.message)
        except (KeyError, TypeError, ValueError) as error:
            self.refuse(connection, request, "BadRequest", f"{type(error).__name__}: {error}")
        except OSError as error:
            self.refuse(connection, request, "SystemError", str(error))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _settle(self, connection: Connection) -> None:
        """Poll for what the connection wants now, or let go of it."""
        descriptor = connection.fileno()
        if self._connections.get(descriptor) is not connection:
            return
        if connection.closed:
            del self._connections[descriptor]
            self.unwatch(descriptor)
            connection.sock.close()
            self.on_disconnect(connection)
        else:
            self._poll.modify(descriptor, connection.wants)

    def _signalled(self, _: int) -> None:
        numbers = os.read(self._wakeup_read, 512)
        if signal.SIGCHLD in numbers:
            self.on_child()
        if signal.SIGTERM in numbers:
            self.on_terminate()


def _nothing(*_: object) -> None:
    """A handler that exists so that the wakeup descriptor is written."""
