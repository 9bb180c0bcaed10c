"""From clone to exec: what a container's first process does before it becomes the container's program.

Runs in the child of a single-threaded shim and never returns. The specification arrives finished (runtimes/
process.py writes it); nothing is decided here. Order matters and follows runc: die with the parent, mounts,
cgroups and the record on disk, identity, privileges, program. Whoever forked it makes its cgroups, moves it into them and
writes the record while it mounts, for each takes its time. A failure is told to the shim over
the channel, whose closing by exec means success.

    argv, env, cwd, uid, gid, groups, nested_user     as execve, setuid, setgroups take them; gid null: the account's
    root: {lower: [DIR], dir: DIR, read_only}         an overlay with its own upper layer; absent: the host's root
    root: {parts: [DIR], dir: DIR, read_only}         an overlay for each of these folders of the host
    mounts: [{source, sub, attributes, propagation, target} | {type, source, target, flags, data}]
    masked, read_only_paths, links: [[to, path]]      inside the new root
    cgroups: [{dir, files: [[name, value]]}]          made by the shim, entered here
    capabilities (a mask), no_new_privileges, seccomp (base64), oom_score_adj, tty
"""

from __future__ import annotations

import binascii
import fcntl
import json
import os
import select
import signal
import socket
import stat
import termios

from reconciler.node.keeper import linux, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

GO, CONSOLE, FAILED = b"G", b"C", b"F"
LAST_CAPABILITY = 40
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failure(Exception):
    """Told to the shim; `reason` is CreateContainerError or StartError."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def run(channel: socket.socket) -> NoReturn:
    """Become the program of the specification that comes as a file with GO, and with it standard input and outputs.

    There are none for a terminal, which is made inside.
    """
    try:
        private, *stdio = _wait_for_go(channel)
        spec = json.loads(os.pread(private, wire.MAX_BYTES, 0))
        write("/proc/self/oom_score_adj", str(spec.get("oom_score_adj", 0)), optional=True)
        if spec.get("root"):
            _build_root(spec)
        if channel.recv(1) != GO:  # not in its cgroups
            os._exit(1)
        _execute(spec, channel, stdio or _console(channel))
    except Failure as error:
        _fail(channel, error.reason, str(error))
    except OSError as error:
        _fail(channel, "CreateContainerError", f"{error.filename or 'container'}: {error.strerror}")
    os._exit(1)


def run_beside(spec: dict[str, Any], channel: socket.socket, stdio: Sequence[int], target: int, extra: int) -> NoReturn:
    """A stage that enters the PID namespace of `target` and forks there, once more with `extra` clone flags.

    With a root of its own the fork becomes a container, else a program in the mounts and cgroups of `target`.
    """
    own_root = bool(spec.get("root"))
    try:
        signal.set_wakeup_fd(-1)
        if not own_root:
            enter_cgroups(spec, "0")
            write("/proc/self/oom_score_adj", str(spec.get("oom_score_adj", 0)), optional=True)
        if target:
            linux.setns(os.pidfd_open(target), linux.CLONE_NEWPID | (0 if own_root else linux.CLONE_NEWNS))
        pid = linux.clone(extra)
    except OSError as error:
        channel.send(FAILED + json.dumps({"message": f"cannot enter the container: {error.strerror}"}).encode())
        os._exit(1)
    if pid:
        channel.send(str(pid).encode())
        os._exit(0)
    if own_root:
        run(channel)
    try:
        _wait_for_go(channel)
        _execute(spec, channel, stdio or _console(channel))
    except Failure as error:
        _fail(channel, error.reason, str(error))
    except OSError as error:
        _fail(channel, "StartError", f"{error.filename or 'exec'}: {error.strerror}")
    os._exit(1)


def _wait_for_go(channel: socket.socket) -> list[int]:
    """The descriptors that came along. From here on this process dies with its parent, which is the final one only now."""
    signal.set_wakeup_fd(-1)
    message, descriptors, _, _ = socket.recv_fds(channel, 1, wire.MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if message != GO:
        os._exit(1)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    return descriptors


def _fail(channel: socket.socket, reason: str, message: str) -> NoReturn:
    """Tell, and end only when the listener has recorded it and hangs up."""
    channel.send(FAILED + json.dumps({"reason": reason, "message": message}).encode())
    while channel.recv(1):
        continue
    os._exit(128)


def _execute(spec: dict[str, Any], channel: socket.socket, stdio: Sequence[int]) -> None:
    # Above 2 first, so that no copy overwrites one that is still to be copied.
    for target, descriptor in enumerate([fcntl.fcntl(d, fcntl.F_DUPFD_CLOEXEC, 3) for d in stdio]):
        os.dup2(descriptor, target)
    environment = _become(spec)
    # The identity change cleared the death signal; a parent that died meanwhile took the other end along.
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    ready = select.poll()
    ready.register(channel, select.POLLIN)
    if ready.poll(0):
        os._exit(1)
    _change_directory(spec.get("cwd") or "/")
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    argv = spec["argv"]
    program = _find(argv[0], environment.get("PATH", _DEFAULT_PATH))
    if spec.get("seccomp") and spec.get("no_new_privileges"):
        _confine(spec)  # as late as possible: the profile is the program's, not this one's
    try:
        os.execve(program, argv, environment)  # noqa: S606 - the container's own program
    except OSError as error:
        raise Failure("StartError", f'exec: "{argv[0]}": {(error.strerror or "failed").lower()}') from error


def _find(program: str, search: str) -> str:
    if "/" in program:
        if not os.path.exists(program):
            raise Failure("StartError", f'exec: "{program}": stat {program}: no such file or directory')
        return program
    for folder in search.split(":"):
        path = os.path.join(folder or ".", program)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise Failure("StartError", f'exec: "{program}": executable file not found in $PATH')


def _change_directory(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
        os.chdir(path)
    except OSError as error:
        raise Failure("StartError", f"working directory {path}: {error.strerror}") from error


def _console(channel: socket.socket) -> tuple[int, int, int]:
    """A terminal of the container's own; its master goes to the shim, which must have it before anything is written."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    socket.send_fds(channel, [CONSOLE], [master])
    os.close(master)
    if channel.recv(1) != GO:
        os._exit(1)
    return slave, slave, slave


