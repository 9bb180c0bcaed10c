"""A machine that shares this one's kernel: systemd as PID 1 of a container, with process numbers, network and mounts of its own.

Its control groups are below one of this machine's, of the version that this machine has, and go with the power as a
kernel's would. A power cut ends every process at once but leaves the kernel's page cache, so what it shows is that no
process has to end well.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

from tests.machine import tree

PACKAGES = "systemd-sysv,dbus,python3,nftables,iproute2,procps"
NAME = "reconciler-trial"
GROUPS = pathlib.Path("/sys/fs/cgroup")
END_ATTEMPTS, END_PAUSE_SECONDS = 300, 0.1
# nspawn mounts controllers of version 1 read-only. The machine is alone in its groups, so it may have them.
WRITABLE = """\
[Service]
ExecStartPre=/bin/sh -c 'for one in /sys/fs/cgroup /sys/fs/cgroup/*; do mountpoint -q $one && mount -o remount,bind,rw $one; done; true'
"""
# Enter the machine's groups, then become nspawn: $1... are the groups' folders up to "--".
ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'


class Machine:
    def __init__(self, folder: pathlib.Path) -> None:
        files = {"etc/systemd/system/reconciler-keeper.service.d/writable.conf": WRITABLE}
        self._tree = tree.build(folder, PACKAGES, files)
        self._groups = [base / NAME for base in _hierarchies()]

    def start(self) -> "subprocess.Popen[str]":
        self.cut_power()
        for group in self._groups:
            group.mkdir(exist_ok=True)
        command = ["systemd-nspawn", "--quiet", f"--directory={self._tree}", f"--machine={NAME}", "--boot", "--console=read-only"]
        command += ["--private-network", "--register=no", "--keep-unit", "--system-call-filter=@mount @sandbox setns unshare"]
        command += ["--capability=CAP_SYS_ADMIN,CAP_NET_ADMIN,CAP_SYS_PTRACE,CAP_SYS_RESOURCE", "--setenv=SYSTEMD_LOG_COLOR=no"]
        entered = ["/bin/sh", "-c", ENTER, "enter", *map(str, self._groups), "--", *command]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1"}
        return subprocess.Popen(
            entered,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def cut_power(self) -> None:
        """End every process at once: with PID 1 of their namespace the kernel kills all others. Returns when nothing is left."""
        for _ in range(END_ATTEMPTS):
            left = _processes(self._groups)
            if not left:
                self._forget_groups()
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(END_PAUSE_SECONDS)
        raise TimeoutError(f"processes do not end: {sorted(left)}")

    def close(self) -> None:
        self.cut_power()

    def _forget_groups(self) -> None:
        for group in self._groups:
            for folder in sorted(group.glob("**/"), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _hierarchies() -> list[pathlib.Path]:
    """Of version 2 the one; of version 1 all but cpuset, which wants to be told its processors first."""
    if (GROUPS / "cgroup.procs").exists():
        return [GROUPS]
    return [
        base for base in sorted(GROUPS.iterdir()) if base.name != "cpuset" and not base.is_symlink() and (base / "cgroup.procs").exists()
    ]


def _processes(groups: list[pathlib.Path]) -> set[int]:
    return {int(pid) for group in groups for file in group.glob("**/cgroup.procs") for pid in file.read_text().split()}
