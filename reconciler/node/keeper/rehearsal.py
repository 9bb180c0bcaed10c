"""A shim's life in small, played in the zygote before the first fork.

An interpreter writes into code when it runs it the first times (counters, caches), and into types when they are
first asked for their attributes. What was written before a fork is shared by all shims; what is written after it
each has for itself. Nothing of this leaves a trace outside of the process.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import socket

from reconciler.node.keeper import shim, work

TIMES = 10  # code settles after eight runs


def play(run_dir: str, boot: str) -> None:
    actor = _Actor(run_dir, boot)
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind("")  # a name that the kernel makes up
    listener.listen(TIMES)
    name = listener.getsockname()
    actor.open()
    actor.uid = "rehearsal"
    actor.serve_at(listener.detach())
    for attempt in range(TIMES):
        _live(actor, attempt, name)
    actor.close()


class _Actor(shim.Shim):
    ended = 0  # PID

    def on_ended(self, pid: int, status: int) -> None:
        super().on_ended(pid, status)
        self.ended = pid


def _live(actor: _Actor, attempt: int, name: bytes) -> None:
    """A client comes; a container starts, writes and ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(name)
        actor.turn()
        client.shutdown(socket.SHUT_RDWR)  # its worker has a copy of this end
    pid = os.fork()
    if pid == 0:
        _signal.set_wakeup_fd(-1)
        while True:
            _signal.pause()
    outputs = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
    given = [os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY), *(read for read, _ in outputs)]
    work.tell(actor, f"S\0{pid}\0main\0{attempt}\0/dev/null\0\x31000\0\x31".encode(), given)
    for descriptor in given:
        os.close(descriptor)
    actor.turn()
    for _, write in outputs:
        os.write(write, b"a line\n")
    actor.turn()
    for _, write in outputs:
        os.close(write)
    os.kill(pid, _signal.SIGKILL)
    while actor.ended != pid or actor.workers:
        actor.turn()
