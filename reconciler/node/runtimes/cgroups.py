"""Where a container's control groups are and what is written into them; and what they tell.

v1 (one hierarchy a controller) and v2 (one for all). Groups are .../reconciler/pod-UID/NAME-ATTEMPT. With v1 they live
below the keeper's own. With v2 a group with limits below it holds no processes, and a unit whose main process is
started again must be free to hold it: they live beside the keeper's, in its slice. The shim makes them (it has the
rights), the daemon only says what to write and reads what they tell.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.node.runtimes import types

_V1_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "freezer")
_V2_CONTROLLERS = ("cpu", "memory", "pids", "io")  # io only tells
_ROOT = "/sys/fs/cgroup"
SLICE = "reconciler"


@dataclass(frozen=True, slots=True)
class Groups:
    """The folders below which pods' groups go: by v1 controller, or "" for v2; empty where nothing may be written."""

    bases: Mapping[str, str]
    controllers: tuple[str, ...] = ()  # of v2: those that are to be had there
    pod_pids_limit: int = 0  # of all processes of a pod; 0 is no limit

    @property
    def is_v2(self) -> bool:
        return "" in self.bases

    def of_pod(self, uid: str) -> dict[str, str]:
        return {controller: os.path.join(base, SLICE, f"pod-{uid}") for controller, base in self.bases.items()}

    def of_container(self, uid: str, name: str, attempt: int) -> dict[str, str]:
        return {controller: os.path.join(pod, f"{name}-{attempt}") for controller, pod in self.of_pod(uid).items()}

    def remove(self) -> None:
        """What all pods had in common, once they are gone."""
        for base in self.bases.values():
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(base, SLICE))

    def launch(self, uid: str, name: str, attempt: int, resources: types.Resources) -> list[dict[str, Any]]:
        """What the shim makes and writes, parents first."""
        pods, containers = self.of_pod(uid), self.of_container(uid, name, attempt)
        pids = [["pids.max", str(self.pod_pids_limit)]] if self.pod_pids_limit else []
        if not self.is_v2:
            groups = [{"dir": folder, "files": _v1_files(controller, resources)} for controller, folder in containers.items()]
            return [{"dir": pods["pids"], "files": pids, "enter": False}, *groups] if "pids" in pods else groups
        enable = [["cgroup.subtree_control", " ".join(f"+{controller}" for controller in self.controllers)]]
        own = [[file, value] for file, value in _v2_files(resources) if file.partition(".")[0] in self.controllers]
        base = self.bases[""]
        return [
            {"dir": base, "files": enable, "enter": False},
            {"dir": os.path.join(base, SLICE), "files": enable, "enter": False},
            {"dir": pods[""], "files": [*enable, *(pids if "pids" in self.controllers else ())], "enter": False},
            {"dir": containers[""], "files": own},
        ]


def detect(membership: str, pod_pids_limit: int = 0, root: str = _ROOT) -> Groups:
    """From /proc/PID/cgroup of the keeper and what is mounted. Controllers that may not be written are left out."""
    paths = _paths(membership)
    v1 = {c: os.path.join(root, c) + paths[c].rstrip("/") for c in _V1_CONTROLLERS if c in paths and os.path.isdir(os.path.join(root, c))}
    usable = {controller: base for controller, base in v1.items() if os.access(base, os.W_OK)}
    if usable:
        return Groups(usable, pod_pids_limit=pod_pids_limit)
    base = root + os.path.dirname(paths.get("", "/").rstrip("/")).rstrip("/")
    controllers = tuple(one for one in _V2_CONTROLLERS if one in _text(base, "cgroup.controllers").split())
    is_root = not os.path.exists(os.path.join(base, "cgroup.type"))  # which alone may have both processes and limits below it
    if controllers and os.access(base, os.W_OK) and (is_root or not _text(base, "cgroup.procs")):
        return Groups({"": base}, controllers, pod_pids_limit)
    return Groups({})


def rouse() -> None:
    """Have the kernel ready for a container that is about to enter its groups: a move of this process to where it is.

    For the first move in a while the kernel waits some ten milliseconds, for the next one soon after it does not. Blocking.
    """
    paths = _paths(Path("/proc/self/cgroup").read_text())
    controller = next((one for one in _V1_CONTROLLERS if one in paths), "")
    with contextlib.suppress(OSError):  # where it may not even stay, containers just take their time
        Path(_ROOT, controller, paths.get(controller, "/").strip("/"), "cgroup.procs").write_text(str(os.getpid()))


