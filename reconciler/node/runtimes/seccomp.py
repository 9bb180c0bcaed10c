"""Which system calls a container may make: containerd's default profile, or an OCI profile from a file.

The default is an allow-list: what the table of system calls does not know, or what is refused here, is answered with
EPERM (clone3 with ENOSYS, so that libraries fall back to clone, whose flags can be read). Capabilities lift refusals.
Differs from containerd in one way: 32-bit programs on a 64-bit machine are ended, for only native numbers are known.
"""

import base64
import functools
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reconciler.node.runtimes import bpf, syscalls

MAX_PROFILE_BYTES = 1 << 20
_NAMESPACES = 0x7E020000  # CLONE_NEW* but for NEWTIME, which clone cannot carry
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_ALG, _AF_VSOCK = 38, 40

_REFUSED = """
_sysctl acct add_key afs_syscall bpf chroot clock_settime create_module delete_module fanotify_init file_getattr file_setattr
finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy getpmsg init_module io_uring_enter io_uring_register
io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr
mbind migrate_pages mount mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree open_tree_attr perf_event_open
pidfd_getfd pivot_root process_madvise putpmsg query_module quotactl quotactl_fd reboot request_key security set_mempolicy
set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog tuxcall umount2 unshare uselib
userfaultfd ustat vhangup vserver
"""
_LIFTED_BY = {
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "PERFMON": "perf_event_open",
    "SYSLOG": "syslog",
    "SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr
        mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount2 unshare
        """,
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime settimeofday",
    "SYS_TTY_CONFIG": "vhangup",
}
_CONDITIONAL: Mapping[str, tuple[bpf.Rule, ...]] = {
    "clone": (bpf.Rule(bpf.ALLOW, (bpf.Condition(0, "MASKED_EQ", _NAMESPACES),)),),
    "clone3": (bpf.Rule(bpf.ERRNO | bpf.ENOSYS),),
    "personality": tuple(bpf.Rule(bpf.ALLOW, (bpf.Condition(0, "EQ", value),)) for value in _PERSONALITIES),
    "socket": (bpf.Rule(bpf.ALLOW, (bpf.Condition(0, "NE", _AF_ALG), bpf.Condition(0, "NE", _AF_VSOCK))),),
}
_ALLOW = (bpf.Rule(bpf.ALLOW),)

_ACTIONS = {
    "SCMP_ACT_ALLOW": bpf.ALLOW,
    "SCMP_ACT_ERRNO": bpf.ERRNO,
    "SCMP_ACT_KILL": bpf.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": bpf.KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": bpf.KILL_THREAD,
    "SCMP_ACT_LOG": bpf.LOG,
    "SCMP_ACT_TRACE": bpf.TRACE,
    "SCMP_ACT_TRAP": bpf.TRAP,
}
_OPERATORS: Mapping[str, bpf.Operator] = {
    "SCMP_CMP_EQ": "EQ",
    "SCMP_CMP_GE": "GE",
    "SCMP_CMP_GT": "GT",
    "SCMP_CMP_LE": "LE",
    "SCMP_CMP_LT": "LT",
    "SCMP_CMP_MASKED_EQ": "MASKED_EQ",
    "SCMP_CMP_NE": "NE",
}


class Unusable(Exception):
    """A profile cannot be had; the message names the file and what is wrong with it."""


@functools.lru_cache(maxsize=64)
def default_program(capabilities: frozenset[str], machine: str = "") -> str:
    """The filter for a container with these capabilities (without CAP_), base64; "" on an architecture without one."""
    machine = machine or platform.machine()
    if machine not in bpf.ARCHITECTURES:
        return ""
    lifted = {name for capability in capabilities for name in _LIFTED_BY.get(capability, "").split()}
    allowed: dict[str, tuple[bpf.Rule, ...]] = dict.fromkeys(syscalls.ALL.difference(_REFUSED.split()), _ALLOW)
    return _program({**allowed, **_CONDITIONAL, **dict.fromkeys(lifted, _ALLOW)}, bpf.ERRNO | bpf.EPERM, machine)


def local_program(profile: str, folders: Iterable[Path], machine: str = "") -> str:
    """The filter that the file `profile` below one of `folders` describes, base64. Raises Unusable."""
    machine = machine or platform.machine()
    if machine not in bpf.ARCHITECTURES:
        raise Unusable(f"seccomp profiles cannot be used on {machine}")
    path = _find(profile, tuple(folders))
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PROFILE_BYTES + 1)
        if len(text) > MAX_PROFILE_BYTES:
            raise ValueError(f"it is larger than {MAX_PROFILE_BYTES} bytes")
        return _parse(json.loads(text), machine)
    except OSError as error:
        raise Unusable(f'cannot load seccomp profile "{path}": {error.strerror}') from error
    except KeyError as error:
        raise Unusable(f'cannot load seccomp profile "{path}": {error} is missing') from error
    except (ValueError, TypeError, AttributeError) as error:
        raise Unusable(f'cannot load seccomp profile "{path}": {error}') from error


def _find(profile: str, folders: tuple[Path, ...]) -> Path:
    for folder in folders:
        path = (folder / profile).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise Unusable(f'seccomp profile "{profile}" leads out of {folder}')
        if path.exists():
            return path
    raise Unusable(f'cannot load seccomp profile "{profile}": no such file in {" or ".join(map(str, folders))}')


def _parse(profile: Mapping[str, Any], machine: str) -> str:
    """OCI runtime-spec's linux.seccomp. Names that this architecture does not have are passed over, as runc does."""
    if not isinstance(profile, Mapping) or "defaultAction" not in profile:
        raise ValueError("want an object with defaultAction")
    rules: dict[str, tuple[bpf.Rule, ...]] = {}
    for entry in profile.get("syscalls") or ():
        made = tuple(_rules(entry))
        for name in entry["names"]:
            rules[str(name)] = rules.get(str(name), ()) + made
    ordered = {name: tuple(sorted(found, key=lambda rule: not rule.conditions)) for name, found in rules.items()}
    return _program(ordered, _action(profile["defaultAction"], profile.get("defaultErrnoRet")), machine)


def _rules(entry: Mapping[str, Any]) -> Iterable[bpf.Rule]:
    """One rule; one for each condition where several are on the same argument, which then means either."""
    action = _action(entry["action"], entry.get("errnoRet"))
    conditions = tuple(map(_condition, entry.get("args") or ()))
    if len({one.index for one in conditions}) < len(conditions):
        return tuple(bpf.Rule(action, (one,)) for one in conditions)
    return (bpf.Rule(action, conditions),)


def _condition(wanted: Mapping[str, Any]) -> bpf.Condition:
    index, operator = int(wanted["index"]), str(wanted["op"])
    if not 0 <= index <= 5:
        raise ValueError(f"argument {index}: want 0 to 5")
    if operator not in _OPERATORS:
        raise ValueError(f"operator {operator} is unknown")
    return bpf.Condition(index, _OPERATORS[operator], int(wanted["value"]), int(wanted.get("valueTwo") or 0))


def _action(name: Any, errno: Any) -> int:
    if name not in _ACTIONS:
        raise ValueError(f"action {name} is unknown or cannot be used")
    action = _ACTIONS[name]
    return action | (bpf.EPERM if errno is None else int(errno) & 0xFFFF) if action in (bpf.ERRNO, bpf.TRACE) else action


def _program(rules: Mapping[str, tuple[bpf.Rule, ...]], default: int, machine: str) -> str:
    numbers = syscalls.NUMBERS[machine]
    numbered = {numbers[name]: found for name, found in rules.items() if name in numbers}
    return base64.b64encode(bpf.assemble(numbered, default, machine)).decode()
