"""How an object says that a folder keeps it: what it carries, and who owns its fields.

The inventory is on the objects themselves, so there is no second store that could be lost or disagree: a label names
the Sync, annotations the file and a digest of the document as applied. A copied label proves nothing (controllers copy
labels and annotations); an object is ours only if its managedFields say that we applied it.

Drift needs no comparing of values: whoever changes or removes a field that we own takes it out of our set, so an
object has drifted exactly when the server says we own something else than what the document sets. Defaults, other
writers' fields and canonical forms are therefore never drift. Pure.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.gitops import load, review
from reconciler.model import meta
from reconciler.model.apply import fields, form, typed
from reconciler.model.kind import Kind
from reconciler.model.schema import Schemas

MANAGER = "reconciler-gitops"
SYNC = "reconciler.dev/sync"  # label: the Sync that keeps the object
SOURCE = "reconciler.dev/source"  # annotation: the file or kustomization, relative to the Sync's folder
DIGEST = "reconciler.dev/digest"  # annotation: of the document that was applied
PRUNE = "reconciler.dev/prune"  # annotation that a document may carry: "disabled" keeps the object when its document goes
OWN = (SYNC, SOURCE, DIGEST)


def marked(document: load.Document, kind: Kind, namespace: str, sync: str) -> dict[str, Any]:
    """What is applied for a document: its body in the kind's hub version, in its namespace, with our marks."""
    body = review.version_of(kind, document.body).to_hub(document.body)
    metadata = {
        **meta.meta(body),
        "labels": {**meta.labels(body), SYNC: sync},
        "annotations": {**meta.annotations(body), SOURCE: document.home, DIGEST: document.digest},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {**body, "apiVersion": kind.api_version(), "metadata": metadata}


def is_ours(obj: meta.Obj, sync: str) -> bool:
    return meta.labels(obj).get(SYNC) == sync and owned(obj) is not None


def source(obj: meta.Obj) -> str:
    return meta.annotations(obj).get(SOURCE, "")


def owned(obj: meta.Obj) -> fields.Fields | None:
    """The fields that the server says we applied; None when we never did."""
    for entry in meta.meta(obj).get("managedFields") or ():
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            found: fields.Fields = entry.get("fieldsV1") or fields.NONE
            return found
    return None


def takers(obj: meta.Obj, lost: fields.Fields) -> list[str]:
    """Who owns now what we lost."""
    found = []
    for entry in meta.meta(obj).get("managedFields") or ():
        if entry.get("manager") != MANAGER and fields.intersection(entry.get("fieldsV1") or fields.NONE, lost):
            found.append(str(entry.get("manager")))
    return sorted(set(found))


class Ownership:
    """What applying a document makes ours; remembers the form of each kind."""

    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas
        self._forms: dict[str, tuple[Kind, form.Form]] = {}

    def expected(self, body: Mapping[str, Any], kind: Kind) -> fields.Fields:
        """The fields that applying `body` makes ours: as `marked` gives it, and of a content that the server once took."""
        shape = self._form(kind)
        return fields.difference(shape.writable(typed.of(shape.node, body)), form.STRIPPED)

    def _form(self, kind: Kind) -> form.Form:
        known = self._forms.get(kind.id)
        if known is None or known[0] is not kind:
            known = self._forms[kind.id] = (kind, form.of(kind, kind.hub_version.name, self.schemas))
        return known[1]
