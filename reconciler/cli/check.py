"""`reconciler check`: every problem of a folder's documents with its place, without a server.

Exit code 0 when there is none, 1 when there are some, for continuous integration.
"""

import argparse
import pathlib
import sys

from reconciler.cli import main


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")


def run(arguments: argparse.Namespace) -> int:
    from reconciler.foresight import check

    if not arguments.folder.is_dir():
        raise main.Refused(f"{arguments.folder}: not a folder")
    found = check.check(arguments.folder)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    print(f"{found.documents} documents, {len(found.problems)} problems")
    return 1 if found.problems else 0
