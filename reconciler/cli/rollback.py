"""`reconciler rollback`: apply an earlier revision of a Sync, until its folder changes again."""

import argparse
import json
import sys
import urllib.parse

from reconciler.cli import connection as connections


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", nargs="?", type=int, default=0, metavar="REV", help="default: the last healthy one before the present")
    parser.add_argument("--sync", default="default", metavar="SYNC", help="default: the folder that the server was started with")
    connections.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    server = connections.Connection(arguments)
    path = f"/reconciler/rollback/{urllib.parse.quote(arguments.sync, safe='')}"
    answer = json.loads(server.ask("POST", path, {"revision": arguments.revision}).read())
    sys.stdout.write(f"revision {answer['revision']} of {arguments.sync} is applied until its folder changes\n")
    return 0
