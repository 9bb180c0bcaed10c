"""`reconciler snapshot`: a consistent copy of the journal while it is in use."""

import argparse
import pathlib

from reconciler.cli import connection as connections


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=pathlib.Path, metavar="FILE", help="where to write it, on the server's machine; it must not exist")
    connections.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    server = connections.Connection(arguments)
    server.ask("POST", "/reconciler/snapshot", {"path": str(arguments.file.absolute())}).read()
    print(f"{arguments.file}: written")
    return 0
