"""Debian with the project installed as a package would install it, in a folder: what a machine of the trial starts from.

Debian's part is made once and kept (FOLDER/debian); the tree of a run is a copy of it, so no run sees another's state.
"""

import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping

ROOT = pathlib.Path(__file__).parents[2]
SUITE = "bookworm"
COMMAND = "#!/usr/bin/python3\nimport sys\nfrom reconciler.cli.main import main\nsys.exit(main())\n"
TRIAL = """\
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
# A Service's address is reached from the machine itself only where it has a route to anywhere.
UPLINK = """\
[Unit]
Before=network-online.target reconciler.service
[Service]
Type=oneshot
ExecStart=/sbin/ip link add uplink type veth peer name outside
ExecStart=/sbin/ip address add 192.0.2.2/24 dev uplink
ExecStart=/sbin/ip link set uplink up
ExecStart=/sbin/ip link set outside up
ExecStart=/sbin/ip route add default via 192.0.2.1
[Install]
WantedBy=multi-user.target
"""
FILES = {
    "usr/bin/reconciler": COMMAND,
    "etc/hostname": "trial\n",
    "etc/reconciler/config.yaml": "folder: /srv/cluster\ndataDir: /var/lib/reconciler\npodPidsLimit: 200\nevictionHard: {}\n",
    "etc/systemd/system/trial.service": TRIAL,
    "etc/systemd/system/uplink.service": UPLINK,
}
ENABLED = ("uplink", "reconciler-keeper", "reconciler", "trial")


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


def build(folder: pathlib.Path, packages: str, files: Mapping[str, str]) -> pathlib.Path:
    debian, tree = folder / "debian", folder / "tree"
    made = folder / "debian.packages"
    if not made.exists() or made.read_text() != packages:
        shutil.rmtree(debian, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={packages}", SUITE, debian)
        made.write_text(packages)
    shutil.rmtree(tree, ignore_errors=True)
    run("cp", "-a", debian, tree)
    run(sys.executable, "-m", "pip", "install", "-qq", "--target", tree / "usr/lib/python3/dist-packages", ROOT)
    for name, text in {**FILES, **files}.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tree / "usr/bin/reconciler").chmod(0o755)
    shutil.copy(pathlib.Path(__file__).with_name("trial.py"), tree / "root")
    shutil.copytree(ROOT / "examples/cluster-repo", tree / "srv/cluster")
    for manifest in (tree / "srv/cluster").rglob("*.yaml"):  # where a processor is emulated no answer comes within a second
        manifest.write_text(re.sub(r"^( +)periodSeconds: .*$", r"\g<0>\n\1timeoutSeconds: 60", manifest.read_text(), flags=re.M))
    for unit in ROOT.glob("systemd/*.service"):
        shutil.copy(unit, tree / "usr/lib/systemd/system")
    for kind in ("tmpfiles", "sysusers"):
        shutil.copy(ROOT / f"systemd/{kind}.conf", tree / f"usr/lib/{kind}.d/reconciler.conf")
    run("systemctl", f"--root={tree}", "enable", *ENABLED)
    return tree
