"""`reconciler events`: what happened, the oldest first; with --since further back than the server keeps Events."""

import argparse
import sys
from typing import Any

from reconciler.cli import connection as connections
from reconciler.cli import moments, tables


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", metavar="KIND/NAME | KIND NAME", help="only those about one object")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    moments.add_option(parser, "--since", "what was written after it, that which has expired too")
    connections.add_options(parser, namespace=True)


def run(arguments: argparse.Namespace) -> int:
    server = connections.Connection(arguments)
    about = connections.target(server, arguments.what) if arguments.what else None
    found = _found(server, arguments.since)
    if about is not None:
        kind, name = about
        found = [one for one in found if _regarding(one).get("kind") == kind.kind and _regarding(one).get("name") == name]
    if not arguments.all_namespaces and not (about is not None and not about[0].namespaced):
        found = [one for one in found if one["metadata"].get("namespace") == (arguments.namespace or "default")]
    if not found:
        print("No events found" + ("" if arguments.all_namespaces else "; -A looks in all namespaces"), file=sys.stderr)
        return 0
    sys.stdout.write(render(found, with_namespace=arguments.all_namespaces))
    return 0


def last_seen(event: dict[str, Any]) -> str:
    """RFC 3339, of either form of Event."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def render(events: list[dict[str, Any]], *, with_namespace: bool) -> str:
    rows = [["LAST SEEN", "TYPE", "REASON", "COUNT", "OBJECT", "MESSAGE"]]
    for event in sorted(events, key=last_seen):
        about = _regarding(event)
        count = str(event.get("count") or event.get("deprecatedCount") or (event.get("series") or {}).get("count") or 1)
        named = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
        text = str(event.get("message") or event.get("note") or "").strip()
        rows.append([last_seen(event)[:19], event.get("type", ""), event.get("reason", ""), count, named, text])
    if with_namespace:
        names = ["NAMESPACE", *(str(event["metadata"].get("namespace", "")) for event in sorted(events, key=last_seen))]
        rows = [[name, *row] for name, row in zip(names, rows, strict=True)]
    return tables.render(rows)


def _found(server: connections.Connection, since: str | None) -> list[dict[str, Any]]:
    if since is None:
        return list(server.json("/api/v1/events")["items"])
    answer = server.json(f"/reconciler/past/events/{moments.revision(server, since)}")
    if answer["more"]:
        print(f"{answer['more']} older events are left out", file=sys.stderr)
    return list(answer["items"])


def _regarding(event: dict[str, Any]) -> dict[str, Any]:
    return dict(event.get("involvedObject") or event.get("regarding") or {})
