"""The process that shims are forks of: it waits, forks, and does nothing else.

Whatever a process writes between two forks, its earlier forks keep in their own copies. The keeper writes; so it
has this child fork for it, by a bare clone: a shim begins in its namespaces and as a child of the keeper, and none of
the interpreter's work after a fork is done in it. When the keeper is gone the zygote ends, and its shims live on.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import socket

from reconciler.node.keeper import linux, quiet, rehearsal, shim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_REQUEST_BYTES = 4096


Nature = tuple[int, bool]  # the namespaces of a shim, and whether its pod's containers share one of PIDs


class Blank:
    """A shim that waits for a pod. It ends where none is claimed for: when `claims` is closed, or the keeper is gone."""

    def __init__(self, pid: int, nature: Nature, claims: socket.socket) -> None:
        self.pid = pid
        self.nature = nature
        self.claims = claims

    def claim(self, uid: bytes, descriptors: Sequence[int]) -> bool:
        """Make it the pod's; False where it has ended meanwhile. What it takes over is in work.begin."""
        with self.claims:
            try:
                socket.send_fds(self.claims, [uid], list(descriptors))
            except OSError:
                return False
        return True


class Zygote:
    """The keeper's end; a zygote that was killed is made anew."""

    def __init__(self, run_dir: str, boot: str) -> None:
        self._run_dir = run_dir
        self._boot = boot
        self.pid = 0
        self._start()

    def fork(self, nature: Nature) -> Blank:
        """A new shim that is no pod's yet."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = theirs.detach(), *quiet.descriptors()
        try:
            for _ in range(2):
                try:
                    socket.send_fds(self._channel, [b"%d %d" % nature], given)
                    told = self._channel.recv(32)
                except OSError:
                    told = b""
                if told:
                    return Blank(int(told), nature, ours)
                self._channel.close()
                self._start()
        finally:
            for descriptor in given:
                os.close(descriptor)
        raise OSError("the zygote ends at once")

    def _start(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            _signal.set_wakeup_fd(-1)
            wait_and_fork(theirs.detach(), self._run_dir, self._boot)
        theirs.close()


def wait_and_fork(channel: int, run_dir: str, boot: str) -> None:
    """Never returns. Shims are children of the keeper."""
    for descriptor in range(3, 256):
        if descriptor != channel:
            try:
                os.close(descriptor)
            except OSError:
                continue
    rehearsal.play(run_dir, boot)
    blank = shim.Shim(run_dir, boot)
    blank.open()
    sock = _socket.socket(fileno=channel)
    while True:
        message, ancillary, _, _ = sock.recvmsg(_REQUEST_BYTES, quiet.RIGHTS_BYTES, _socket.MSG_CMSG_CLOEXEC)
        if not message:
            os._exit(0)
        claims, *inside = quiet.received(ancillary)
        blank.take(inside)
        namespaces, share_pid = message.split()
        flags, failure = int(namespaces), ""
        try:
            pid = linux.clone(linux.CLONE_PARENT | flags)
        except OSError as error:
            failure = f"namespaces: {error.strerror}"
            pid = linux.clone(linux.CLONE_PARENT)
        if pid == 0:
            os.close(channel)
            become(blank, flags, share_pid == b"1", claims, failure)
        os.close(claims)
        sock.send(b"%d" % pid)


def become(blank: shim.Shim, namespaces: int, share_pid: bool, claims: int, failure: str) -> None:
    """In the fork: a shim until its pod is removed."""
    try:
        os.setsid()
        blank.serve(namespaces, share_pid, claims, failure)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the end of a process, which says why
        quiet.print_failure("shim", error)
        os._exit(1)
