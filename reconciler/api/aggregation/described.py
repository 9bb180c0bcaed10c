"""What older clients read of an external server's kinds: OpenAPI v2, out of the v3 document that it publishes. Pure.

The document is a stranger's: of each schema only what is well formed is kept. Definitions that are known here already
(metadata above all) stay this server's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.api.aggregation.documents import Served

DEPTH_MOST = 64
PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")
_TEXTS = ("description", "format", "title", "type")


def merged(own: Mapping[str, Any], served: Sequence[Served]) -> dict[str, Any]:
    """An OpenAPI v2 document with the kinds of external servers."""
    definitions: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for one in served:
        definitions |= {str(name): _schema(schema, 0) for name, schema in one.schemas.items()}
        paths |= dict(_paths(one))
    return {**own, "definitions": {**definitions, **own["definitions"]}, "paths": {**paths, **own["paths"]}}


def schemas(document: Any) -> Mapping[str, Any]:
    """The schemas of an OpenAPI v3 document; none where it holds none."""
    for name in ("components", "schemas"):
        document = document.get(name) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def _schema(given: Any, depth: int) -> dict[str, Any]:
    if not isinstance(given, Mapping) or depth > DEPTH_MOST:
        return {}
    made: dict[str, Any] = {name: given[name] for name in _TEXTS if isinstance(given.get(name), str)}
    made |= {name: value for name, value in given.items() if isinstance(name, str) and name.startswith("x-kubernetes-")}
    if (reference := _reference(given)) is not None:
        made["$ref"] = f"#/definitions/{reference}"
    if isinstance(given.get("required"), list):
        made["required"] = [name for name in given["required"] if isinstance(name, str)]
    if isinstance(given.get("properties"), Mapping):
        made["properties"] = {str(name): _schema(below, depth + 1) for name, below in given["properties"].items()}
    if isinstance(given.get("items"), Mapping):
        made["items"] = _schema(given["items"], depth + 1)
    if isinstance(more := given.get("additionalProperties"), Mapping):
        made["additionalProperties"] = _schema(more, depth + 1)
    return made


def _reference(given: Mapping[str, Any]) -> str | None:
    """The definition that a schema points to, in v3 often in an allOf of its own beside a default."""
    parts = given.get("allOf")
    inner = parts[0] if isinstance(parts, list) and len(parts) == 1 else given
    found = inner.get("$ref") if isinstance(inner, Mapping) else None
    return found.rpartition("/")[2] if isinstance(found, str) else None


def _paths(one: Served) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where a PATCH says that it knows dry runs and validation, for which clients look."""
    listed = one.resources.get("resources")
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, Mapping) or "patch" not in (entry.get("verbs") or ()) or "/" in str(entry.get("name", "")):
            continue
        namespace = "/namespaces/{namespace}" if entry.get("namespaced") else ""
        patch = {
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": {"group": one.group, "kind": str(entry.get("kind", "")), "version": one.version},
            "parameters": [{"name": name, "in": "query", "type": "string", "uniqueItems": True} for name in PARAMETERS],
            "responses": {"200": {"description": "OK"}},
        }
        yield f"/apis/{one.group}/{one.version}{namespace}/{entry.get('name', '')}/{{name}}", {"patch": patch}
