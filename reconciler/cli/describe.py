"""`reconciler describe`: one object in full, its events, and the line that it came from."""

import argparse
import sys
import urllib.parse
from typing import Any

from reconciler.cli import connection as connections
from reconciler.cli import documents, events, get, main, moments, why


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="+", metavar="KIND/NAME | KIND NAME")
    moments.add_option(parser)
    connections.add_options(parser, namespace=True)


def run(arguments: argparse.Namespace) -> int:
    server = connections.Connection(arguments)
    resource, name = connections.target(server, arguments.what)
    namespace = (arguments.namespace or "default") if resource.namespaced else ""
    revision = moments.revision(server, arguments.at) if arguments.at else 0
    obj = _object(server, resource, namespace, name, revision)
    obj["metadata"].pop("managedFields", None)
    sys.stdout.write(documents.dump(obj))
    sys.stdout.write("\nCaused by:\n" + why.render(server.json(why.path_of(resource.id, namespace, name, revision))))
    found = _events(server, obj, revision)
    sys.stdout.write("\nEvents:" + ("\n" + events.render(found, with_namespace=False) if found else " <none>\n"))
    return 0


def _object(server: connections.Connection, resource: connections.Resource, namespace: str, name: str, revision: int) -> dict[str, Any]:
    if not revision:
        return server.json(resource.path(namespace, name))
    found = get.past(server.json(get.past_path(resource, namespace, revision, name)), resource)
    if not found:
        raise main.NotFound(f'{resource.plural} "{name}" did not exist at revision {revision}')
    return found[0]


def _events(server: connections.Connection, obj: dict[str, Any], revision: int) -> list[dict[str, Any]]:
    query = {"fieldSelector": f"involvedObject.uid={obj['metadata'].get('uid', '')}"}
    if revision:
        query |= {"resourceVersion": str(revision), "resourceVersionMatch": "Exact"}
    namespace = urllib.parse.quote(obj["metadata"].get("namespace") or "default", safe="")
    return list(server.json(f"/api/v1/namespaces/{namespace}/events?{urllib.parse.urlencode(query)}")["items"])
