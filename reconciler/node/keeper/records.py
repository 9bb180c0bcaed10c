"""What the keeper and its shims remember on disk, so that any of them may be killed.

    RUN_DIR/keeper.sock, keeper.lock
    RUN_DIR/pods/UID/pod.json                    what the pod is, written by the keeper before it forks
    RUN_DIR/pods/UID/shim.json, .sock, .lock     the shim's process; it holds the lock while it lives
    RUN_DIR/pods/UID/containers/NAME/N.start     attempt N was begun: written before its program can run
    RUN_DIR/pods/UID/containers/NAME/N.exit      attempt N ended

A process is named by boot, PID and start time, never by PID alone. Files appear whole (write, rename). Under one
boot the page cache survives every kill; only exit records are forced to disk. No environment is ever recorded.
"""

from __future__ import annotations

import fcntl
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def checked_name(name: str) -> str:
    """A pod uid or container name that is safe as a file name; raises ValueError."""
    if not 0 < len(name) <= 253 or name[0] == "." or not _NAME_CHARACTERS.issuperset(name):
        raise ValueError(f"{name!r} is not a name")
    return name


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 if it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in b"ZX" else int(fields[19])


def write(path: str, record: dict[str, Any]) -> None:
    temporary = f"{path}.{os.getpid()}.new"  # two may write the same
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(record).encode())
    finally:
        os.close(descriptor)
    os.rename(temporary, path)


def sync(path: str) -> None:
    """Force a record to disk. Apart from `write`, so that whoever waits for the news hears it first."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def read(path: str) -> dict[str, Any] | None:
    """The record, or None where there is none; a torn one (power loss) counts as none."""
    try:
        with open(path, "rb") as file:
            record = json.load(file)
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def lock(path: str) -> int:
    """The descriptor of an exclusive lock, held until it is closed; BlockingIOError while another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class PodFolder:
    """RUN_DIR/pods/UID."""

    def __init__(self, run_dir: str, uid: str) -> None:
        self.uid = checked_name(uid)
        self.path = os.path.join(run_dir, "pods", uid)

    def at(self, name: str) -> str:
        return os.path.join(self.path, name)

    def pod(self) -> dict[str, Any] | None:
        return read(self.at("pod.json"))

    def shim_pid(self, boot: str) -> int:
        """The living shim, or 0."""
        shim = read(self.at("shim.json"))
        if shim is None or shim["boot"] != boot or start_ticks(shim["pid"]) != shim["ticks"]:
            return 0
        return int(shim["pid"])

    def attempt(self, name: str, attempt: int) -> str:
        """The path of an attempt's records, without their suffix."""
        return os.path.join(self.path, "containers", checked_name(name), str(int(attempt)))

    def attempts(self) -> Iterator[tuple[str, int]]:
        """Every (container, attempt) that has a start record."""
        for name in _listed(self.at("containers")):
            for file in _listed(self.at(os.path.join("containers", name))):
                if file.endswith(".start"):
                    yield name, int(file.removesuffix(".start"))

    def container(self, name: str, attempt: int) -> dict[str, Any] | None:
        """Start and exit record of an attempt as one."""
        path = self.attempt(name, attempt)
        start = read(path + ".start")
        return None if start is None else {**start, **(read(path + ".exit") or {})}


def pods(run_dir: str) -> list[str]:
    return _listed(os.path.join(run_dir, "pods"))


def remove_tree(path: str) -> None:
    """Remove a folder and what is below it, on its own file system only and never through a symbolic link."""
    try:
        device = os.lstat(path).st_dev
    except FileNotFoundError:
        return
    _remove_below(path, device)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return


def _remove_below(path: str, device: int) -> None:
    with os.scandir(path) as entries:
        found = list(entries)
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
        elif entry.stat(follow_symlinks=False).st_dev == device:
            if not os.access(entry.path, os.R_OK | os.W_OK | os.X_OK):
                os.chmod(entry.path, 0o700)  # overlay's work folder has mode 0
            _remove_below(entry.path, device)
            os.rmdir(entry.path)


def _listed(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
