"""patches, patchesStrategicMerge and patchesJson6902: what a patch says, whom it concerns, and its effect."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler import kinds
from reconciler.gitops import load
from reconciler.gitops.kustomize import merge, spec
from reconciler.gitops.kustomize.resource import Refused, Resource, Selection, identity, the_one
from reconciler.kit import yaml
from reconciler.model import errors, patch
from reconciler.model.schema import Node, Schemas


@dataclass(frozen=True, slots=True)
class Text:
    """A patch as written: in a file of its own, or within the kustomization file, whose field then is its place."""

    content: str
    path: str
    within: load.Document | None = None
    field: str = ""

    def problem(self, message: str, line: int = 0, column: int = 0) -> load.Problem:
        if self.within is not None:
            return self.within.problem(message, self.field)
        return load.Problem(self.path, line, column, message)

    def documents(self) -> Iterator[load.Document]:
        """Its values, each with its place. Raises Refused."""
        for chunk in yaml.split(self.content, words_are_text=True):
            try:
                if isinstance(chunk, yaml.Invalid):
                    raise chunk
                for skip, (place, value) in enumerate(yaml.build(chunk)):
                    yield load.Document(self.path, place[0], value, "", chunk, skip)
            except yaml.Invalid as error:
                raise Refused(self.problem(error.message, error.line, error.column)) from None


def apply(resources: list[Resource], text: Text, wanted: spec.Patch, schemas: Schemas) -> list[Resource]:
    """The resources after a patch, of either form; one may be gone. Raises Refused."""
    documents = list(text.documents())
    if not documents:
        raise Refused(text.problem("the patch is empty"))
    if isinstance(documents[0].body, list):
        return _operations(resources, text, documents[0], wanted)
    if wanted.target is not None and len(documents) > 1:
        raise Refused(text.problem("a patch with a target must be one document"))
    for document in documents:
        chosen = _chosen(resources, text, document, wanted)
        for resource in chosen:
            if _merge(resource, text, document, wanted.options, schemas):
                resources = [one for one in resources if one is not resource]
    return resources


def _chosen(resources: Sequence[Resource], text: Text, document: load.Document, wanted: spec.Patch) -> list[Resource]:
    body: Any = document.body
    named = isinstance(body, dict) and isinstance(body.get("metadata"), dict) and body["metadata"].get("name") and body.get("kind")
    if not named:
        raise Refused(
            _problem(text, document, "a strategic merge patch needs kind and metadata.name, a JSON patch is a list of operations")
        )
    if wanted.target is not None:
        return _selected(resources, text, wanted.target)
    try:
        found = the_one(resources, identity(body))
    except LookupError as error:
        raise Refused(_problem(text, document, str(error))) from None
    if found is None:
        raise Refused(_problem(text, document, f"there is no {identity(body)} in {body.get('apiVersion')} to be patched"))
    return [found]


def _selected(resources: Sequence[Resource], text: Text, target: spec.Selector) -> list[Resource]:
    try:
        selection = Selection(target)
    except ValueError as error:
        raise Refused(text.problem(str(error))) from None
    return [resource for resource in resources if selection.takes_resource(resource)]


def _merge(resource: Resource, text: Text, document: load.Document, options: spec.PatchOptions, schemas: Schemas) -> bool:
    """Merge a patch into a resource; True where that deletes it."""
    old = resource.body
    if options.allow_name_change or options.allow_kind_change:
        resource.remember()
    change = {**copy.deepcopy(document.body), "apiVersion": old["apiVersion"]}
    try:
        new = merge.merge(old, change, node_of(old, schemas))
    except merge.Malformed as error:
        raise Refused(_problem(text, document, str(error))) from None
    if new is merge.GONE or not new:
        return True
    metadata = dict(new.get("metadata") or {})
    for name in ("namespace",) if options.allow_name_change else ("name", "namespace"):
        metadata.pop(name, None)
        if name in old["metadata"]:
            metadata[name] = old["metadata"][name]
    resource.body = {**new, "metadata": metadata, "kind": new["kind"] if options.allow_kind_change else old["kind"]}
    return False


def _operations(resources: list[Resource], text: Text, document: load.Document, wanted: spec.Patch) -> list[Resource]:
    if wanted.target is None:
        raise Refused(text.problem("a JSON patch needs a target"))
    for resource in _selected(resources, text, wanted.target):
        resource.remember()
        body: Any = resource.body
        for number, operation in enumerate(document.body):
            try:
                body = patch.json_patch(body, [operation])
            except errors.StatusError as error:
                why = f"operation {number} ({_shown(operation)}) does not apply to {resource.identity}"
                found = f"{why}: {error.message}" if error.code == 400 else f"{why} ({resource.document.source})"
                raise Refused(_problem(text, document, found, f"[{number}]")) from None
        resource.body = copy.deepcopy(body)
    return resources


def _shown(operation: Any) -> str:
    return f"{operation.get('op')} {operation.get('path')}" if isinstance(operation, dict) else str(operation)


def _problem(text: Text, document: load.Document, message: str, field: str = "") -> load.Problem:
    return text.problem(message) if text.within is not None else document.problem(message, field)


def node_of(body: dict[str, Any], schemas: Schemas) -> Node | None:
    """The schema of a kind that is built in; a custom resource has none here, so its lists are replaced."""
    kind = kinds.builtin().of_object(str(body.get("apiVersion", "")), str(body.get("kind", "")))
    if kind is None:
        return None
    version = next(one for one in kind.versions if kind.api_version(one.name) == body["apiVersion"])
    return schemas.of(version.schema)
