"""OpenAPI from the roster and the build-time definitions: a v3 document per group and version, and one v2 document.

What kubectl needs of them: kinds by x-kubernetes-group-version-kind, their schemas, and which query parameters a
PATCH takes. A document's hash is part of its address, so that clients keep it until it changes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import orjson

from reconciler.api import openapi_protobuf, published
from reconciler.model.kind import Kind
from reconciler.model.roster import Roster

_TITLE = "Kubernetes"
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "pretty")
_METHODS = {"get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete", "list": "list"}


class OpenApi:
    """The documents of one roster."""

    def __init__(self, roster: Roster, definitions: Mapping[str, Mapping[str, Any]], version: str, enums: published.Enums) -> None:
        self._roster = roster
        self._definitions = definitions
        self._enums = enums
        self._version = version
        self._documents: dict[str, bytes] = {}

    @cached_property
    def index(self) -> dict[str, Any]:
        """/openapi/v3: every document's address with its hash."""
        paths = sorted({_path(kind.group, version.name) for kind in self._roster for version in kind.versions if version.served})
        found = {}
        for path in paths:
            document = self.document(path)
            assert document is not None
            digest = hashlib.sha512(document).hexdigest()[:128].upper()
            found[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": found}

    def document(self, path: str) -> bytes | None:
        """The v3 document of "api/v1" or "apis/GROUP/VERSION"."""
        if path not in self._documents:
            kinds = [
                (kind, version.name)
                for kind in self._roster
                for version in kind.versions
                if version.served and _path(kind.group, version.name) == path
            ]
            if not kinds:
                return None
            self._documents[path] = orjson.dumps(self._document(kinds))
        return self._documents[path]

    @cached_property
    def v2(self) -> bytes:
        """/openapi/v2: all definitions in one document, and of the paths what a PATCH takes."""
        wanted = self._closure(
            version.schema for kind in self._roster for version in kind.versions if version.served and isinstance(version.schema, str)
        )
        definitions = {name: self._schema(name) for name in wanted} | self._custom()
        text = orjson.dumps(definitions).replace(b"#/components/schemas/", b"#/definitions/")
        info = {"title": _TITLE, "version": f"v{self._version}"}
        paths = {
            path: item for kind in self._roster for version in kind.versions if version.served for path, item in _patch(kind, version.name)
        }
        document: bytes = orjson.dumps({"swagger": "2.0", "info": info, "paths": paths, "definitions": orjson.Fragment(text)})
        return document

    @cached_property
    def v2_protobuf(self) -> bytes:
        """The same for older clients, which read nothing else."""
        return openapi_protobuf.encode(orjson.loads(self.v2))

    def _custom(self) -> dict[str, Any]:
        """The schemas of custom resources."""
        served = [(kind, version) for kind in self._roster for version in kind.versions if version.served]
        return {
            _custom_name(kind, version.name): {
                **published.custom(version.schema, self._of_every_object, version_2=True),
                "x-kubernetes-group-version-kind": [_gvk(kind, version.name)],
            }
            for kind, version in served
            if not isinstance(version.schema, str)
        }

    @property
    def _of_every_object(self) -> dict[str, Any]:
        """apiVersion, kind and metadata, as every built-in kind describes them."""
        described = self._definitions["io.k8s.api.core.v1.ConfigMap"]["properties"]
        return {name: described[name] for name in ("apiVersion", "kind", "metadata")}

    def _document(self, kinds: list[tuple[Kind, str]]) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        roots = []
        schemas: dict[str, Any] = {}
        for kind, version in kinds:
            paths.update(_paths(kind, version))
            schema = kind.version(version).schema
            if isinstance(schema, str):
                roots.append(schema)
            else:
                shown = published.custom(schema, self._of_every_object)
                schemas[_custom_name(kind, version)] = {**shown, "x-kubernetes-group-version-kind": [_gvk(kind, version)]}
                roots += _references(self._of_every_object)
        schemas.update({name: published.definition(self._schema(name)) for name in self._closure(roots)})
        info = {"title": _TITLE, "version": f"v{self._version}"}
        return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}

    def _schema(self, name: str) -> Mapping[str, Any]:
        """A definition with the values of its fields, marked with the kinds that it is the schema of."""
        marks = [
            _gvk(kind, version.name) for kind in self._roster for version in kind.versions if version.served and version.schema == name
        ]
        schema = published.with_values(self._definitions[name], self._enums.get(name, {}))
        return {**schema, "x-kubernetes-group-version-kind": marks} if marks else schema

    def _closure(self, names: Iterable[Any]) -> list[str]:
        """Definitions and all they refer to."""
        found: dict[str, None] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found and name in self._definitions:
                found[name] = None
                waiting += _references(self._definitions[name])
        return sorted(found)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for item in schema for name in _references(item)]
    if not isinstance(schema, Mapping):
        return []
    own = [str(schema["$ref"]).rsplit("/", 1)[1]] if isinstance(schema.get("$ref"), str) else []
    return own + [name for value in schema.values() for name in _references(value)]


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _gvk(kind: Kind, version: str) -> dict[str, str]:
    return {"group": kind.group, "kind": kind.kind, "version": version}


def _custom_name(kind: Kind, version: str) -> str:
    return ".".join([*reversed(kind.group.split(".")), version, kind.kind])


def _patch(kind: Kind, version: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The path of v2 by which older clients learn that a kind may be written in a dry run."""
    if "patch" in kind.verbs:
        parameters = [{"name": name, "in": "query", "type": "string", "uniqueItems": True} for name in _PARAMETERS]
        operation = {
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": _gvk(kind, version),
            "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
        }
        namespace = "/namespaces/{namespace}" if kind.namespaced else ""
        yield f"/{_path(kind.group, version)}{namespace}/{kind.plural}/{{name}}", {"patch": operation}


def _paths(kind: Kind, version: str) -> dict[str, Any]:
    base = f"/{_path(kind.group, version)}"
    collection = f"{base}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"
    paths: dict[str, Any] = {
        collection: _operations(kind, version, [verb for verb in ("list", "create") if verb in kind.verbs]),
        f"{collection}/{{name}}": _operations(kind, version, [verb for verb in ("get", "update", "patch", "delete") if verb in kind.verbs]),
    }
    if kind.namespaced and "list" in kind.verbs:
        paths[f"{base}/{kind.plural}"] = _operations(kind, version, ["list"])
    for sub in kind.subresources:
        verbs = [verb for verb in ("get", "create", "update", "patch", "delete") if verb in sub.verbs]
        paths[f"{collection}/{{name}}/{sub.name}"] = _operations(kind, version, verbs)
    return paths


def _operations(kind: Kind, version: str, verbs: Iterable[str]) -> dict[str, Any]:
    schema = kind.version(version).schema
    name = schema if isinstance(schema, str) else _custom_name(kind, version)
    reference = {"$ref": f"#/components/schemas/{name}"}
    made = {}
    for verb in verbs:
        method = "get" if verb == "list" else _METHODS[verb]
        operation: dict[str, Any] = {
            "x-kubernetes-action": verb if verb != "create" else "post",
            "x-kubernetes-group-version-kind": _gvk(kind, version),
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        }
        if verb in ("create", "update", "patch", "delete"):
            operation["parameters"] = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _PARAMETERS]
        made[method] = operation
    return made
