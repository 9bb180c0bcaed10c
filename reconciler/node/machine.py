"""What /proc says of use: of the whole machine, of a process with its children, of a pod's network.

Reads only; what is gone or may not be read is None. Where containers have no control groups this is all there is.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.node.runtimes import types

MAX_PROCESSES = 4096
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counters of one interface, as its pod sees them."""

    interface: str
    receive_bytes: int
    receive_packets: int
    receive_packets_dropped: int
    transmit_bytes: int
    transmit_packets: int
    transmit_packets_dropped: int


def whole(proc: Path = Path("/proc")) -> types.Usage:
    """The machine: time that no core was idle, and memory that is neither free nor an idle file's."""
    times = [int(word) for word in _text(proc / "stat").partition("\n")[0].split()[1:9]]
    found = _meminfo(proc)
    used = [found.get(name, 0) for name in ("MemTotal", "MemFree", "Inactive(file)")]
    return types.Usage(
        cpu_seconds=(sum(times) - sum(times[3:5])) / _TICKS if times else None,
        memory_working_set_bytes=max(0, used[0] - used[1] - used[2]) if found else None,
    )


def memory(proc: Path = Path("/proc")) -> tuple[int, int]:
    """Bytes: all there is, and what could be had without swapping."""
    found = _meminfo(proc)
    return found.get("MemTotal", 0), found.get("MemAvailable", 0)


def processes(proc: Path = Path("/proc")) -> tuple[int, int]:
    """How many there may be, and how many more than now; threads count as the kernel counts them."""
    limits = [int(text) for name in ("pid_max", "threads-max") if (text := _text(proc / "sys/kernel" / name).strip()).isdecimal()]
    most, load = min(limits, default=0), _text(proc / "loadavg").split()
    return most, max(0, most - int(load[3].partition("/")[2])) if len(load) > 3 else 0


def tree(pid: int, proc: Path = Path("/proc")) -> types.Usage:
    """A process and all below it; the time of children that have ended is in their parents'."""
    ticks = pages = 0
    waiting, seen = [pid], 0
    while waiting and seen < MAX_PROCESSES:
        one = waiting.pop()
        seen += 1
        fields = _text(proc / str(one) / "stat").rpartition(")")[2].split()
        if fields:
            ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
            pages += int(fields[21])  # rss
            waiting += map(int, _text(proc / str(one) / "task" / str(one) / "children").split())
    resident = pages * _PAGE_BYTES
    return types.Usage(cpu_seconds=ticks / _TICKS, memory_working_set_bytes=resident, memory_rss_bytes=resident, processes=seen)


def traffic(pid: int, proc: Path = Path("/proc")) -> tuple[Traffic, ...]:
    """The interfaces of a process's network namespace but loopback; none where it is the machine's own."""
    try:
        if os.path.samestat((proc / str(pid) / "ns/net").stat(), (proc / "self/ns/net").stat()):
            return ()
    except OSError:
        return ()
    found = []
    for line in _text(proc / str(pid) / "net/dev").splitlines()[2:]:
        name, _, rest = line.partition(":")
        n = [int(word) for word in rest.split()]
        if name.strip() != "lo" and len(n) >= 12:
            found.append(Traffic(name.strip(), n[0], n[1], n[3], n[8], n[9], n[11]))
    return tuple(found)


def filesystem(path: Path) -> Mapping[str, int]:
    """Bytes and inodes of the file system that holds `path`, by the names that kubelet_volume_stats_* have; {} where it is gone."""
    try:
        found = os.statvfs(path)
    except OSError:
        return {}
    size, free, available = (blocks * found.f_frsize for blocks in (found.f_blocks, found.f_bfree, found.f_bavail))
    return {
        "capacity_bytes": size,
        "available_bytes": available,
        "used_bytes": size - free,
        "inodes": found.f_files,
        "inodes_free": found.f_ffree,
        "inodes_used": found.f_files - found.f_ffree,
    }


def _meminfo(proc: Path) -> dict[str, int]:
    """In bytes."""
    lines = (line.partition(":") for line in _text(proc / "meminfo").splitlines())
    return {name: int(value.split()[0]) * 1024 for name, _, value in lines}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
