"""`reconciler describe`: one object in full, its events, and the line that it came from."""

import argparse
import sys
import urllib.parse
from typing import Any

from reconciler.cli import connection as connections
from reconciler.cli import documents, tables, why


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="+", metavar="KIND/NAME | KIND NAME")
    connections.add_options(parser, namespace=True)


def run(arguments: argparse.Namespace) -> int:
    server = connections.Connection(arguments)
    resource, name = connections.target(server, arguments.what)
    namespace = (arguments.namespace or "default") if resource.namespaced else ""
    obj = server.json(resource.path(namespace, name))
    obj["metadata"].pop("managedFields", None)
    sys.stdout.write(documents.dump(obj))
    sys.stdout.write("\nCaused by:\n" + why.render(server.json(why.path_of(resource.id, namespace, name))))
    events = _events(server, obj)
    sys.stdout.write("\nEvents:" + ("\n" + events if events else " <none>\n"))
    return 0


def _events(server: connections.Connection, obj: dict[str, Any]) -> str:
    query = urllib.parse.urlencode({"fieldSelector": f"involvedObject.uid={obj['metadata'].get('uid', '')}"})
    namespace = obj["metadata"].get("namespace") or "default"
    found = server.json(f"/api/v1/namespaces/{urllib.parse.quote(namespace, safe='')}/events?{query}")["items"]
    if not found:
        return ""
    found.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    rows = [["TYPE", "REASON", "COUNT", "LAST SEEN", "MESSAGE"]]
    for event in found:
        last = event.get("lastTimestamp") or event.get("eventTime") or ""
        rows.append([event.get("type", ""), event.get("reason", ""), str(event.get("count") or 1), last, event.get("message", "")])
    return tables.render([["  " + row[0], *row[1:]] for row in rows])
