"""Everything that a server has, as foresight takes it: to continue from it elsewhere, without touching it."""

import pathlib
import urllib.parse
from collections.abc import Sequence
from typing import Any

from reconciler.cli import connection as connections

PAGE = 500
MADE_ANEW = frozenset({"Event", "Lease"})  # kinds that say what happened or who is alive

Objects = Sequence[tuple[str, dict[str, Any]]]  # (Kind.id, object in the version that the journal keeps)


def followed(server: connections.Connection) -> pathlib.Path | None:
    """The folder that the server follows."""
    syncs = server.json("/reconciler/status")["syncs"]
    return pathlib.Path(syncs[0]["path"]) if syncs else None


def objects(server: connections.Connection) -> Objects:
    """All objects of all kinds that can be listed."""
    from reconciler import kinds

    roster = kinds.builtin()
    found: list[tuple[str, dict[str, Any]]] = []
    for resource in connections.discovered(server):
        if resource.kind in MADE_ANEW or "list" not in resource.verbs:
            continue
        version = f"{resource.group}/{resource.version}" if resource.group else resource.version
        kind = roster.get(resource.id)
        for item in _items(server, resource.path(None)):
            obj = {**item, "apiVersion": version, "kind": resource.kind}
            if kind is not None:
                obj = dict(kind.version(resource.version).to_hub(obj))
            found.append((resource.id, obj))
    return found


def _items(server: connections.Connection, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    token = ""
    while True:
        page = server.json(f"{path}?limit={PAGE}" + (f"&continue={urllib.parse.quote(token)}" if token else ""))
        items += page["items"]
        token = page["metadata"].get("continue", "")
        if not token:
            return items
