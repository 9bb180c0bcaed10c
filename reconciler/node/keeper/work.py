"""What a shim's workers do: each function is one operation or one event of a pod, in a process of its own.

A worker may block and may die: what it did is on disk or in the shim's hands before anything depends on it.
`shim` is the worker's copy of its parent; telling the parent goes over `shim.tell`.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct
import time

from reconciler.node.keeper import child, crilog, leftovers, linux, quiet, records, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from reconciler.node.keeper.shim import Running, Shim

PROTOCOL_VERSION = 1
_IFREQ_FLAGS = struct.Struct("16sh14x")
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_PRIVATE_KEYS = (
    "env", "cwd", "uid", "gid", "groups", "nested_user", "cgroups", "capabilities", "no_new_privileges", "seccomp", "oom_score_adj",
    "tty", "stdin", "stdin_once",
)  # fmt: skip
_MAX_CLAIM_BYTES = 1024
_MAX_COPIES = 32  # of one container's output
_LOST = "The container was lost with the shim of its pod"


def folder_of(shim: Shim) -> records.PodFolder:
    return records.PodFolder(shim.run_dir, shim.uid)


def tell(loop: quiet.Loop, message: bytes, descriptors: list[int] = []) -> None:  # noqa: B006 - never changed
    """To the process that this one works for."""
    with socket.socket(fileno=os.dup(loop.tell)) as sock:
        socket.send_fds(sock, [message], descriptors)


# The sandbox


def begin(shim: Shim, claims: int, namespaces: int, failure: str) -> None:
    """First worker of a shim, which waits for a pod: a claim is its uid with the shim's socket, the folder's lock, the connection
    of whoever asked for it, and perhaps another one over which the pod's first container is started.

    It settles what an earlier shim left, finishes the namespaces, says hello and serves one request. All that needs no
    pod is done before, the fork of a container's first process too. A shim that could not become the pod's answers
    why and ends, as it does when nothing is claimed for.
    """
    try:
        if namespaces & linux.CLONE_NEWNET:
            _raise_loopback()
        if namespaces and not shim.pause:
            shim.ahead = _fork(linux.CLONE_NEWPID)
    except OSError as error:
        failure = failure or f"namespaces: {error.strerror}"
    with socket.socket(fileno=claims) as channel:
        message, descriptors, _, _ = socket.recv_fds(channel, _MAX_CLAIM_BYTES, wire.MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not message:
        return
    server, lock, connection, *first = descriptors
    shim.uid = message.decode()
    with socket.socket(fileno=connection) as asking:
        asking.settimeout(wire.TIMEOUT_SECONDS)
        failure = failure or _finish_sandbox(shim, namespaces)
        if failure:
            wire.send(asking, {"error": {"reason": "FailedCreatePodSandBox", "message": failure}})
            return
        tell(shim, f"B\0{os.getpid()}\0{shim.uid}".encode(), [server, lock, connection])
        wire.send(asking, hello(shim, {}, [], asking))
    for descriptor in first:
        quiet.serve(shim, descriptor)
    os._exit(quiet.KEEP_CONNECTION)


def _finish_sandbox(shim: Shim, namespaces: int) -> str:
    """Say whose shim this is, once it is fit to be; else why it is not."""
    folder, pid = folder_of(shim), os.getppid()
    conclude(folder, shim.boot)
    pod = folder.pod() or {}
    try:
        if namespaces & linux.CLONE_NEWUTS:
            socket.sethostname(pod["hostname"])
        for name, value in pod.get("sysctls", {}).items():
            child.write("/proc/sys/" + name.replace(".", "/"), value)
    except OSError as error:
        return f"{error.filename or 'namespaces'}: {error.strerror}"
    records.write(folder.at("shim.json"), {"pid": pid, "ticks": records.start_ticks(pid), "boot": shim.boot})
    return ""


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ_FLAGS.pack(b"lo", _IFF_UP))


def hello(shim: Shim, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
    """Every attempt as it is now; events follow."""
    found = [folder_of(shim).container(name, attempt) for name, attempt in folder_of(shim).attempts()]
    return {"version": PROTOCOL_VERSION, "pid": os.getppid(), "containers": found}


def open_socket(shim: Shim, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
    """A socket of the pod's network: listening at `bind`, or on its way to `connect`."""
    family = socket.AF_INET6 if request.get("family") == "inet6" else socket.AF_INET
    kind = socket.SOCK_DGRAM if request.get("type") == "udp" else socket.SOCK_STREAM
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    if request.get("bind"):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(tuple(request["bind"]))
        if kind == socket.SOCK_STREAM:
            made.listen(wire.BACKLOG)
    if request.get("connect"):
        made.connect_ex(tuple(request["connect"]))  # whoever gets the socket waits until it is writable and asks SO_ERROR
    return {"descriptors": [made.detach()]}


