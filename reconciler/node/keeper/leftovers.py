"""Ending what a container left behind: by cgroup where it has one, else by the mark in its environment."""

from __future__ import annotations

import os
import signal
import time

from reconciler.node.keeper import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MARK = "RECONCILER_CONTAINER"  # POD_UID/NAME/ATTEMPT in the environment of every container
LINKS = "links.json"
_ROUNDS = 200


def kill_cgroups(folders: Iterable[str]) -> None:
    """Kill every process in the groups and wait, for at most half a second, until they are empty."""
    for folder in folders:
        try:
            with open(os.path.join(folder, "cgroup.kill"), "w") as file:
                file.write("1")
        except OSError:
            pass  # cgroup v1, or gone: the processes are killed one by one
        for _ in range(_ROUNDS):
            pids = _processes(folder)
            if not pids:
                break
            for pid in pids:
                _kill(pid)
            time.sleep(0.0025)


def remove_cgroups(folders: Iterable[str], *, patiently: bool = False) -> None:
    """Remove empty groups, deepest first. What is still busy is waited for, half a second at most, or left for the next call."""
    for folder in sorted(folders, key=len, reverse=True):
        for _ in range(_ROUNDS if patiently else 1):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.0025 if patiently else 0)
            else:
                break


def kill_marked(mark: str) -> int:
    """Kill the processes whose environment carries `mark` or one below it ("UID" finds "UID/web/0"); how many."""
    wanted = f"{MARK}={mark}".encode()
    killed = 0
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:
            continue
        if any(v == wanted or v.startswith(wanted + b"/") for v in variables):
            _kill(int(name))
            killed += 1
    return killed


def kill_children(parent: int, spare: Iterable[int] = ()) -> None:
    """Kill what came to `parent` as the subreaper of others: its children older than this process, but for `spare`."""
    spared = {os.getpid(), *spare}
    own = records.start_ticks(os.getpid())
    try:
        with open(f"/proc/{parent}/task/{parent}/children") as file:
            children = [int(pid) for pid in file.read().split()]
    except FileNotFoundError:
        return  # a kernel without the list: groups and marks have found the most
    for pid in children:
        if pid not in spared and 0 < records.start_ticks(pid) < own:
            _kill(pid)


def remember_link(folder: str, target: str, source: str, made: list[str]) -> None:
    """Before it is made: a symbolic link that stands in for a mount of a plain process, and the folders made for it.

    `folder` is the pod's own and outlives the machine's boot, as links do.
    """
    path = os.path.join(folder, LINKS)
    known = records.read(path) or {"links": {}, "made": []}
    os.makedirs(folder, 0o700, exist_ok=True)
    records.write(path, {"links": {**known["links"], target: source}, "made": known["made"] + made})


def clear(folder: str) -> None:
    """Remove a pod's folder, and the links that it remembers but for what is somebody else's by now."""
    known = records.read(os.path.join(folder, LINKS)) or {"links": {}, "made": []}
    for target, source in known["links"].items():
        try:
            if os.readlink(target) == source:
                os.unlink(target)
        except OSError:
            continue  # gone, or no link any more
    for path in reversed(known["made"]):
        try:
            os.rmdir(path)
        except OSError:
            continue  # used by others
    records.remove_tree(folder)


def oom_kills(folders: Iterable[str]) -> int:
    """How often the kernel killed for lack of memory in a container's groups."""
    for folder in folders:
        for name in ("memory.events", "memory.oom_control"):
            try:
                with open(os.path.join(folder, name)) as file:
                    counts = dict(line.split() for line in file)
            except (OSError, ValueError):
                continue
            return int(counts.get("oom_kill", 0))
    return 0


def _processes(folder: str) -> list[int]:
    try:
        with open(os.path.join(folder, "cgroup.procs")) as file:
            return [int(line) for line in file]
    except OSError:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
