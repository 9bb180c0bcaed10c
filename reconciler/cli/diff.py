"""`reconciler diff`: what applying a folder would change, judged by the server itself; or what changed since then.

Every document is applied as a dry run under the folder's own manager, so defaults, admission and other writers'
fields are taken into account; nothing is written. Exit code 0: nothing would change, 1: something would, 2: problems.
"""

import argparse
import json
import pathlib
import sys
import urllib.parse
from typing import TYPE_CHECKING, Any

from reconciler.cli import connection as connections
from reconciler.cli import main, moments

if TYPE_CHECKING:
    from reconciler.gitops import identity, load

MANAGER = "reconciler-gitops"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=pathlib.Path, metavar="FOLDER", help="default: the folder that the server follows")
    moments.add_option(parser, purpose="instead of a folder, what is otherwise now than it was then")
    connections.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from reconciler import kinds
    from reconciler.foresight import check

    server = connections.Connection(arguments)
    if arguments.at:
        return _since(server, arguments)
    folder = arguments.folder or _followed(server)
    if not folder.is_dir():
        raise main.Refused(f"{folder}: not a folder")
    found = check.read(folder)
    problems = [str(problem) for problem in found.problems]
    changes = 0
    for identity, document in found.documents.items():
        try:
            lines = _lines(server, kinds.builtin()[identity.kind], identity, document)
        except main.Refused as refusal:
            problems.append(f"{document.source}: {refusal}")
            continue
        changes += len(lines)
        sys.stdout.writelines(line + "\n" for line in lines)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2 if problems else 1 if changes else 0


def _since(server: connections.Connection, arguments: argparse.Namespace) -> int:
    from reconciler.gitops import diff

    if arguments.folder is not None:
        raise main.Refused("a folder is compared with what is there now: leave out one of the two")
    answer = server.json(f"/reconciler/past/changes/{moments.revision(server, arguments.at)}")
    changes = 0
    for one in answer["changes"]:
        shown = one["after"] or one["before"]
        place = "/".join(part for part in (shown["metadata"].get("namespace"), shown["metadata"]["name"]) if part)
        lines = diff.lines(f"{shown.get('kind', one['kind'])} {place}", one["before"], one["after"])
        changes += len(lines)
        sys.stdout.writelines(line + "\n" for line in lines)
    if answer["more"]:
        print(f"{answer['more']} more objects are otherwise", file=sys.stderr)
    return 1 if changes else 0


def _followed(server: connections.Connection) -> pathlib.Path:
    syncs = server.json("/reconciler/status")["syncs"]
    if not syncs:
        raise main.Refused("the server follows no folder; name one")
    return pathlib.Path(syncs[0]["path"])


def _lines(server: connections.Connection, kind: Any, identity: "identity.Identity", document: "load.Document") -> list[str]:
    from reconciler.gitops import diff

    api_version = str(document.body["apiVersion"])
    group, _, version = api_version.rpartition("/")
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    scope = f"/namespaces/{urllib.parse.quote(identity.namespace, safe='')}" if identity.namespace else ""
    path = f"{base}{scope}/{kind.plural}/{urllib.parse.quote(identity.name, safe='')}"
    title = f"{kind.kind} {'/'.join(part for part in identity[1:] if part)} ({document.source})"
    live = _live(server, path)
    query = urllib.parse.urlencode({"fieldManager": MANAGER, "force": "true", "dryRun": "All"})
    answer = server.ask("PATCH", f"{path}?{query}", dict(document.body), content_type="application/apply-patch+yaml")
    return diff.lines(title, live, json.loads(answer.read()))


def _live(server: connections.Connection, path: str) -> dict[str, Any] | None:
    try:
        return server.json(path)
    except main.NotFound:
        return None
