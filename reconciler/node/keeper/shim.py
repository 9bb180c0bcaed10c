"""The process that a pod hangs on: its namespaces, and the parent of its containers.

Forked by the keeper, one a pod, a few hundred private kilobytes. It owns the containers' pipes and terminals,
writes their logs, reaps them, records how they ended and tells whoever subscribed. It decides nothing: restarts,
probes and grace periods are the daemon's. When it dies the kernel kills its containers with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import time

from reconciler.node.keeper import child, crilog, leftovers, linux, records, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1  # of the protocol; a newer daemon meets the shims of older keepers
_READ_BYTES = 65536
_MAX_READS_AT_END = 64
_MAX_DESCRIPTORS = 1024
_IFREQ_FLAGS = struct.Struct("16sh14x")
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


class Attempt:
    """One attempt of one container: its record, and while it runs its descriptors."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.channel: socket.socket | None = None
        self.waiting: list[tuple[wire.Connection, dict[str, Any]]] = []
        self.streams: dict[int, crilog.Stream] = {}
        self.writer: crilog.Writer | None = None
        self.stdin = -1
        self.spec: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return int(self.record.get("pid", 0)) if self.record["state"] in ("created", "running") else 0


class Exec:
    """A program run beside a container, until it ends or its connection does."""

    def __init__(self, connection: wire.Connection, request: dict[str, Any], channel: socket.socket) -> None:
        self.connection = connection
        self.request = request
        self.channel = channel
        self.failure = ""


