"""`reconciler keeper`: upgrade the parent of all containers in place, or ask what it holds."""

import argparse
import asyncio
import pathlib
import sys

from reconciler.cli import connection as connections
from reconciler.cli import main


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", choices=("upgrade", "list"), help="upgrade: execute the installed version, keeping every child; list: its pods"
    )
    parser.add_argument("--data-dir", type=pathlib.Path, metavar="DIR", help="the data folder of the daemon")
    parser.add_argument("--config", type=pathlib.Path, metavar="FILE", help="the configuration that it was started with")


def run(arguments: argparse.Namespace) -> int:
    from reconciler.daemon import config
    from reconciler.node.keeper import client, launch

    try:
        settings = config.load(arguments.config, {"data_dir": arguments.data_dir or connections.default_data_dir()})
    except config.ConfigError as error:
        print(f"reconciler keeper: {error}", file=sys.stderr)
        return 2
    socket = settings.run_dir / launch.SOCKET
    try:
        answer = asyncio.run(client.request(socket, arguments.what))
    except (client.Gone, OSError) as error:
        raise main.Refused(f"no keeper answers at {socket} ({error})") from error
    for pod in answer.get("pods", ()):
        print(pod["uid"], f"pid {pod['pid']}" if pod.get("pid") else "ended")
    return 0
