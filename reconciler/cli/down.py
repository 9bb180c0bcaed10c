"""`reconciler down`: stop the daemon, then every container, and leave no link, rule, mount or cgroup behind."""

import argparse
import os
import pathlib
import signal
import socket
import struct
import sys
import time

from reconciler.cli import connection as connections
from reconciler.cli import main

STOP_SECONDS = 30.0
MOST_GRACE_SECONDS = 60.0  # less than TimeoutStopSec of the keeper's unit


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=pathlib.Path, metavar="DIR", help="the data folder of the daemon")
    parser.add_argument("--config", type=pathlib.Path, metavar="FILE", help="the configuration that it was started with")
    configure_grace(parser)


def configure_grace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--grace-period",
        type=float,
        default=MOST_GRACE_SECONDS,
        metavar="SECONDS",
        help=f"the most that containers get between their stop signal and the kill (default: {MOST_GRACE_SECONDS:g})",
    )


def run(arguments: argparse.Namespace) -> int:
    from reconciler.daemon import config, teardown

    try:
        settings = config.load(arguments.config, {"data_dir": arguments.data_dir or connections.default_data_dir()})
    except config.ConfigError as error:
        print(f"reconciler down: {error}", file=sys.stderr)
        return 2
    _stop_daemon(settings.data_dir / "api.sock")
    stopped = teardown.run(settings, arguments.grace_period)
    print(f"stopped {stopped} pod{'' if stopped == 1 else 's'}")
    return 0


def _stop_daemon(path: pathlib.Path) -> None:
    """SIGTERM to whoever listens on the local socket; returns once it is gone."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.connect(str(path))
            pid, _, _ = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError:
        return  # no daemon runs
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while pathlib.Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
        if time.monotonic() > deadline:
            raise main.Refused(f"the daemon (PID {pid}) did not stop within {STOP_SECONDS:g} s; its containers run on")
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