def enter_cgroups(spec: dict[str, Any], pid: str) -> None:
    """Move a process, "0" for this one."""
    for group in spec.get("cgroups", ()):
        if group.get("enter", True):
            write(os.path.join(group["dir"], "cgroup.procs"), pid)


# Mounts


def _build_root(spec: dict[str, Any]) -> None:
    """A new root from an overlay and mounts. Targets resolve inside it, for it is the root when they are made."""
    root = spec["root"]
    linux.unshare(linux.CLONE_NEWNS)  # only now: it has what is mounted at this moment
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_SLAVE)
    merged = os.path.join(root["dir"], "merged")
    if "parts" in root:
        _make_directory(merged)
        linux.attach_tree(linux.clone_tree(merged, linux.MOUNT_ATTR_NODEV), merged)
        for part in root["parts"]:
            _overlay_part(root, part, merged + part)
    else:
        _overlay(root, root["lower"], root["dir"], merged)
    trees = [_source_tree(entry) if "type" not in entry else -1 for entry in spec["mounts"]]
    os.chdir(merged)
    linux.pivot_root(".", ".")
    for entry, tree in zip(spec["mounts"], trees, strict=True):
        if tree < 0:
            _make_directory(entry["target"])
            linux.mount(entry["source"], entry["target"], entry["type"], entry["flags"], entry["data"])
        else:
            _make_target(entry["target"], tree)
            linux.attach_tree(tree, entry["target"])
    for to, path in spec.get("links", ()):
        if not os.path.lexists(path):
            os.symlink(to, path)
    for path in spec.get("masked", ()):
        _mask(path)
    for path in spec.get("read_only_paths", ()):
        if os.path.exists(path):
            linux.attach_tree(linux.clone_tree(path, linux.MOUNT_ATTR_RDONLY), path)
    linux.unmount(".")
    os.chdir("/")
    if root.get("read_only"):
        linux.mount("none", "/", flags=0x20 | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NODEV)  # 0x20: MS_REMOUNT


def _overlay(root: dict[str, Any], lower: Sequence[str], folder: str, merged: str) -> None:
    upper, work = os.path.join(folder, "upper"), os.path.join(folder, "work")
    for directory in (merged, upper, work):
        _make_directory(directory)
    layers = ":".join(layer.replace("\\", "\\\\").replace(":", "\\:") for layer in lower)
    options = f"lowerdir={layers},upperdir={upper},workdir={work}{',userxattr' if root.get('userxattr') else ''}"
    linux.mount("overlay", merged, "overlay", linux.MS_NODEV, options)


