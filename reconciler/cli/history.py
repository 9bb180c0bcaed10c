"""`reconciler history`: what a Sync applied, revision by revision, with commit, author and outcome."""

import argparse
import json
import sys
import urllib.parse
from typing import Any

from reconciler.cli import connection as connections
from reconciler.cli import tables

SHORT = 12  # letters of a commit's hash


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sync", nargs="?", default="default", metavar="SYNC", help="default: the folder that the server was started with")
    parser.add_argument("-o", "--output", choices=("text", "wide", "json"), default="text", help="wide: with what each revision changed")
    connections.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    answer = connections.Connection(arguments).json(f"/reconciler/history/{urllib.parse.quote(arguments.sync, safe='')}")
    if arguments.output == "json":
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    else:
        sys.stdout.write(render(answer["revisions"], with_changes=arguments.output == "wide"))
    return 0


def render(revisions: list[dict[str, Any]], *, with_changes: bool) -> str:
    rows = [["REVISION", "TIME", "COMMIT", "AUTHOR", "OUTCOME", "SUBJECT"]]
    for one in revisions:
        outcome = f"{one['outcome']}: {one['message']}" if one["message"] else one["outcome"]
        rows.append([str(one["number"]), one["time"], one["commit"][:SHORT], one["author"], outcome, one["subject"]])
    if not with_changes:
        return tables.render(rows)
    head, *lines = tables.render(rows).splitlines(keepends=True)
    shown = [line + "".join(f"    {change}\n" for change in one["changes"]) for line, one in zip(lines, revisions, strict=True)]
    return head + "".join(shown)