# Containers


def start(shim: Shim, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
    """Start (container, attempt) unless it ever was; answers once its program runs or failed to."""
    name, number, spec = records.checked_name(request["name"]), int(request["attempt"]), request["spec"]
    turn = os.open(folder_of(shim).at("start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(turn, fcntl.LOCK_EX)  # one start at a time; let go by this process's end
    known = folder_of(shim).container(name, number)
    if known is not None:
        if known["state"] == "created" and _running(shim, name, number) is None:
            known = _write_lost(folder_of(shim), known)  # whoever began it was killed before its program could run
        return {"container": known}
    path = folder_of(shim).attempt(name, number)
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    record = _start_record(shim, name, number, spec)
    records.write(path + ".start", record)
    try:
        pid, channel = _fork_container(shim, name, number, spec)
    except OSError as error:
        return {"container": _conclude_start(shim, record, f"{error.filename or 'container'}: {error.strerror}")}
    record.update(pid=pid, ticks=records.start_ticks(pid), state="running", started_ns=time.time_ns())
    failure = _release(shim, path, record, channel, spec)
    if failure is None:
        return {"container": record}
    records.write(path + ".start", {**record, "failure": failure})
    return {"container": {**record, "state": "exited", "exit_code": 128, "finished_ns": time.time_ns(), **failure}}


def _start_record(shim: Shim, name: str, number: int, spec: dict[str, Any]) -> dict[str, Any]:
    isolated = bool(spec.get("root"))
    groups = [group["dir"] for group in spec.get("cgroups", ()) if group.get("enter", True)]
    alone = isolated and not spec.get("host_pid") and not shim.pause  # its end is the end of all it started
    marked = not alone and not groups
    if marked:
        spec["env"][leftovers.MARK] = f"{folder_of(shim).uid}/{name}/{number}"
    return {
        "name": name, "attempt": number, "state": "created", "boot": shim.boot, "created_ns": time.time_ns(), "note": spec.get("note", {}),
        "cgroups": groups, "isolated": isolated, "alone": alone, "marked": marked,
        "layer": (spec.get("root") or {}).get("dir", ""), "log": spec["log"]["path"],
    }  # fmt: skip


def _fork_container(shim: Shim, name: str, number: int, spec: dict[str, Any]) -> tuple[int, socket.socket]:
    """The container's first process, a child of the shim, which has its pipes and knows it. It builds its root and waits for GO."""
    inner: list[int] = []
    outer: list[int] = []
    if not spec.get("tty"):
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
        inner = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), *(write for _, write in pipes)]
        outer = [read for read, _ in pipes]
        if spec.get("stdin"):
            os.close(inner[0])
            inner[0], stdin = os.pipe2(os.O_CLOEXEC)
            outer.append(stdin)
    own = linux.CLONE_NEWPID if spec.get("root") and not spec.get("host_pid") else 0
    if shim.pause:
        pid, channel = _fork_beside(shim.pause, spec, inner)
    elif shim.ahead is not None and own:
        pid, channel = shim.ahead
    else:
        pid, channel = _fork(own)
    log = spec["log"]
    fields = (str(pid), name, str(number), log["path"], str(log["max_bytes"]), str(log["max_files"]))
    private = os.memfd_create("spec", os.MFD_CLOEXEC)
    os.write(private, json.dumps(spec).encode())
    opened = crilog.open_log(log["path"])
    tell(shim, b"S\0" + "\0".join(fields).encode(), [private, opened, *outer])
    socket.send_fds(channel, [child.GO], [private, *inner])
    for descriptor in (private, *inner, *outer):
        os.close(descriptor)
    return pid, channel


def _fork(namespaces: int) -> tuple[int, socket.socket]:
    """A process that waits to become a container. It ends when the other end of its channel is closed before."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = linux.clone(linux.CLONE_PARENT | namespaces)
    if pid == 0:
        ours.close()
        child.run(theirs)
    theirs.close()
    return pid, ours


def _fork_beside(target: int, spec: dict[str, Any], stdio: list[int], extra: int = 0) -> tuple[int, socket.socket]:
    """A process in the namespaces of `target`, made by a stage that enters them.

    A child of the shim, which inherits it from the stage; with CLONE_PARENT a child of this worker.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stage = os.fork()
    if stage == 0:
        ours.close()
        child.run_beside(spec, theirs, stdio, target, extra)
    theirs.close()
    told = ours.recv(8192)
    os.waitpid(stage, 0)
    if told.isdigit():
        return int(told), ours
    raise OSError(0, json.loads(told[1:])["message"] if told else "killed while entering the container")


def _release(shim: Shim, path: str, record: dict[str, Any], channel: socket.socket, spec: dict[str, Any]) -> dict[str, Any] | None:
    """Let the process go on to its program; what kept it from that, if anything did."""
    try:
        make_cgroups(spec.get("cgroups", ()))
        child.enter_cgroups(spec, str(record["pid"]))
        records.write(path + ".start", record)  # on disk before its program can run
        channel.send(child.GO)
    except OSError as error:  # it ends when this worker does, after the failure is recorded
        return {"reason": "CreateContainerError", "message": f"{error.filename or 'container'}: {error.strerror}"}
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, 8192, 1)
        if data[:1] == child.CONSOLE:
            tell(shim, f"C\0{record['pid']}".encode(), descriptors)
            channel.send(child.GO)
        elif data[:1] == child.FAILED:
            failure: dict[str, Any] = json.loads(data[1:])
            return failure
        else:
            return None


