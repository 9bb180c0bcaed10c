"""What a container sees as its file system: layers, kernel file systems, devices, and what is hidden.

Only descriptions: the child that becomes the container makes the mounts (node/keeper/child.py). Everything is
mounted nodev, so that device nodes work nowhere but in /dev.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reconciler.node.keeper import linux
from reconciler.node.runtimes import types

_PRIVATE_FLAGS = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = (
    ("/proc/self/fd", "/dev/fd"), ("/proc/self/fd/0", "/dev/stdin"), ("/proc/self/fd/1", "/dev/stdout"), ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)  # fmt: skip

# containerd's and Docker's.
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# Of the host's own root: secrets and what belongs to its running system.
HOST_HIDDEN_FOLDERS = ("/root", "/home", "/run", "/tmp", "/var/run", "/var/tmp", "/boot", "/lost+found", "/mnt", "/media")  # noqa: S108
HOST_HIDDEN_FILES = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/krb5.keytab")
_HOST_PARTS = ("/usr", "/opt", "/srv", "/var", "/etc", "/bin", "/sbin", "/lib", "/lib64")  # where these are mounts of their own


def kernel_mounts(*, own_network: bool, read_only_sys: bool = True, owns_ipc: bool = True) -> list[dict[str, Any]]:
    """/proc, /sys and /dev, in the order in which they go on top of one another."""
    read_only = linux.MS_RDONLY if read_only_sys else 0
    sys_attributes = linux.MOUNT_ATTR_RDONLY if read_only_sys else 0
    mounts = [_kernel("proc", "/proc", _PRIVATE_FLAGS)]
    if own_network:
        mounts.append(_kernel("sysfs", "/sys", _PRIVATE_FLAGS | read_only))
    else:  # sysfs shows the network namespace that mounts it, and only its owner may
        mounts.append(bind("/sys", "/sys", attributes=sys_attributes))
    mounts += [
        _kernel("tmpfs", "/dev", linux.MS_NOSUID, "mode=755,size=65536k"),
        _kernel("devpts", "/dev/pts", linux.MS_NOSUID | linux.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
        _kernel("tmpfs", "/dev/shm", _PRIVATE_FLAGS, "mode=1777,size=65536k"),  # noqa: S108
    ]
    if owns_ipc:
        mounts.append(_kernel("mqueue", "/dev/mqueue", _PRIVATE_FLAGS))
    return mounts + [bind(f"/dev/{name}", f"/dev/{name}") for name in _DEVICES if os.path.exists(f"/dev/{name}")]


def bind(source: str, target: str, *, attributes: int = 0, propagation: int = 0, sub: str = "") -> dict[str, Any]:
    mount: dict[str, Any] = {"source": source, "target": target, "attributes": attributes, "propagation": propagation}
    return {**mount, "sub": sub} if sub else mount


def volume(mount: types.Mount) -> dict[str, Any]:
    attributes = linux.MOUNT_ATTR_NODEV | (linux.MOUNT_ATTR_RDONLY if mount.read_only else 0)
    propagation = {"private": linux.MS_PRIVATE, "slave": linux.MS_SLAVE, "shared": linux.MS_SHARED}[mount.propagation]
    return bind(mount.source, mount.target, attributes=attributes, propagation=propagation, sub=mount.sub_path)


def host_mounts(hidden: Sequence[str]) -> list[dict[str, Any]]:
    """On top of the host's root: its parts that are mounts of their own, then what is hidden."""
    mounts = [
        bind(part, part, attributes=linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NODEV)
        for part in _HOST_PARTS
        if os.path.ismount(part) and not os.path.islink(part)
    ]
    for folder in dict.fromkeys([*HOST_HIDDEN_FOLDERS, *hidden]):
        if os.path.isdir(folder) and not os.path.islink(folder):
            mode = "1777" if folder.endswith("tmp") else "755"
            mounts.append(_kernel("tmpfs", folder, linux.MS_NOSUID | linux.MS_NODEV, f"mode={mode}"))
    return mounts


def host_parts(hidden: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The host's top folders that a container sees, and the top symbolic links [to, path].

    For user namespaces: there the host's root as a whole cannot be a layer, for it has mounts that are locked.
    """
    skipped = {"/proc", "/sys", "/dev", *HOST_HIDDEN_FOLDERS, *hidden}
    with os.scandir("/") as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    parts = [e.path for e in found if e.is_dir(follow_symlinks=False) and e.path not in skipped and os.access(e.path, os.R_OK | os.X_OK)]
    return parts, [[os.readlink(e.path), e.path] for e in found if e.is_symlink()]


def host_masked() -> list[str]:
    """Single files of the host that no container may read."""
    keys = sorted(str(path) for path in Path("/etc/ssh").glob("ssh_host_*_key")) if os.access("/etc/ssh", os.R_OK) else []
    return [path for path in (*HOST_HIDDEN_FILES, *keys) if os.path.exists(path)]


def links() -> list[list[str]]:
    return [list(link) for link in _LINKS]


def _kernel(kind: str, target: str, flags: int, data: str = "") -> dict[str, Any]:
    return {"type": kind, "source": kind, "target": target, "flags": flags, "data": data}
