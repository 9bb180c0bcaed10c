"""The RuntimeDefault seccomp filter: containerd's default profile as a BPF program.

The profile is an allow-list that grows with capabilities. Here it is said the other way round, as what is refused
with EPERM (clone3 with ENOSYS, so that libraries fall back to clone, whose flags can be read): the kernel's list
of system calls grows, and what is dangerous in it is known. System calls of another architecture end the process.
"""

import base64
import functools
import platform
import struct
from collections.abc import Collection

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NAMESPACES = 0x7E020000  # CLONE_NEW* but for NEWTIME, which clone cannot carry
_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

# name: (x86_64, aarch64); -1 where the architecture has none
_NUMBERS = {
    "clone": (56, 220), "clone3": (435, 435), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "sethostname": (170, 161), "setdomainname": (171, 162), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "create_module": (174, -1), "get_kernel_syms": (177, -1), "query_module": (178, -1),
    "iopl": (172, -1), "ioperm": (173, -1), "acct": (163, 89), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "bpf": (321, 280), "perf_event_open": (298, 241), "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262), "open_by_handle_at": (304, 265), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "userfaultfd": (323, 282), "syslog": (103, 116), "vhangup": (153, 58), "nfsservctl": (180, 42), "_sysctl": (156, -1),
    "uselib": (134, -1),
    "ustat": (136, -1), "sysfs": (139, -1), "vserver": (236, -1), "move_pages": (279, 239), "mbind": (237, 235),
    "set_mempolicy": (238, 237), "get_mempolicy": (239, 236), "migrate_pages": (256, 238), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "kcmp": (312, 272), "chroot": (161, 51), "personality": (135, 92),
}  # fmt: skip

# What a capability lifts from the refusals.
_LIFTED_BY = {
    "SYS_ADMIN": (
        "clone", "clone3", "unshare", "setns", "mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount",
        "fspick", "mount_setattr", "quotactl", "quotactl_fd", "sethostname", "setdomainname", "bpf", "perf_event_open", "lookup_dcookie",
        "fanotify_init", "syslog",
    ),
    "SYS_CHROOT": ("chroot",),
    "SYS_BOOT": ("reboot", "kexec_load", "kexec_file_load"),
    "SYS_MODULE": ("init_module", "finit_module", "delete_module"),
    "SYS_PTRACE": ("ptrace", "kcmp", "process_vm_readv", "process_vm_writev"),
    "SYS_RAWIO": ("iopl", "ioperm"),
    "SYS_PACCT": ("acct",),
    "SYS_TIME": ("settimeofday", "clock_settime", "adjtimex", "clock_adjtime"),
    "SYS_NICE": ("move_pages", "mbind", "set_mempolicy", "get_mempolicy", "migrate_pages"),
    "SYS_TTY_CONFIG": ("vhangup",),
    "SYSLOG": ("syslog",),
    "BPF": ("bpf",),
    "PERFMON": ("perf_event_open",),
    "DAC_READ_SEARCH": ("open_by_handle_at",),
}  # fmt: skip
_NEVER_REFUSED = {"ptrace", "process_vm_readv", "process_vm_writev", "kcmp"}  # since Linux 4.8 the kernel's own checks hold
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)


@functools.lru_cache(maxsize=64)
def default_program(capabilities: frozenset[str], machine: str = "") -> str:
    """The filter for a container with these capabilities (without CAP_), base64; "" on an architecture without one."""
    machine = machine or platform.machine()
    if machine not in _AUDIT_ARCHITECTURE:
        return ""
    return base64.b64encode(_assemble(_refused(capabilities), machine)).decode()


def _refused(capabilities: Collection[str]) -> frozenset[str]:
    lifted = {name for capability in capabilities for name in _LIFTED_BY.get(capability, ())}
    return frozenset(_NUMBERS) - lifted - _NEVER_REFUSED


def _assemble(refused: Collection[str], machine: str) -> bytes:
    column = list(_AUDIT_ARCHITECTURE).index(machine)
    program = [_load(4), _jump_equal(_AUDIT_ARCHITECTURE[machine], 1, 0), _return(_KILL), _load(0)]
    if machine == "x86_64":
        program += [_jump_at_least(_X32_BIT, 0, 1), _return(_ERRNO | _ENOSYS)]
    for name in sorted(refused):
        number = _NUMBERS[name][column]
        if number < 0:
            continue
        if name == "clone":  # refused only where it would make a namespace
            program += [_jump_equal(number, 0, 4), _load(16), _jump_any(_NAMESPACES, 0, 1), _return(_ERRNO | _EPERM), _return(_ALLOW)]
        elif name == "personality":
            allowed = [_jump_equal(value, len(_PERSONALITIES) - i, 0) for i, value in enumerate(_PERSONALITIES)]
            program += [_jump_equal(number, 0, len(allowed) + 3), _load(16), *allowed, _return(_ERRNO | _EPERM), _return(_ALLOW)]
        else:
            program += [_jump_equal(number, 0, 1), _return(_ERRNO | (_ENOSYS if name == "clone3" else _EPERM))]
    program.append(_return(_ALLOW))
    return b"".join(program)


def _load(offset: int) -> bytes:
    """A word of struct seccomp_data: 0 the number, 4 the architecture, 16 the low half of the first argument."""
    return struct.pack("HBBI", 0x20, 0, 0, offset)


def _jump_equal(value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("HBBI", 0x15, then, otherwise, value)


def _jump_at_least(value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("HBBI", 0x35, then, otherwise, value)


def _jump_any(bits: int, then: int, otherwise: int) -> bytes:
    return struct.pack("HBBI", 0x45, then, otherwise, bits)


def _return(action: int) -> bytes:
    return struct.pack("HBBI", 0x06, 0, 0, action)