def _paths(membership: str) -> dict[str, str]:
    """From controllers, "" for v2, to the group of a process, as /proc/PID/cgroup lists them."""
    found = {}
    for line in membership.splitlines():
        _, names, path = line.split(":", 2)
        found.update(dict.fromkeys(names.split(","), path))
    return found


def _v1_files(controller: str, resources: types.Resources) -> list[list[str]]:
    if controller == "cpu":
        files = [["cpu.shares", str(max(2, resources.cpu_shares))]]
        if resources.cpu_quota_us:
            files += [["cpu.cfs_period_us", str(resources.cpu_period_us)], ["cpu.cfs_quota_us", str(resources.cpu_quota_us)]]
        return files
    if controller == "memory" and resources.memory_limit_bytes:
        return [["memory.limit_in_bytes", str(resources.memory_limit_bytes)]]
    return []


def _v2_files(resources: types.Resources) -> list[list[str]]:
    weight = 1 + (max(2, resources.cpu_shares) - 2) * 9999 // 262142  # KEP-2254
    files = [["cpu.weight", str(weight)]]
    if resources.cpu_quota_us:
        files.append(["cpu.max", f"{resources.cpu_quota_us} {resources.cpu_period_us}"])
    if resources.memory_limit_bytes:
        files += [["memory.max", str(resources.memory_limit_bytes)], ["memory.oom.group", "1"]]
    return files


# What they tell


def usage(groups: Mapping[str, str]) -> types.Usage:
    return _v2_usage(groups[""]) if "" in groups else _v1_usage(groups)


def _v2_usage(folder: str) -> types.Usage:
    cpu, memory, io = _table(folder, "cpu.stat"), _table(folder, "memory.stat"), _text(folder, "io.stat")
    current = _number(folder, "memory.current")
    return types.Usage(
        cpu_seconds=cpu["usage_usec"] / 1e6 if "usage_usec" in cpu else None,
        cfs_periods=cpu.get("nr_periods"),
        cfs_throttled_periods=cpu.get("nr_throttled"),
        memory_working_set_bytes=None if current is None else max(0, current - memory.get("inactive_file", 0)),
        memory_rss_bytes=memory.get("anon"),
        memory_cache_bytes=memory.get("file"),
        memory_swap_bytes=_number(folder, "memory.swap.current"),
        read_bytes=_sum(io, "rbytes="),
        write_bytes=_sum(io, "wbytes="),
        processes=_number(folder, "pids.current"),
    )


def _v1_usage(groups: Mapping[str, str]) -> types.Usage:
    cpu = _table(groups["cpu"], "cpu.stat") if "cpu" in groups else {}
    used = _number(groups["cpuacct"], "cpuacct.usage") if "cpuacct" in groups else None
    memory = _table(groups["memory"], "memory.stat") if "memory" in groups else {}
    current = _number(groups["memory"], "memory.usage_in_bytes") if "memory" in groups else None
    return types.Usage(
        cpu_seconds=None if used is None else used / 1e9,
        cfs_periods=cpu.get("nr_periods"),
        cfs_throttled_periods=cpu.get("nr_throttled"),
        memory_working_set_bytes=None if current is None else max(0, current - memory.get("total_inactive_file", 0)),
        memory_rss_bytes=memory.get("total_rss"),
        memory_cache_bytes=memory.get("total_cache"),
        memory_swap_bytes=memory.get("total_swap"),
        processes=_number(groups["pids"], "pids.current") if "pids" in groups else None,
    )


def _text(folder: str, name: str) -> str:
    try:
        return Path(folder, name).read_text()
    except OSError:
        return ""


def _number(folder: str, name: str) -> int | None:
    text = _text(folder, name).strip()
    return int(text) if text.isdecimal() else None


def _table(folder: str, name: str) -> dict[str, int]:
    pairs = (line.split() for line in _text(folder, name).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _sum(text: str, field: str) -> int | None:
    found = [int(word[len(field) :]) for word in text.split() if word.startswith(field)]
    return sum(found) if found else None
