"""`reconciler plan`: what a change would do, before it is made.

The folder, or one of its commits, is applied in a world of its own that starts from what runs now, or from nothing:
the real controllers and scheduler on a virtual clock, with simulated nodes. Nothing is started or written.

Exit codes: 0 nothing would change, 1 no answer, 2 something would change, 3 and something would be wrong afterwards
(a document is refused, a pod fits nowhere, an object does not become healthy).
"""

import argparse
import contextlib
import os
import pathlib
import sys
import time
from typing import TYPE_CHECKING

from reconciler.cli import connection as connections
from reconciler.cli import live, main

if TYPE_CHECKING:
    from reconciler.foresight import forecast

RUNNING = "RUNNING"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wanted", metavar="FOLDER|REV", help="the folder, or a commit of the folder that is followed")
    parser.add_argument("--against", default=RUNNING, metavar="RUNNING|FOLDER|REV", help="what there is before (default: what runs now)")
    parser.add_argument("-o", "--output", choices=("text", "json", "markdown"), default="text")
    parser.add_argument("--nodes", type=int, default=3, metavar="N", help="simulated nodes where nothing runs yet (default: 3)")
    parser.add_argument("--horizon", type=float, default=900.0, metavar="SECONDS", help="how far to look ahead at most (default: 900)")
    parser.add_argument("--seed", type=int, default=0, help="of names and ties; the same seed gives the same plan")
    connections.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from reconciler.foresight import forecast, report, revision

    try:
        with contextlib.ExitStack() as stack:
            found = forecast.forecast(_question(arguments, stack))
    except revision.NoSuchRevision as error:
        raise main.Refused(str(error)) from error
    print_as = {"text": report.text, "json": report.as_json, "markdown": report.markdown}[arguments.output]
    sys.stdout.write(print_as(found))
    if not found.works:
        return 3
    return 2 if found.changes_anything else 0


def _question(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> "forecast.Question":
    from reconciler.foresight import forecast, world

    followed = pathlib.Path()
    objects: live.Objects = ()
    if arguments.against == RUNNING:
        server = connections.Connection(arguments)
        followed = live.followed(server) or followed
        objects = live.objects(server)
    folder = _folder(arguments.wanted, followed, stack)
    before = None if arguments.against == RUNNING else _folder(arguments.against, followed, stack)
    has_nodes = any(kind == "nodes" for kind, _ in objects)
    beginning = world.Beginning(now=time.time(), objects=objects, nodes=0 if has_nodes else arguments.nodes, seed=arguments.seed)
    return forecast.Question(beginning=beginning, folder=folder, before=before, horizon_seconds=arguments.horizon)


def _folder(word: str, followed: pathlib.Path, stack: contextlib.ExitStack) -> pathlib.Path:
    """The folder of that name, else the followed folder at that commit."""
    from reconciler.foresight import revision

    if os.path.isdir(word):
        return pathlib.Path(word).absolute()
    return stack.enter_context(revision.checked_out(followed, word))