class Shim(wire.Endpoint):
    def __init__(self, folder: records.PodFolder, server: socket.socket, boot: str) -> None:
        super().__init__(server)
        self.folder = folder
        self._boot = boot
        self._failure = ""
        self._destroying = False
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._execs: dict[int, Exec] = {}  # by stage, then by its own PID
        self._pause = 0
        conclude(folder, boot)
        for name, attempt in self.folder.attempts():
            record = self.folder.container(name, attempt)
            if record is not None:
                self._attempts[name, attempt] = Attempt(record)
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        try:
            self._pause = build_sandbox(self.folder.pod() or {})
        except OSError as error:
            self._failure = f"{error.filename or 'sandbox'}: {error.strerror}"
        records.write(self.folder.at("shim.json"), {"pid": os.getpid(), "ticks": records.start_ticks(os.getpid()), "boot": boot})

    # Operations

    def op_hello(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any]:
        """Subscribe; every attempt as it is now. A sandbox that could not be built says so and ends."""
        if self._failure:
            self.stopping = True
            raise wire.Refused("FailedCreatePodSandBox", self._failure)
        connection.subscribed = True
        return {"version": VERSION, "pid": os.getpid(), "containers": [a.record for a in self._attempts.values()]}

    def op_start(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any] | None:
        """Start (container, attempt) unless it ever was; answers once its program runs or failed to."""
        name, number = request["name"], int(request["attempt"])
        known = self._attempts.get((name, number))
        if known is None:
            if self._destroying:
                raise wire.Refused("RunContainerError", "the pod is being removed")
            known = self._begin(name, number, request["spec"])
        if known.channel is None:
            return {"container": known.record}
        known.waiting.append((connection, request))
        return None

    def op_signal(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any]:
        attempt = self._attempts.get((request["name"], int(request["attempt"])))
        number = int(request["signal"])
        if attempt is not None and attempt.pid:
            os.kill(attempt.pid, number)
            if number == signal.SIGKILL:
                leftovers.kill_cgroups(attempt.record["cgroups"])
        return {}

    def op_remove(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any]:
        """Forget an ended attempt, its writable layer and its logs."""
        key = request["name"], int(request["attempt"])
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.pid:
            raise wire.Refused("Running", f"container {key[0]} attempt {key[1]} still runs")
        self._attempts.pop(key, None)
        forget(self.folder, *key)
        return {}

    def op_exec(self, request: dict[str, Any], stdio: list[int], connection: wire.Connection) -> dict[str, Any] | None:
        """Run a program beside a container with the three descriptors that came along, or with a terminal."""
        attempt = self._attempts.get((request["name"], int(request["attempt"])))
        if attempt is None or not attempt.pid or attempt.record["state"] != "running":
            raise wire.Refused("NotRunning", f"container {request['name']} is not running")
        spec = {**attempt.spec, **request["spec"], "root": None, "tty": not stdio}
        try:
            pid, channel = self._fork_beside(attempt.pid if attempt.record["isolated"] else 0, spec, stdio)
        except OSError as error:
            raise wire.Refused("StartError", str(error)) from error
        running = Exec(connection, request, channel)
        self._execs[pid] = running
        channel.send(child.GO)
        self.watch(channel.fileno(), lambda _: self._exec_told(running))
        return None

    def op_kill_exec(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any]:
        for pid, running in self._execs.items():
            if running.connection is connection and running.request.get("id") == request["exec"]:
                kill_session(pid)
        return {}

    def op_socket(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> None:
        """A socket of the pod's network: listening at `bind`, or on its way to `connect`."""
        family = socket.AF_INET6 if request.get("family") == "inet6" else socket.AF_INET
        kind = socket.SOCK_DGRAM if request.get("type") == "udp" else socket.SOCK_STREAM
        with socket.socket(family, kind | socket.SOCK_NONBLOCK) as made:
            if request.get("bind"):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind(tuple(request["bind"]))
                if kind == socket.SOCK_STREAM:
                    made.listen(1024)
            if request.get("connect"):
                try:
                    made.connect(tuple(request["connect"]))
                except BlockingIOError:
                    pass  # whoever gets the socket waits until it is writable
            self.reply(connection, request, {}, [made.fileno()])

    def op_destroy(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any]:
        self.on_terminate()
        return {}

    # Containers

    def _begin(self, name: str, number: int, spec: dict[str, Any]) -> Attempt:
        path = self.folder.attempt(name, number)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        isolated = bool(spec.get("root"))
        alone = isolated and not spec.get("host_pid") and not self._pause  # its end is the end of all it started
        groups = [group["dir"] for group in spec.get("cgroups", ()) if group.get("enter", True)]
        attempt = Attempt(
            {
                "name": name, "attempt": number, "state": "created", "boot": self._boot, "created_ns": time.time_ns(),
                "note": spec.get("note", {}), "cgroups": groups, "isolated": isolated, "alone": alone, "marked": not alone and not groups,
                "layer": (spec.get("root") or {}).get("dir", ""), "log": spec["log"]["path"],
            }
        )  # fmt: skip
        if attempt.record["marked"]:
            spec["env"][leftovers.MARK] = f"{self.folder.uid}/{name}/{number}"
        attempt.spec = {k: spec[k] for k in spec if k not in ("mounts", "argv", "note", "log", "masked", "read_only_paths", "links")}
        self._attempts[name, number] = attempt
        records.write(path + ".start", attempt.record)
        try:
            make_cgroups(spec.get("cgroups", ()))
            self._fork(attempt, spec)
        except OSError as error:
            self._ended(attempt, 128, 0, "CreateContainerError", f"{error.filename or 'container'}: {error.strerror}")
            return attempt
        attempt.record["ticks"] = records.start_ticks(attempt.record["pid"])
        records.write(path + ".start", attempt.record)
        assert attempt.channel is not None
        attempt.channel.send(child.GO)
        self.watch(attempt.channel.fileno(), lambda _: self._container_told(attempt))
        return attempt

    def _fork(self, attempt: Attempt, spec: dict[str, Any]) -> None:
        log = spec["log"]
        attempt.writer = crilog.Writer(log["path"], log["max_bytes"], log["max_files"])
        inner: list[int] = []
        outer: list[tuple[int, str]] = []
        if not spec.get("tty"):
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            if spec.get("stdin"):
                os.close(stdin)
                stdin, attempt.stdin = os.pipe2(os.O_CLOEXEC)
            pairs = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
            inner = [stdin, pairs[0][1], pairs[1][1]]
            outer = [(pairs[0][0], "stdout"), (pairs[1][0], "stderr")]
        for descriptor, stream in outer:
            self._follow(attempt, descriptor, stream)
        try:
            if self._pause:
                attempt.record["pid"], attempt.channel = self._fork_beside(self._pause, spec, inner)
            else:
                attempt.record["pid"], attempt.channel = self._fork_apart(spec, inner)
        finally:
            for descriptor in inner:
                os.close(descriptor)

    def _fork_apart(self, spec: dict[str, Any], stdio: list[int]) -> tuple[int, socket.socket]:
        """A process in mount and PID namespaces of its own, waiting for GO."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = linux.clone((spec.get("root") and linux.CLONE_NEWNS | (0 if spec.get("host_pid") else linux.CLONE_NEWPID)) or 0)
        if pid == 0:
            ours.close()
            child.run(spec, theirs, stdio)
        theirs.close()
        return pid, ours

    def _fork_beside(self, target: int, spec: dict[str, Any], stdio: list[int]) -> tuple[int, socket.socket]:
        """A process in the namespaces of `target`, waiting for GO: a stage enters them and leaves us its child."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stage = os.fork()
        if stage == 0:
            ours.close()
            child.run_inside(spec, theirs, stdio, target)
        theirs.close()
        told = ours.recv(8192)
        os.waitpid(stage, 0)
        if told.isdigit():
            return int(told), ours
        ours.close()
        raise OSError(0, json.loads(told[1:])["message"] if told else "killed while entering the container")

    def _follow(self, attempt: Attempt, descriptor: int, stream: str) -> None:
        os.set_blocking(descriptor, False)
        attempt.streams[descriptor] = crilog.Stream(stream)
        self.watch(descriptor, lambda _: self._pump(attempt, descriptor))

    def _pump(self, attempt: Attempt, descriptor: int) -> bool:
        """Copy what is there into the log; False once there is nothing now or for ever."""
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # EIO: the last user of a terminal is gone
        assert attempt.writer is not None
        stream = attempt.streams[descriptor]
        entries = stream.entries(data) if data else stream.end()
        if entries:
            attempt.writer.write(entries)
        if not data:
            self._unfollow(attempt, descriptor)
        return bool(data)

    def _unfollow(self, attempt: Attempt, descriptor: int) -> None:
        self.unwatch(descriptor)
        os.close(descriptor)
        del attempt.streams[descriptor]
        if not attempt.streams and not attempt.pid and attempt.writer is not None:
            attempt.writer.close()
            attempt.writer = None

    def _container_told(self, attempt: Attempt) -> None:
        """The channel: a terminal's master, a failure, or its end, which is the exec."""
        channel = attempt.channel
        if channel is None:
            return
        data, descriptors, _, _ = socket.recv_fds(channel, 8192, 1)
        if data[:1] == child.CONSOLE:
            self._follow(attempt, descriptors[0], "stdout")
            attempt.stdin = os.dup(descriptors[0])
            return
        if data[:1] == child.FAILED:
            attempt.record["failure"] = json.loads(data[1:])
            return
        self.unwatch(channel.fileno())
        channel.close()
        attempt.channel = None
        if "failure" not in attempt.record and attempt.record["state"] == "created":
            attempt.record.update(state="running", started_ns=time.time_ns())
            records.write(self.folder.attempt(attempt.record["name"], attempt.record["attempt"]) + ".start", attempt.record)
            self._answer_waiting(attempt)

    def _answer_waiting(self, attempt: Attempt) -> None:
        waiting, attempt.waiting = attempt.waiting, []
        for connection, request in waiting:
            self.reply(connection, request, {"container": attempt.record})

    def on_child(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid = 0
            if pid == 0:
                break
            code = os.waitstatus_to_exitcode(status)
            code, number = (128 - code, -code) if code < 0 else (code, 0)
            attempt = next((a for a in self._attempts.values() if a.pid == pid), None)
            if attempt is not None:
                self._reaped(attempt, code, number)
            elif pid in self._execs:
                self._exec_ended(pid, code)
            elif pid == self._pause:
                self.on_terminate()
        if self._destroying:
            self._finish_destroying()

    def _reaped(self, attempt: Attempt, code: int, number: int) -> None:
        while attempt.channel is not None:
            self._container_told(attempt)
        if not attempt.record["alone"]:
            leftovers.kill_cgroups(attempt.record["cgroups"])
        if attempt.record["marked"]:
            leftovers.kill_marked(f"{self.folder.uid}/{attempt.record['name']}/{attempt.record['attempt']}")
        failure = attempt.record.pop("failure", None) or {"reason": "", "message": ""}
        self._ended(attempt, code, number, failure["reason"], failure["message"])

    def _ended(self, attempt: Attempt, code: int, number: int, reason: str, message: str) -> None:
        record = attempt.record
        for descriptor in list(attempt.streams):
            for _ in range(_MAX_READS_AT_END):
                if not self._pump(attempt, descriptor):
                    break
        oom = code != 0 and leftovers.oom_kills(record["cgroups"]) > 0
        record.update(
            state="exited", exit_code=code, signal=number, oom=oom, reason=reason, message=message, finished_ns=time.time_ns()
        )
        if attempt.writer is not None and not attempt.streams:
            attempt.writer.close()
            attempt.writer = None
        if attempt.stdin >= 0:
            os.close(attempt.stdin)
            attempt.stdin = -1
        path = self.folder.attempt(record["name"], record["attempt"]) + ".exit"
        records.write(path, record)
        self._answer_waiting(attempt)
        self.publish({"event": "exit", "container": record})
        records.sync(path)
        leftovers.remove_cgroups(record["cgroups"])

    # Programs beside a container

    def _exec_told(self, running: Exec) -> None:
        data, descriptors, _, _ = socket.recv_fds(running.channel, 8192, 1)
        if data[:1] == child.CONSOLE:
            running.connection.send({"event": "console", "exec": running.request.get("id"), "fds": 1}, descriptors)
            os.close(descriptors[0])
        elif data[:1] == child.FAILED:
            running.failure = json.loads(data[1:])["message"]
        else:
            self.unwatch(running.channel.fileno())
            running.channel.close()

    def _exec_ended(self, pid: int, code: int) -> None:
        running = self._execs.pop(pid)
        while running.channel.fileno() >= 0:
            self._exec_told(running)
        if running.failure:
            self.refuse(running.connection, running.request, "StartError", running.failure)
        else:
            self.reply(running.connection, running.request, {"exit_code": code})

    def on_disconnect(self, connection: wire.Connection) -> None:
        for pid, running in self._execs.items():
            if running.connection is connection:
                kill_session(pid)

    # The end

    def on_terminate(self) -> None:
        """Kill every container; once all are reaped the pod is removed and this process ends."""
        self._destroying = True
        for attempt in self._attempts.values():
            if attempt.pid:
                os.kill(attempt.pid, signal.SIGKILL)
                leftovers.kill_cgroups(attempt.record["cgroups"])
        self._finish_destroying()

    def _finish_destroying(self) -> None:
        if any(attempt.pid for attempt in self._attempts.values()):
            return
        destroy(self.folder)
        self.stopping = True


def kill_session(pid: int) -> None:
    """Kill a program and what stayed in its session; it may not have made one yet."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)


def build_sandbox(pod: dict[str, Any]) -> int:
    """Enter the pod's namespaces; the PID of the pause process where the pod shares one PID namespace."""
    uid, gid = os.geteuid(), os.getegid()
    flags = int(pod.get("namespaces", 0))
    if flags:
        linux.unshare(flags)
    if flags & linux.CLONE_NEWUSER:
        child.map_user(0, uid, 0, gid)
    if flags & linux.CLONE_NEWUTS:
        socket.sethostname(pod["hostname"])
    if flags & linux.CLONE_NEWNET:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ_FLAGS.pack(b"lo", _IFF_UP))
    for name, value in pod.get("sysctls", {}).items():
        with open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(value)
    if not pod.get("share_pid"):
        return 0
    pid = linux.clone(linux.CLONE_NEWPID)
    if pid == 0:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        os.setsid()
        os.closerange(0, _MAX_DESCRIPTORS)
        while True:
            signal.pause()
    return pid


def make_cgroups(groups: Any) -> None:
    for group in groups:
        os.makedirs(group["dir"], 0o755, exist_ok=True)
        for name, value in group["files"]:
            try:
                with open(os.path.join(group["dir"], name), "w") as file:
                    file.write(value)
            except OSError as error:
                raise OSError(error.errno, error.strerror, os.path.join(group["dir"], name)) from error


def conclude(folder: records.PodFolder, boot: str) -> None:
    """After a shim's death, with its lock held: end what it left running and record it as lost."""
    for name, attempt in list(folder.attempts()):
        record = folder.container(name, attempt)
        if record is None or "finished_ns" in record:
            continue
        if record["boot"] == boot:
            leftovers.kill_cgroups(record["cgroups"])
            leftovers.remove_cgroups(record["cgroups"])
            if record["marked"]:
                leftovers.kill_marked(folder.uid)
        message = "The container could not be located when its pod's shim was gone"
        record.update(state="unknown", exit_code=137, signal=0, oom=False, reason="", message=message, finished_ns=time.time_ns())
        path = folder.attempt(name, attempt) + ".exit"
        records.write(path, record)
        records.sync(path)


def forget(folder: records.PodFolder, name: str, attempt: int) -> None:
    record = folder.container(name, attempt)
    if record is None:
        return
    leftovers.remove_cgroups(record["cgroups"])
    if record["layer"]:
        records.remove_tree(record["layer"])
    for path in [record["log"], *crilog.rotated_files(record["log"])]:
        records.discard(path)
    for suffix in (".exit", ".start"):
        records.discard(folder.attempt(name, attempt) + suffix)


def destroy(folder: records.PodFolder) -> None:
    """Remove all that a pod without living containers has: groups, layers, logs, records."""
    groups = set()
    for name, attempt in list(folder.attempts()):
        record = folder.container(name, attempt)
        if record is not None:
            groups.update(os.path.dirname(group) for group in record["cgroups"])
        forget(folder, name, attempt)
    leftovers.remove_cgroups(groups)
    pod = folder.pod() or {}
    for path in pod.get("folders", ()):
        records.remove_tree(path)
    records.remove_tree(folder.path)