def _conclude_start(shim: Shim, record: dict[str, Any], message: str) -> dict[str, Any]:
    """The record of an attempt that never had a process."""
    ended = {"state": "exited", "exit_code": 128, "signal": 0, "oom": False, "finished_ns": time.time_ns()}
    record = {**record, **ended, "reason": "CreateContainerError", "message": message}
    _write_end(folder_of(shim), record)
    leftovers.remove_cgroups(record["cgroups"])
    return record


def record_end(shim: Shim, name: str, number: int, status: int, finished_ns: int) -> None:
    """After a container was reaped: end what it left, record how it ended, tell."""
    record = folder_of(shim).container(name, number)
    if record is None:
        return
    code = os.waitstatus_to_exitcode(status)
    code, number_of_signal = (128 - code, -code) if code < 0 else (code, 0)
    if not record["alone"]:
        leftovers.kill_cgroups(record["cgroups"])
    if record["marked"]:
        leftovers.kill_marked(f"{folder_of(shim).uid}/{name}/{number}")
    oom = code != 0 and leftovers.oom_kills(record["cgroups"]) > 0
    record.update(state="exited", exit_code=code, signal=number_of_signal, oom=oom, finished_ns=finished_ns)
    record.update(record.pop("failure", {}))
    _write_end(folder_of(shim), record, shim)
    leftovers.remove_cgroups(record["cgroups"])


def _write_end(folder: records.PodFolder, record: dict[str, Any], shim: Shim | None = None) -> None:
    path = folder.attempt(record["name"], record["attempt"]) + ".exit"
    records.write(path, record)
    if shim is not None:
        tell(shim, quiet.EVENT + wire.encode({"event": "exit", "container": record}))
    records.sync(path)


