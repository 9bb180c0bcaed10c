"""A machine with a kernel of its own: Debian's, under qemu, so control groups are of version 2 and a boot is a boot."""

import os
import pathlib
import re
import subprocess

from tests.machine import tree

PACKAGES = "systemd-sysv,dbus,python3,nftables,iproute2,procps,kmod,udev,initramfs-tools,linux-image-cloud-amd64"
DISK_SIZE = "3G"
EMULATED = ["-accel", "tcg,thread=multi", "-cpu", "max,la57=off"]
VIRTUAL = ["-accel", "kvm", "-cpu", "host"]
PATIENCE = {  # an emulated processor takes minutes to start the daemon
    "etc/systemd/system/reconciler.service.d/patience.conf": "[Service]\nWatchdogSec=2min\nTimeoutStartSec=infinity\n",
    "etc/systemd/system/trial.service.d/patience.conf": "[Service]\nEnvironment=PATIENCE_SECONDS=1800\n",
}


def works() -> bool:
    """KVM with the processor's own virtualization; without it there may be a /dev/kvm on which no usual kernel starts."""
    flags = re.findall(r"\b(?:vmx|svm)\b", pathlib.Path("/proc/cpuinfo").read_text())
    return bool(flags) and os.access("/dev/kvm", os.W_OK)


class Machine:
    def __init__(self, folder: pathlib.Path) -> None:
        self._process: subprocess.Popen[str] | None = None
        files = {"etc/fstab": "/dev/vda / ext4 defaults 0 1\n"}
        if not works():
            files |= PATIENCE
        self._tree, self._disk = tree.build(folder, PACKAGES, files), folder / "disk.ext4"
        self._disk.unlink(missing_ok=True)
        tree.run("mkfs.ext4", "-q", "-d", self._tree, self._disk, DISK_SIZE)

    def start(self) -> "subprocess.Popen[str]":
        kernel, initrd = (sorted(self._tree.glob(f"boot/{name}-*"))[-1] for name in ("vmlinuz", "initrd.img"))
        command = ["qemu-system-x86_64", "-m", "2048", "-smp", "2", "-nographic", "-nic", "none", *(VIRTUAL if works() else EMULATED)]
        command += ["-kernel", str(kernel), "-initrd", str(initrd)]
        command += ["-append", "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off"]
        command += ["-drive", f"file={self._disk},format=raw,if=virtio"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")

        return self._process

    def cut_power(self) -> None:
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        self.cut_power()
        self._disk.unlink(missing_ok=True)
