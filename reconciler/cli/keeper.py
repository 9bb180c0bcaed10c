"""`reconciler keeper`: upgrade the parent of all containers in place, ask what it holds, or end that."""

import argparse
import asyncio
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.cli import connection as connections
from reconciler.cli import down, main


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=("upgrade", "list", "stop"),
        help="upgrade: execute the installed version, keeping every child; list: its pods; stop: end them, without the daemon",
    )
    parser.add_argument("--data-dir", type=pathlib.Path, metavar="DIR", help="the data folder of the daemon")
    parser.add_argument("--config", type=pathlib.Path, metavar="FILE", help="the configuration that it was started with")
    down.configure_grace(parser)


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
        pods = asyncio.run(_ask(settings.run_dir, arguments.what, arguments.grace_period))
    except (client.Gone, OSError) as error:
        raise main.Refused(f"no keeper answers at {socket} ({error})") from error
    for pod in pods:
        print(pod["uid"], f"pid {pod['pid']}" if pod.get("pid") else "ended")
    return 0


async def _ask(run_dir: pathlib.Path, what: str, most_grace_seconds: float) -> Sequence[Mapping[str, Any]]:
    """The pods to print."""
    from reconciler.node.keeper import client, launch

    if what == "stop":
        await launch.end_pods(run_dir, "stop", most_grace_seconds)
        return ()
    answer = await client.request(run_dir / launch.SOCKET, what)
    return list(answer.get("pods", ()))
