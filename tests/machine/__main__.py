"""Tries the systemd units on a machine of their own: Debian's kernel under qemu, control groups of version 2, real reboots.

    python -m tests.machine FOLDER [--kvm]      FOLDER keeps the tree and the disk; without --kvm the processor is emulated

Needs root, debootstrap, qemu-system-x86_64 and a Debian mirror, so it is no part of the suite. What is tried is
trial.py, which runs inside as a service, three boots long, and prints what it finds on the console.
"""

import pathlib
import shutil
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = "systemd-sysv,dbus,python3,nftables,iproute2,procps,kmod,udev,initramfs-tools,linux-image-cloud-amd64"
DISK_SIZE = "3G"
EMULATED = ["-accel", "tcg,thread=multi", "-cpu", "max"]
VIRTUAL = ["-accel", "kvm", "-cpu", "host"]
COMMAND = "#!/usr/bin/python3\nimport sys\nfrom reconciler.cli.main import main\nsys.exit(main())\n"
UNIT = """\
[Unit]
After=multi-user.target
[Service]
Type=exec
ExecStart=/usr/bin/python3 -u /root/trial.py
StandardOutput=journal+console
StandardError=journal+console
[Install]
WantedBy=default.target
"""
FILES = {
    "etc/hostname": "trial\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/reconciler/config.yaml": "folder: /srv/cluster\ndataDir: /var/lib/reconciler\n",
    "etc/systemd/system/trial.service": UNIT,
    "etc/systemd/system/reconciler.service.d/watchdog.conf": "[Service]\nWatchdogSec=2min\nTimeoutStartSec=infinity\n",
}
ENABLED = ("reconciler-keeper", "reconciler", "trial")


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


def build(tree: pathlib.Path) -> None:
    if not (tree / "boot").is_dir() or not list(tree.glob("boot/vmlinuz-*")):
        shutil.rmtree(tree, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", tree)
    packages = tree / "usr/lib/python3/dist-packages"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", packages, ROOT)
    for name, text in {"usr/bin/reconciler": COMMAND, **FILES}.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tree / "usr/bin/reconciler").chmod(0o755)
    (tree / "srv/cluster").mkdir(parents=True, exist_ok=True)
    shutil.copy(pathlib.Path(__file__).with_name("trial.py"), tree / "root")
    for unit in ROOT.glob("systemd/*.service"):
        shutil.copy(unit, tree / "etc/systemd/system")
    run("systemctl", f"--root={tree}", "enable", *ENABLED)


def boot(kind: list[str], tree: pathlib.Path, disk: pathlib.Path, console: pathlib.Path) -> str:
    """The console's text, once the machine has switched itself off."""
    kernel, initrd = (sorted(tree.glob(f"boot/{name}-*"))[-1] for name in ("vmlinuz", "initrd.img"))
    command = ["qemu-system-x86_64", "-m", "2048", "-smp", "2", "-nographic", "-nic", "none", *kind]
    command += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", "root=/dev/vda rw console=ttyS0 quiet panic=-1"]
    command += ["-drive", f"file={disk},format=raw,if=virtio"]
    output: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, "errors": "replace"}
    with console.open("w") as log, subprocess.Popen(command, **output) as machine:
        for line in machine.stdout or ():
            log.write(line)
            log.flush()
            if "trial:" in line:
                print(line.rstrip(), flush=True)
    return console.read_text()


def main(folder: pathlib.Path, kind: list[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    tree, disk = folder / "tree", folder / "disk.ext4"
    build(tree)
    disk.unlink(missing_ok=True)
    run("mkfs.ext4", "-q", "-d", tree, disk, DISK_SIZE)
    text = boot(kind, tree, disk, folder / "console.log")
    return 0 if "trial: all is well" in text and "trial: FAILED" not in text else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).absolute(), VIRTUAL if "--kvm" in sys.argv[2:] else EMULATED))
