"""`reconciler why`: from a pod, any object or a PID back to the file and line that caused it."""

import argparse
import sys
import urllib.parse
from typing import Any

from reconciler.cli import connection as connections


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="+", metavar="KIND/NAME | PID")
    connections.add_options(parser, namespace=True)


def run(arguments: argparse.Namespace) -> int:
    server = connections.Connection(arguments)
    if len(arguments.what) == 1 and arguments.what[0].isdecimal():
        path = f"/reconciler/why/pid/{arguments.what[0]}"
    else:
        resource, name = connections.target(server, arguments.what)
        path = path_of(resource.id, (arguments.namespace or "default") if resource.namespaced else "", name)
    sys.stdout.write(render(server.json(path)))
    return 0


def path_of(kind: str, namespace: str, name: str) -> str:
    """The server's path for an object; "-" stands for no namespace."""
    parts = (kind, namespace or "-", name)
    return "/reconciler/why/object/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)


def render(answer: dict[str, Any]) -> str:
    """Newest first, each cause indented under its effect."""
    lines = [f"process {answer['process']}"] if answer.get("process") else []
    depth = len(lines)
    for link in answer["links"]:
        source = f"  [{link['source']}]" if link.get("source") else ""
        reason = f": {link['why']}" if link.get("why") else ""
        lines.append(
            f"{'  ' * depth}{'└─ ' if depth else ''}{link['object']} at revision {link['revision']} by {link['actor']}{reason}{source}"
        )
        depth += 1
    if not answer["links"]:
        lines.append("nothing is recorded of it")
    return "\n".join(lines) + "\n"
