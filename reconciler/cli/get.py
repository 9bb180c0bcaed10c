"""`reconciler get`: tables, YAML or JSON of objects, once or as they change."""

import argparse
import json
import sys
import urllib.parse
from typing import Any

from reconciler.cli import connection as connections
from reconciler.cli import documents, main, moments, tables

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="+", metavar="KIND[,KIND] [NAME...] | KIND/NAME")
    parser.add_argument("-o", "--output", choices=("wide", "yaml", "json", "name"), default="")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("-l", "--selector", default="", help="label selector")
    parser.add_argument("-w", "--watch", action="store_true", help="go on printing what changes")
    moments.add_option(parser)
    connections.add_options(parser, namespace=True)


def run(arguments: argparse.Namespace) -> int:
    server = connections.Connection(arguments)
    namespace = None if arguments.all_namespaces else arguments.namespace or "default"
    kinds, names = _wanted(arguments.what)
    if arguments.at and arguments.watch:
        raise main.Refused("--at looks back and --watch ahead: choose one")
    arguments.revision = moments.revision(server, arguments.at) if arguments.at else 0
    chosen = [resource for word in kinds for resource in connections.resources(server, word)]
    if arguments.output in ("yaml", "json", "name"):
        return _objects(server, chosen, names, namespace, arguments)
    printed = 0
    for resource in chosen:
        for path in _paths(resource, names, namespace, arguments):
            table = server.json(path, accept=TABLE)
            printed += _print_table(table, resource, arguments, prefix=len(chosen) > 1, first=printed == 0)
    if not printed and not arguments.watch:
        print("No resources found" + (f" in {namespace} namespace." if namespace else "."), file=sys.stderr)
    if arguments.watch:
        _watch(server, chosen[0], names, namespace, arguments)
    return 0


def _wanted(words: list[str]) -> tuple[list[str], list[str]]:
    if "/" in words[0]:
        kind = words[0].partition("/")[0]
        if any(word.partition("/")[0] != kind for word in words):
            raise main.Refused("objects of one kind at a time, please")
        return [kind], [word.partition("/")[2] for word in words]
    return words[0].split(","), words[1:]


def _paths(resource: connections.Resource, names: list[str], namespace: str | None, arguments: argparse.Namespace) -> list[str]:
    if arguments.revision:
        return [past_path(resource, namespace, arguments.revision, name, arguments.selector) for name in names or [""]]
    query = "?" + urllib.parse.urlencode({"labelSelector": arguments.selector}) if arguments.selector else ""
    return [resource.path(namespace, name) for name in names] or [resource.path(namespace) + query]


def past_path(resource: connections.Resource, namespace: str | None, revision: int, name: str = "", selector: str = "") -> str:
    """Where the objects are as they were at a revision: single ones, too, are listed."""
    query = {"resourceVersion": str(revision), "resourceVersionMatch": "Exact", "labelSelector": selector}
    query["fieldSelector"] = f"metadata.name={name}" if name else ""
    return resource.path(namespace) + "?" + urllib.parse.urlencode({key: value for key, value in query.items() if value})


def past(listing: dict[str, Any], resource: connections.Resource) -> list[dict[str, Any]]:
    """The items of a list, which do not say what they are."""
    version = f"{resource.group}/{resource.version}" if resource.group else resource.version
    return [{"apiVersion": version, "kind": resource.kind, **item} for item in listing["items"]]


def _print_table(table: dict[str, Any], resource: connections.Resource, arguments: argparse.Namespace, *, prefix: bool, first: bool) -> int:
    chosen = tables.columns(table, wide=arguments.output == "wide")
    rows = tables.cells(table, chosen)
    if not rows:
        return 0
    heads = tables.headers(table, chosen)
    if prefix:
        for row in rows:
            row[0] = f"{resource.kind.lower()}{'.' + resource.group if resource.group else ''}/{row[0]}"
    if arguments.all_namespaces and resource.namespaced:
        heads.insert(0, "NAMESPACE")
        for row, source in zip(rows, table["rows"], strict=True):
            row.insert(0, source["object"]["metadata"].get("namespace", ""))
    sys.stdout.write(("" if first else "\n") + tables.render([heads, *rows]))
    return len(rows)


def _objects(
    server: connections.Connection,
    chosen: list[connections.Resource],
    names: list[str],
    namespace: str | None,
    arguments: argparse.Namespace,
) -> int:
    found: list[dict[str, Any]] = []
    for resource in chosen:
        for path in _paths(resource, names, namespace, arguments):
            answer = server.json(path)
            items = past(answer, resource) if arguments.revision else answer.get("items", [answer])
            found += items
            if arguments.output == "name":
                for obj in items:
                    print(f"{resource.kind.lower()}{'.' + resource.group if resource.group else ''}/{obj['metadata']['name']}")
    if arguments.output == "name":
        return 0
    body = found[0] if len(found) == 1 and names else {"apiVersion": "v1", "kind": "List", "items": found}
    sys.stdout.write(json.dumps(body, indent=4) + "\n" if arguments.output == "json" else documents.dump(body))
    return 0


def _watch(
    server: connections.Connection, resource: connections.Resource, names: list[str], namespace: str | None, arguments: argparse.Namespace
) -> None:
    query = {"watch": "true", "labelSelector": arguments.selector, "fieldSelector": f"metadata.name={names[0]}" if names else ""}
    path = resource.path(namespace) + "?" + urllib.parse.urlencode({key: value for key, value in query.items() if value})
    known: dict[str, Any] = {}
    for line in server.lines(path, accept=TABLE):
        event = json.loads(line)
        if event["type"] == "ERROR":
            raise main.Refused(event["object"].get("message", "the watch ended"))
        table = event["object"]
        known = {"columnDefinitions": table.get("columnDefinitions") or known.get("columnDefinitions", [])}
        sys.stdout.write(tables.render(tables.cells({**known, **table}, tables.columns(known, wide=arguments.output == "wide"))))
        sys.stdout.flush()
