"""The process that a pod hangs on: its namespaces, and the parent of its containers.

A fork of the zygote, one a pod, a few hundred private kilobytes. It may be there before the pod: blank, until its first
worker hears what pod it is for (work.begin). It owns the containers' pipes and terminals, writes their logs, reaps
them, has their ends recorded and tells whoever listens. It decides nothing: restarts, probes and grace periods are the
daemon's. When it dies the kernel kills its containers with it. What operations do is in work.py and runs in workers;
this is the part that stays, and quiet.py says why it is so plain.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select
import time

from reconciler.node.keeper import child, crilog, linux, quiet, work

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

CLAIMED, STARTED, CONSOLE, LOG, ATTACH = b"B", b"S", b"C", b"L", b"A"  # told by workers
USER, GROUP = os.geteuid(), os.getegid()  # as they are outside of every user namespace
_READ_BYTES = 16384
_COPY_BYTES = select.PIPE_BUF  # a pipe that polls writable takes as much at once
_MAX_READS_AT_END = 64
_MAX_EARLY_ENDS = 256
_MAX_DESCRIPTORS = 4096


class Running:
    """One container. `private` holds its specification in memory that no file shows (a memfd).

    `copies` are the pipes of attached clients: descriptor -> name of the stream that is copied to it.
    """

    __slots__ = ("attempt", "copies", "log", "max_bytes", "max_files", "name", "path", "private", "rotating", "size", "stdin", "streams")

    def __init__(self, name: str, attempt: int, path: str, limits: tuple[int, int], private: int, log: int) -> None:
        self.name = name
        self.attempt = attempt
        self.path = path
        self.max_bytes, self.max_files = limits
        self.private = private  # -1 once it has ended
        self.log = log
        self.size = os.lseek(log, 0, os.SEEK_END)
        self.rotating = False
        self.stdin = -1
        self.streams: dict[int, crilog.Stream] = {}
        self.copies: dict[int, str] = {}


class Shim(quiet.Loop):
    def __init__(self, run_dir: str, boot: str) -> None:
        super().__init__()
        self.run_dir = run_dir
        self.boot = boot
        self.uid = ""  # "" until a pod is claimed for
        self.pause = 0
        self.ahead: tuple[int, socket.socket] | None = None  # only in the first worker: a process that waits to be a container
        self.running: dict[int, Running] = {}  # by PID
        self._streams: dict[int, Running] = {}  # by descriptor
        self._copies: dict[int, Running] = {}  # by descriptor
        self._early: dict[int, int] = {}  # PIDs reaped before their worker told of them -> wait status
        self._lock = -1
        self._destroying = False

    def serve(self, namespaces: int, share_pid: bool, claims: int, failure: str) -> None:
        """Be the shim of the pod that comes over `claims`, until it is removed. It is open, and in its namespaces but for a `failure`."""
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        try:
            if not failure and (share_pid or namespaces & linux.CLONE_NEWUSER):
                self.pause = complete_sandbox(namespaces, share_pid)
        except OSError as error:
            failure = f"{error.filename or 'namespaces'}: {error.strerror}"
        self.work(work.begin, self, claims, namespaces, failure)
        os.close(claims)
        self.run()

    # Operations, in workers

    op_hello = work.hello
    op_start = work.start
    op_signal = work.send_signal
    op_remove = work.remove
    op_exec = work.execute
    op_attach = work.attach
    op_socket = work.open_socket

    # Containers

    def on_told(self, message: bytes, descriptors: list[int]) -> None:
        kind, pid_text, *fields = message.split(b"\0")
        pid = int(pid_text)
        if kind == CLAIMED:
            self._claim(pid, fields[0].decode(), descriptors)
        elif kind == STARTED:
            name, attempt, path, max_bytes, max_files = fields
            running = Running(name.decode(), int(attempt), path.decode(), (int(max_bytes), int(max_files)), descriptors[0], descriptors[1])
            self.running[pid] = running
            for descriptor, stream in zip(descriptors[2:4], ("stdout", "stderr"), strict=False):
                self._follow(running, descriptor, stream)
            if len(descriptors) > 4:
                running.stdin = descriptors[4]
            if pid in self._early:
                self.on_ended(pid, self._early.pop(pid))
            elif self._destroying:
                os.kill(pid, _signal.SIGKILL)
        elif pid in self.running and kind == CONSOLE:
            self.running[pid].stdin = os.dup(descriptors[0])
            self._follow(self.running[pid], descriptors[0], "stdout")
        elif pid in self.running and kind == LOG:
            self._turn_to(self.running[pid], descriptors[0])
        elif kind == ATTACH:
            self._attach(self.running.get(pid), descriptors, give_input=fields[0] == b"1")

    def _claim(self, worker: int, uid: str, descriptors: list[int]) -> None:
        """There is a pod. Its lock is held by being open; whoever asked for it hears events from now on."""
        self.uid = uid
        server, self._lock, connection = descriptors
        self.serve_at(server)
        self.follow(connection, worker)

    def _follow(self, running: Running, descriptor: int, stream: str) -> None:
        os.set_blocking(descriptor, False)
        running.streams[descriptor] = crilog.Stream(stream)
        self._streams[descriptor] = running
        self.watch(descriptor, self._pump)

    def _pump(self, descriptor: int) -> bool:
        """Copy what is there into the log; False once there is nothing now or for ever."""
        running = self._streams[descriptor]
        stream = running.streams[descriptor]
        copies = [copy for copy, name in running.copies.items() if name == stream.name] if running.copies else []
        if copies and not self._have_room(descriptor, copies):
            return False
        try:
            data = os.read(descriptor, _COPY_BYTES if copies else _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # EIO: the last user of a terminal is gone
        for copy in copies:
            self._copy(copy, data)
        entries = stream.entries(data) if data else stream.end()
        if entries:
            self._write(running, entries)
        if data:
            return True
        self.unwatch(descriptor)
        os.close(descriptor)
        del running.streams[descriptor], self._streams[descriptor]
        self._let_go(running)
        return False

    # Attached clients. A client that takes its time holds up the container, as with any runtime; one that is gone does not.

    def _attach(self, running: Running | None, descriptors: list[int], *, give_input: bool) -> None:
        """Copy output to pipes from now on; with `give_input` the only other holder of the container's input is the client."""
        names = {stream.name for stream in running.streams.values()} if running is not None else ()
        for descriptor, name in zip(descriptors, ("stdout", "stderr"), strict=False):
            if running is None or name not in names:
                os.close(descriptor)  # the end of that stream is all there is to tell
                continue
            os.set_blocking(descriptor, False)
            running.copies[descriptor] = name
            self._copies[descriptor] = running
            self.watch(descriptor, self._turned, 0)
        if give_input and running is not None and running.stdin >= 0:
            os.close(running.stdin)
            running.stdin = -1

    def _have_room(self, source: int, copies: list[int]) -> bool:
        """Whether every copy takes a piece; if not, `source` is left alone until they do."""
        full = [copy for copy in copies if not _polled(copy)]
        for copy in full:
            self.unwatch(copy)
            self.watch(copy, self._turned, select.POLLOUT)
        if full:
            self.unwatch(source)
        return not full

    def _turned(self, copy: int) -> None:
        """A copy has room again, or nobody reads it any more."""
        running = self._copies[copy]
        self.unwatch(copy)
        if _polled(copy) & select.POLLERR:
            self._detach(copy)
        else:
            self.watch(copy, self._turned, 0)
        for source in running.streams:
            if source not in self.callbacks:
                self.watch(source, self._pump)

    def _copy(self, copy: int, data: bytes) -> None:
        """Nothing is the end of the stream."""
        try:
            if data:
                os.write(copy, data)
                return
        except OSError:
            pass
        self._detach(copy)

    def _detach(self, copy: int) -> None:
        self.unwatch(copy)
        del self._copies.pop(copy).copies[copy]
        os.close(copy)

    def let_go(self) -> None:
        """In a worker that stays: what it holds a copy of must be able to end without it."""
        for running in self.running.values():
            if running.stdin >= 0:
                os.close(running.stdin)
        for copy in self._copies:
            os.close(copy)

    def _write(self, running: Running, entries: bytes) -> None:
        """A full disk costs entries: a container never blocks on its log."""
        try:
            running.size += os.write(running.log, entries)
        except OSError:
            return
        if running.size >= running.max_bytes > 0 and not running.rotating and running.private >= 0:
            running.rotating = True
            pid = next(pid for pid, one in self.running.items() if one is running)
            self.work(work.rotate, self, pid, running.path, running.max_files)

    def _turn_to(self, running: Running, log: int) -> None:
        """A worker has set the log aside; the shim goes on in the new one."""
        os.close(running.log)
        running.log, running.size, running.rotating = log, 0, False

    def _let_go(self, running: Running) -> None:
        """Close the log of an ended container, once its streams are at their end too."""
        if running.private < 0 and not running.streams:
            os.close(running.log)

    def on_ended(self, pid: int, status: int) -> None:
        running = self.running.pop(pid, None)
        if running is not None:
            for descriptor in list(running.streams):
                for _ in range(_MAX_READS_AT_END):
                    if not self._pump(descriptor):
                        break
            os.close(running.private)
            running.private = -1
            self._let_go(running)
            if running.stdin >= 0:
                os.close(running.stdin)
            self.work(work.record_end, self, running.name, running.attempt, status, time.time_ns())
        elif pid == self.pause:
            self.on_terminate()
        else:
            self._early[pid] = status  # perhaps a container whose worker has not told of it yet
            if len(self._early) > _MAX_EARLY_ENDS:
                del self._early[next(iter(self._early))]

    # The end

    def on_terminate(self) -> None:
        """Kill every container; once all ends are recorded the pod is removed and this process ends."""
        self.stopping = not self.uid
        self._destroying = True
        self.kill_servants()
        for pid in self.running:
            os.kill(pid, _signal.SIGKILL)

    def run(self) -> None:
        while not self.stopping and (self.workers or self.running or (self.uid and not self._destroying)):
            self.turn()
        if self.uid:
            self.work_and_wait(work.finish, self, os.getpid())


def _polled(descriptor: int) -> int:
    """POLLOUT where a pipe takes a piece, POLLERR where nobody reads it."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return next((events for _, events in poll.poll(0)), 0)


def complete_sandbox(flags: int, share_pid: bool) -> int:
    """The PID of the pause process where the pod shares one PID namespace."""
    if flags & linux.CLONE_NEWUSER:
        child.map_user(0, USER, 0, GROUP)
    if not share_pid:
        return 0
    pid = linux.clone(linux.CLONE_NEWPID)
    if pid == 0:
        linux.prctl(linux.PR_SET_PDEATHSIG, _signal.SIGKILL)
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
        os.setsid()
        os.closerange(0, _MAX_DESCRIPTORS)
        while True:
            _signal.pause()
    return pid
