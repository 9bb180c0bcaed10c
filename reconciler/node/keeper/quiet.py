"""The loop of keeper and shims, which keeps their memory shared.

Shims are all forks of one process, and a page stays shared until somebody writes to it; in Python merely looking
at an object writes its reference count. So the long-lived process does next to nothing itself: whatever needs
more than a few objects happens in a worker, a fork that serves one request or records one event and is gone,
and that may block. Workers tell their parent the little it must know over `tell`. What every shim needs exists before
the fork: objects for its sockets and what is polled for; the shim puts its own descriptors in the place of theirs.

The C modules _socket and _signal are used directly here: their Python wrappers run through enum, which would
cost every shim more than the rest of this file.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import select
import socket
import sys

from reconciler.node.keeper import linux, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

MAX_WORKERS = 128
KEEP_CONNECTION = 10  # exit status of a worker whose client wants events
EVENT = b"E"  # told: a line for every connection
_TOLD_BYTES = 1 << 16
RIGHTS_BYTES = _socket.CMSG_SPACE(4 * wire.MAX_DESCRIPTORS)


class Loop:
    """Accepts, forks, reaps. Subclasses answer `op_NAME(request, descriptors, connection)` in a worker.

    Made once and opened later, possibly in a fork: what is made before is shared.
    """

    def __init__(self) -> None:
        self.server = self.tell = self._told = self._wakeup = self._wake = -1
        self.stopping = self.is_serving = False
        self.workers: dict[int, int] = {}  # PID -> descriptor of its connection, -1 for none
        self.callbacks: dict[int, Callable[[int], object]] = {}
        self._connections: list[int] = []
        self._hearing: Any = None
        self._accepting: Any = None
        self._poll = select.poll()
        self._ears = select.poll()

    def open(self) -> None:
        self.server, self.tell, self._told, self._wakeup, self._wake = descriptors()
        self._accepting = _socket.socket(fileno=self.server)
        self._hearing = _socket.socket(fileno=self._told)
        _signal.signal(_signal.SIGCHLD, _nothing)
        _signal.signal(_signal.SIGTERM, _nothing)
        _signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self.watch(self._wakeup, self._signalled)
        self._ears.register(self._told, select.POLLIN)
        self.watch(self._told, self.hear_all)

    def take(self, inside: Sequence[int]) -> None:
        """Have these of `descriptors` in the place of those that it was opened with."""
        for own, other in zip((self.server, self.tell, self._told, self._wakeup, self._wake), inside, strict=True):
            os.dup2(other, own, inheritable=False)
            os.close(other)

    def serve_at(self, server: int) -> None:
        os.dup2(server, self.server, inheritable=False)
        os.close(server)
        self.is_serving = True
        self.watch(self.server, self._accept)

    def close(self) -> None:
        """For one that is not the process's last."""
        _signal.set_wakeup_fd(-1)
        self._accepting.close()
        self._hearing.close()
        for descriptor in (self.tell, self._wakeup, self._wake):
            os.close(descriptor)

    def run(self) -> None:
        while not self.stopping:
            self.turn()

    def turn(self, delay_milliseconds: int | None = None) -> bool:
        """Do what there is to do; False where there was nothing for so long."""
        ready = self._poll.poll(delay_milliseconds)
        for descriptor, _ in ready:
            callback = self.callbacks.get(descriptor)
            if callback is not None:
                callback(descriptor)
        return bool(ready)

    def watch(self, descriptor: int, callback: Callable[[int], object], events: int = select.POLLIN) -> None:
        """Have `callback` called on `events`; with none of them only once the other end is gone."""
        self.callbacks[descriptor] = callback
        self._poll.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        if self.callbacks.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    # What subclasses fill in; all but the operations run in the long-lived process and stay small

    def on_told(self, message: bytes, descriptors: list[int]) -> None:
        """A worker's news."""

    def on_ended(self, pid: int, status: int) -> None:
        """A child that is no worker was reaped."""

    def on_terminate(self) -> None:
        self.stopping = True

    # Workers

    def work(self, task: Callable[..., None], *arguments: Any) -> int:
        """Run `task` in a fork; its exit status is 0, what it passes to os._exit, or 1 with the reason on stderr."""
        pid = os.fork()
        if pid:
            self.workers[pid] = -1
            return pid
        run_worker(task, arguments)

    def work_and_wait(self, task: Callable[..., None], *arguments: Any) -> None:
        pid = self.work(task, *arguments)
        del self.workers[pid]
        os.waitpid(pid, 0)

    def kill_servants(self) -> None:
        """End the workers that serve a client; those that record something finish."""
        for pid, descriptor in self.workers.items():
            if descriptor >= 0:
                os.kill(pid, _signal.SIGKILL)

    def hear_all(self, _: int = -1) -> None:
        """Everything that workers have told so far, which may be nothing by now."""
        while self._ears.poll(0):
            self._hear()

    def _hear(self) -> None:
        message, ancillary, _, _ = self._hearing.recvmsg(_TOLD_BYTES, RIGHTS_BYTES, _socket.MSG_CMSG_CLOEXEC)
        if message[:1] == EVENT:
            self._broadcast(message[1:])
        else:
            self.on_told(message, received(ancillary))

    def _broadcast(self, line: bytes) -> None:
        for connection in list(self._connections):
            try:
                os.write(connection, line)
            except OSError:
                self._drop(connection)  # gone, or it does not read: it will connect again and look

    def _accept(self, _: int) -> None:
        if len(self.workers) >= MAX_WORKERS:
            self.unwatch(self.server)
            return
        try:
            connection = self._accepting._accept()[0]
        except OSError:
            return  # the client is gone again, or descriptors are short: the poll comes back
        self.hear_all()
        self.follow(connection, self.work(serve, self, connection))

    def follow(self, connection: int, worker: int) -> None:
        """Events go to it from now on, so that what the worker answers on it and what is broadcast leave no gap."""
        os.set_blocking(connection, False)
        self._connections.append(connection)
        self.workers[worker] = connection

    # Children

    def _signalled(self, _: int) -> None:
        numbers = os.read(self._wakeup, 512)
        if _signal.SIGCHLD in numbers:
            self._reap()
        if _signal.SIGTERM in numbers:
            self.on_terminate()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self.hear_all()  # what has ended told of itself before
            descriptor = self.workers.pop(pid, None)
            if descriptor is None:
                self.on_ended(pid, status)
                continue
            if self.is_serving and self.server not in self.callbacks:
                self.watch(self.server, self._accept)
            if descriptor in self._connections:
                if status == KEEP_CONNECTION << 8:
                    self.watch(descriptor, self._drop)  # it says no more: any news is its end
                else:
                    self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        self.unwatch(descriptor)
        self._connections.remove(descriptor)
        os.close(descriptor)