def send_signal(shim: Shim, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
    """To the container's first process, which cannot have been replaced by another of its number meanwhile."""
    record = folder_of(shim).container(request["name"], int(request["attempt"]))
    if record is None or record["state"] not in ("created", "running") or not record.get("pid"):
        return {}
    try:
        descriptor = os.pidfd_open(record["pid"])
        if records.start_ticks(record["pid"]) == record["ticks"]:
            signal.pidfd_send_signal(descriptor, int(request["signal"]))
    except ProcessLookupError:
        return {}
    if request["signal"] == signal.SIGKILL and not record["alone"]:
        leftovers.kill_cgroups(record["cgroups"])
    return {}


def remove(shim: Shim, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
    """Forget an ended attempt, its writable layer and its logs."""
    name, number = request["name"], int(request["attempt"])
    if _running(shim, name, number) is not None:
        raise wire.Refused("Running", f"container {name} attempt {number} still runs")
    forget(folder_of(shim), name, number)
    return {}


def execute(shim: Shim, request: dict[str, Any], stdio: list[int], connection: socket.socket) -> dict[str, Any]:
    """Run a program beside a container with the three descriptors that came along, or on a terminal that is answered.

    Lasts as long as the program; it is killed when the client hangs up.
    """
    found = _running(shim, request["name"], int(request["attempt"]))
    if found is None:
        raise wire.Refused("NotRunning", f"container {request['name']} is not running")
    pid, running = found
    shim.let_go()
    record = folder_of(shim).container(running.name, running.attempt) or {}
    spec = {**_private(running), **request["spec"], "tty": not stdio}
    if not stdio:
        spec["env"] = {"TERM": "xterm", **spec["env"]}
    try:
        program, channel = _fork_beside(pid if record.get("isolated") else 0, spec, stdio, linux.CLONE_PARENT)
    except OSError as error:
        raise wire.Refused("StartError", str(error.strerror)) from error
    channel.send(child.GO)
    for descriptor in stdio:
        os.close(descriptor)
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, 8192, 1)
        if data[:1] == child.CONSOLE:
            wire.send(connection, {"console": True}, descriptors)
            os.close(descriptors[0])
            channel.send(child.GO)
        elif data[:1] == child.FAILED:
            raise wire.Refused("StartError", json.loads(data[1:])["message"])
        else:
            return {"exit_code": _wait_or_kill(program, connection)}


def attach(shim: Shim, request: dict[str, Any], copies: list[int], connection: socket.socket) -> dict[str, Any]:
    """Copy a container's output from now on to the pipes that came along (stdout, stderr); one that is closed is detached.

    Answers with its terminal, or where `stdin` is asked for and it has one with its input. Input that is for one client
    only is given away: it ends when that client closes it, or dies.
    """
    found = _running(shim, request["name"], int(request["attempt"]))
    if found is None:
        raise wire.Refused("NotRunning", f"container {request['name']} is not running")
    pid, running = found
    if len(running.copies) + len(copies) > _MAX_COPIES:
        raise wire.Refused("Busy", f"container {request['name']} has as many clients attached as it may have")
    spec = _private(running)
    terminal = next(iter(running.streams), -1) if spec.get("tty") else -1
    takes_input = bool(request.get("stdin") and spec.get("stdin")) and running.stdin >= 0
    give = takes_input and bool(spec.get("stdin_once"))
    tell(shim, f"A\0{pid}\0{int(give)}".encode(), copies)
    handed = [terminal] if terminal >= 0 else [running.stdin] if takes_input else []
    return {"tty": terminal >= 0, "stdin": takes_input, "descriptors": handed}


def _private(running: Running) -> dict[str, Any]:
    spec = json.loads(os.pread(running.private, wire.MAX_BYTES, 0))
    return {key: spec[key] for key in _PRIVATE_KEYS if key in spec}


def _wait_or_kill(pid: int, connection: socket.socket) -> int:
    """The exit code of a program; a client that hangs up has it killed."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLIN | select.POLLRDHUP)
    while not any(descriptor == ended for descriptor, _ in poll.poll()):
        poll.unregister(connection)
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code


def _running(shim: Shim, name: str, attempt: int) -> tuple[int, Running] | None:
    return next(((pid, r) for pid, r in shim.running.items() if (r.name, r.attempt) == (name, attempt)), None)


# Settling


def rotate(shim: Shim, pid: int, path: str, max_files: int) -> None:
    tell(shim, f"L\0{pid}".encode(), [crilog.rotate(path, max_files)])


def finish(shim: Shim, pid: int) -> None:
    """Last worker of the shim `pid`, whose containers have all ended. By now its parent may be another process."""
    leftovers.kill_children(pid)
    folder = folder_of(shim)
    if not os.path.exists(folder.at("keep.json")):
        destroy(folder)


def conclude(folder: records.PodFolder, boot: str) -> None:
    """After a shim's death: end what it left running and record it as lost."""
    for name, attempt in list(folder.attempts()):
        record = folder.container(name, attempt)
        if record is None or "finished_ns" in record:
            continue
        if record["boot"] == boot:
            leftovers.kill_cgroups(record["cgroups"])
            leftovers.remove_cgroups(record["cgroups"])
            if record["marked"]:
                leftovers.kill_marked(f"{folder.uid}/{name}/{attempt}")
        _write_lost(folder, record)


def _write_lost(folder: records.PodFolder, record: dict[str, Any]) -> dict[str, Any]:
    record = {**record, "state": "unknown", "exit_code": 137, "signal": 0, "oom": False, "message": _LOST, "finished_ns": time.time_ns()}
    _write_end(folder, record)
    return record


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
    groups: set[str] = set()
    for name, attempt in list(folder.attempts()):
        record = folder.container(name, attempt)
        if record is not None:
            groups.update(record["cgroups"], (os.path.dirname(group) for group in record["cgroups"]))
        forget(folder, name, attempt)
    leftovers.remove_cgroups(groups, patiently=True)
    for path in (folder.pod() or {}).get("folders", ()):
        leftovers.clear(path)
    records.remove_tree(folder.path)


def make_cgroups(groups: list[dict[str, Any]]) -> None:
    for group in groups:
        os.makedirs(group["dir"], 0o755, exist_ok=True)
        for name, value in group["files"]:
            child.write(os.path.join(group["dir"], name), value)
