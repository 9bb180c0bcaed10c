"""`reconciler why`: from a pod, any object or a PID back to the file and line that caused it, or forward to what it caused."""

import argparse
import re
import sys
import urllib.parse
from typing import Any

from reconciler.cli import connection as connections
from reconciler.cli import main, moments

SHORT = 12  # letters of a commit's hash in provenance
LEAST_ID = 12  # letters of a container's ID, so that it is no PID
_CONTAINER = re.compile(r"([a-z-]+://)?[0-9a-f]{12,}")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", metavar="KIND/NAME | PID | CONTAINER-ID")
    parser.add_argument("--commit", metavar="HASH", help="what a commit of a followed folder caused")
    parser.add_argument("--effects", action="store_true", help="what the object's making and last change caused, instead of why")
    moments.add_option(parser)
    connections.add_options(parser, namespace=True)


def run(arguments: argparse.Namespace) -> int:
    if bool(arguments.what) == bool(arguments.commit):
        raise main.Refused("name an object, a PID, or a commit with --commit")
    if arguments.at and (arguments.commit or arguments.effects or _inside(" ".join(arguments.what))):
        raise main.Refused("--at goes with the cause of an object")
    server = connections.Connection(arguments)
    if arguments.commit:
        commit = arguments.commit[:SHORT]
        sys.stdout.write(render_effects(server.json(f"/reconciler/past/caused/commit/{urllib.parse.quote(commit, safe='')}")))
        return 0
    if len(arguments.what) == 1 and (way := _inside(arguments.what[0])):
        sys.stdout.write(render(server.json(way)))
        return 0
    resource, name = connections.target(server, arguments.what)
    namespace = (arguments.namespace or "default") if resource.namespaced else ""
    if arguments.effects:
        sys.stdout.write(render_effects(server.json("/reconciler/past/caused/object/" + _place(resource.id, namespace, name))))
        return 0
    revision = moments.revision(server, arguments.at) if arguments.at else 0
    sys.stdout.write(render(server.json(path_of(resource.id, namespace, name, revision))))
    return 0


def _inside(word: str) -> str:
    """The server's path for a process or a container; "" for any other word."""
    if word.isdecimal() and len(word) < LEAST_ID:
        return f"/reconciler/why/pid/{word}"
    return f"/reconciler/why/container/{word.rpartition('://')[2]}" if _CONTAINER.fullmatch(word) else ""


def path_of(kind: str, namespace: str, name: str, revision: int = 0) -> str:
    """The server's path for why an object is as it is, or was at a revision."""
    return (f"/reconciler/past/why/{revision}/" if revision else "/reconciler/why/object/") + _place(kind, namespace, name)


def _place(kind: str, namespace: str, name: str) -> str:
    """An object in a path; "-" stands for no namespace."""
    return "/".join(urllib.parse.quote(part, safe="") for part in (kind, namespace or "-", name))


def render(answer: dict[str, Any]) -> str:
    """Newest first, each cause indented under its effect."""
    lines = [f"process {answer['process']}"] if answer.get("process") else []
    depth = len(lines)
    for link in answer["links"]:
        lines.append(f"{'  ' * depth}{'└─ ' if depth else ''}{_line(link)}")
        depth += 1
    if not answer["links"]:
        lines.append("nothing is recorded of it")
    return "\n".join(lines) + "\n"


def render_effects(answer: dict[str, Any]) -> str:
    """Oldest first, each effect indented under what caused it; what lay between, such as a status, is left out."""
    if not answer["effects"]:
        return "nothing is recorded of it\n"
    lines = [f"from {answer['began']} to {answer['ended']}"] if answer["began"] else []
    below: dict[int, list[dict[str, Any]]] = {}
    known = {link["revision"] for link in answer["effects"]}
    roots = [link for link in answer["effects"] if link["cause"] not in known]
    for link in answer["effects"]:
        below.setdefault(link["cause"], []).append(link)
    waiting = [(link, 0) for link in reversed(roots)]
    while waiting:
        link, depth = waiting.pop()
        lines.append(f"{'  ' * depth}{'└─ ' if depth else ''}{_line(link)}")
        waiting += [(one, depth + 1) for one in reversed(below.get(link["revision"], []))]
    if answer["isCut"]:
        lines.append("and more")
    return "\n".join(lines) + "\n"


def _line(link: dict[str, Any]) -> str:
    source = f"  [{link['source']}]" if link.get("source") else ""
    reason = f": {link['why']}" if link.get("why") else ""
    return f"{link['object']} at revision {link['revision']} by {link['actor']}{reason}{source}"
