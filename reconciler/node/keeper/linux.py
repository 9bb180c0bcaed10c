"""System calls that Python 3.11 has no name for. Every function raises OSError with the path it was about.

Only for processes with one thread: `clone` is a bare fork into new namespaces, and what follows it must not
need locks of other threads. Numbers above 423 are the same on every architecture.
"""

import ctypes
import os
import platform
import struct

CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
SIGCHLD = 17

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = 0x80000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_RESOLVE_IN_ROOT = 0x10
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
_SYS_CLONE, _SYS_PIVOT_ROOT = {"x86_64": (56, 155), "aarch64": (220, 41)}.get(platform.machine(), (-1, -1))
_CAPABILITY_VERSION_3 = 0x20080522

# PyDLL keeps the interpreter's lock over the call, so that a clone finds it held on both sides. Argument types are
# declared once: an object made for each argument of each call would cost every shim memory.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_INT, _LONG, _TEXT = ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p
_libc.unshare.argtypes = [_INT]
_libc.setns.argtypes = [_INT, _INT]
_libc.prctl.argtypes = [_INT, _LONG, _LONG, _LONG, _LONG]
_libc.mount.argtypes = [_TEXT, _TEXT, _TEXT, _LONG, _TEXT]
_libc.umount2.argtypes = [_TEXT, _INT]
_libc.capset.argtypes = [_TEXT, _TEXT]


def _checked(result: int, path: str = "") -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path or None)
    return result


def _call(number: int, *arguments: object, path: str = "") -> int:
    return _checked(_syscall(ctypes.c_long(number), *arguments), path)


def clone(flags: int) -> int:
    """Fork with new namespaces; 0 in the child. The child is a child of this process (of its parent with CLONE_PARENT)."""
    zero = ctypes.c_long(0)
    return _call(_SYS_CLONE, ctypes.c_long(flags | SIGCHLD), zero, zero, zero, zero)


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags))


def setns(fd: int, flags: int = 0) -> None:
    _checked(_libc.setns(fd, flags))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    _checked(_libc.mount(source.encode(), os.fsencode(target), kind.encode() or None, flags, data.encode() or None), target)


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    _checked(_libc.umount2(os.fsencode(target), flags), target)


def pivot_root(new: str, old: str) -> None:
    _call(_SYS_PIVOT_ROOT, os.fsencode(new), os.fsencode(old), path=new)


def open_inside(directory: str, path: str) -> int:
    """An O_PATH descriptor of `path` below `directory`, which no symbolic link on the way can leave."""
    parent = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
        return _call(_SYS_OPENAT2, ctypes.c_int(parent), os.fsencode(path), how, ctypes.c_size_t(len(how)), path=path)
    finally:
        os.close(parent)


def clone_tree(path: str, attributes: int = 0, propagation: int = 0, at: int = _AT_FDCWD) -> int:
    """A detached copy of the mounts at `path` (or of descriptor `at` with an empty path), with attributes set on all of them."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE | (_AT_EMPTY_PATH if not path else 0)
    tree = _call(_SYS_OPEN_TREE, ctypes.c_int(at), os.fsencode(path), ctypes.c_uint(flags), path=path)
    if attributes or propagation:
        change = struct.pack("QQQQ", attributes, 0, propagation, 0)
        where = ctypes.c_uint(_AT_EMPTY_PATH | _AT_RECURSIVE)
        try:
            _call(_SYS_MOUNT_SETATTR, ctypes.c_int(tree), b"", where, change, ctypes.c_size_t(len(change)), path=path)
        except OSError:
            os.close(tree)
            raise
    return tree


def attach_tree(tree: int, target: str) -> None:
    """Mount a detached tree at `target`."""
    flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _call(_SYS_MOVE_MOUNT, ctypes.c_int(tree), b"", ctypes.c_int(_AT_FDCWD), os.fsencode(target), flags, path=target)
    os.close(tree)


def prctl(option: int, second: int = 0, third: int = 0) -> None:
    _checked(_libc.prctl(option, second, third, 0, 0))


def set_capabilities(mask: int) -> None:
    """Permitted and effective capabilities become `mask`; nothing is inheritable or ambient."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    _checked(_libc.capset(header, struct.pack("6I", low, low, 0, high, high, 0)))


def install_seccomp(program: bytes) -> None:
    """Filter this process's system calls by a classic BPF program of 8-byte instructions."""
    instructions = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    address = ctypes.create_string_buffer(filter_, len(filter_))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(address))