def descriptors() -> tuple[int, int, int, int, int]:
    """What a loop needs for itself: a socket in whose place it will serve, two ends over which workers tell, two of signals."""
    tell, told = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    wakeup, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    return _socket.socket(_socket.AF_UNIX).detach(), tell.detach(), told.detach(), wakeup, wake


def received(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came with a message."""
    rights = ancillary[0][2] if ancillary else b""
    return [int.from_bytes(rights[i : i + 4], sys.byteorder) for i in range(0, len(rights), 4)]


def serve(loop: Loop, descriptor: int) -> None:
    """In a worker: read one request, answer it."""
    connection = socket.socket(fileno=descriptor)
    if not wire.is_trusted(connection):
        return
    try:
        request, descriptors = wire.receive(connection)
    except (ValueError, OSError):
        return
    try:
        operation = getattr(loop, "op_" + str(request.get("op")), None)
        if operation is None:
            raise wire.Refused("Unimplemented", f"unknown operation {request.get('op')!r}")
        answer = operation(request, descriptors, connection)
        if answer is None:
            return  # another process answers
    except wire.Refused as error:
        answer = {"error": {"reason": error.reason, "message": error.message}}
    except OSError as error:
        answer = {"error": {"reason": "SystemError", "message": str(error)}}
    except (KeyError, TypeError, ValueError) as error:
        answer = {"error": {"reason": "BadRequest", "message": f"{type(error).__name__}: {error}"}}
    connection.settimeout(wire.TIMEOUT_SECONDS)
    try:
        wire.send(connection, answer, answer.pop("descriptors", ()))
    except OSError:
        return  # the client did not wait
    if request.get("op") == "hello" and "error" not in answer:
        os._exit(KEEP_CONNECTION)


def run_worker(task: Callable[..., None], arguments: tuple[Any, ...]) -> NoReturn:
    status = 1
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, _signal.SIGKILL)
        _signal.set_wakeup_fd(-1)
        for number in (_signal.SIGCHLD, _signal.SIGTERM):
            _signal.signal(number, _signal.SIG_DFL)
        task(*arguments)
        status = 0
    except BaseException as error:  # noqa: BLE001 - the end of a process, which says why
        print_failure(task, error)
    finally:
        os._exit(status)


def print_failure(task: Any, error: BaseException) -> None:
    """One line to the keeper's log; the traceback module would cost every shim memory."""
    trace, places = error.__traceback__, []
    while trace is not None:
        places.append(f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}")
        trace = trace.tb_next
    sys.stderr.write(f"{getattr(task, '__name__', task)} failed: {type(error).__name__}: {error} at {' '.join(places)}\n")
    sys.stderr.flush()


def _nothing(*_: object) -> None:
    """A handler that exists so that the wakeup descriptor is written."""
