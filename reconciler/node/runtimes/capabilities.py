"""Linux capabilities by name, and the set that containers have unless told otherwise."""

from collections.abc import Iterable

NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip

# containerd's and Docker's default. MKNOD is harmless here: every file system of a container is mounted nodev.
DEFAULT = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE",
     "SYS_CHROOT", "KILL", "AUDIT_WRITE"}
)  # fmt: skip


def effective(add: Iterable[str], drop: Iterable[str], *, privileged: bool = False) -> frozenset[str]:
    """What a container has: drop ALL first, then add, then the single drops, as CRI runtimes do."""
    if privileged:
        return frozenset(NAMES)
    added, dropped = {_bare(name) for name in add}, {_bare(name) for name in drop}
    kept = frozenset() if "ALL" in dropped else DEFAULT
    kept |= frozenset(NAMES) if "ALL" in added else added & frozenset(NAMES)
    return kept - dropped


def mask(names: Iterable[str]) -> int:
    return sum(1 << NAMES.index(name) for name in set(names))


def _bare(name: str) -> str:
    return name.upper().removeprefix("CAP_")