def _overlay_part(root: dict[str, Any], part: str, target: str) -> None:
    """One folder of the host; read-only where it has mounts below, which no user namespace may uncover."""
    try:
        _overlay(root, [part], root["dir"] + "/parts" + part, target)
    except OSError:
        linux.attach_tree(linux.clone_tree(part, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NODEV), target)


def _source_tree(entry: dict[str, Any]) -> int:
    attributes, propagation = entry.get("attributes", 0), entry.get("propagation", 0)
    if not entry.get("sub"):
        return linux.clone_tree(entry["source"], attributes, propagation)
    descriptor = linux.open_inside(entry["source"], entry["sub"])
    try:
        return linux.clone_tree("", attributes, propagation, at=descriptor)
    finally:
        os.close(descriptor)


def _make_target(path: str, tree: int) -> None:
    if os.path.exists(path):
        return
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        _make_directory(path)
    else:
        _make_directory(os.path.dirname(path))
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _make_directory(path: str) -> None:
    os.makedirs(path, 0o755, exist_ok=True)


def _mask(path: str) -> None:
    """An empty read-only folder or /dev/null over what should not be seen."""
    if os.path.isdir(path):
        linux.mount("tmpfs", path, "tmpfs", linux.MS_RDONLY | linux.MS_NODEV | linux.MS_NOSUID, "size=0k,mode=755")
    elif os.path.exists(path):
        linux.attach_tree(linux.clone_tree("/dev/null"), path)


# Identity and privileges


def _become(spec: dict[str, Any]) -> dict[str, str]:
    """Take the identity and give up what the container may not have; returns its environment."""
    uid, gid = spec.get("uid"), spec.get("gid")
    environment = dict(spec["env"])
    account_gid, home = _account(uid or 0)
    environment.setdefault("HOME", home)
    mask = spec.get("capabilities")
    if spec.get("no_new_privileges"):
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if mask is not None:
        for number in range(LAST_CAPABILITY + 1):
            if not mask >> number & 1:
                linux.prctl(linux.PR_CAPBSET_DROP, number)
    if spec.get("nested_user") is not None:
        _nest_user(*spec["nested_user"])
    elif uid is not None:
        if spec.get("groups") is not None:
            os.setgroups(spec["groups"])
        effective_gid = account_gid if gid is None else gid
        os.setresgid(effective_gid, effective_gid, effective_gid)
    if spec.get("seccomp") and not spec.get("no_new_privileges"):
        _confine(spec)  # later it would be forbidden
    if uid is not None and spec.get("nested_user") is None:
        os.setresuid(uid, uid, uid)
    if mask is not None and not uid:
        linux.set_capabilities(mask)
    return environment


def _confine(spec: dict[str, Any]) -> None:
    try:
        linux.install_seccomp(binascii.a2b_base64(spec["seccomp"]))
    except OSError as error:
        raise Failure("CreateContainerError", f"installing the seccomp filter: {error.strerror}") from error


def _nest_user(uid: int, gid: int) -> None:
    """Where only one user is mapped: be called `uid` and `gid` in a user namespace of its own."""
    own_uid, own_gid = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER)
    map_user(uid, own_uid, gid, own_gid)


def map_user(uid: int, outer_uid: int, gid: int, outer_gid: int) -> None:
    """Fill the maps of this process's new user namespace with one user and one group."""
    write("/proc/self/setgroups", "deny", optional=True)
    write("/proc/self/uid_map", f"{uid} {outer_uid} 1")
    write("/proc/self/gid_map", f"{gid} {outer_gid} 1")


def _account(uid: int) -> tuple[int, str]:
    """Primary group and home of a user by the container's /etc/passwd; (0, "/") where it has none."""
    try:
        with open("/etc/passwd", errors="replace") as file:
            for line in file:
                fields = line.rstrip("\n").split(":")
                if len(fields) == 7 and fields[2] == str(uid):
                    return int(fields[3]), fields[5] or "/"
    except (OSError, ValueError):
        return 0, "/"
    return 0, "/"


def write(path: str, text: str, *, optional: bool = False) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        if not optional:
            raise OSError(error.errno, error.strerror, path) from error
