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
KUBECTL = "kubectl"  # how the names of kubectl's managers begin: kubectl-client-side-apply, kubectl-edit, ...
SYNC = "reconciler.dev/sync"  # label: the Sync that keeps the object
SOURCE = "reconciler.dev/source"  # annotation: the file or kustomization, relative to the Sync's folder
DIGEST = "reconciler.dev/digest"  # annotation: of the document that was applied
PRUNE = "reconciler.dev/prune"  # annotation that a document may carry: "disabled" keeps the object when its document goes
OWN = (SYNC, SOURCE, DIGEST)


def marked(document: load.Document, kind: Kind, namespace: str, sync: str, digest: str, body: meta.Obj | None = None) -> dict[str, Any]:
    """What is applied for a document: its body (or `body`) in the kind's hub version, in its namespace, with our marks."""
    body = body if body is not None else review.version_of(kind, document.body).to_hub(document.body)
    metadata = {
        **meta.meta(body),
        "labels": {**meta.labels(body), SYNC: sync},
        "annotations": {**meta.annotations(body), SOURCE: document.home, DIGEST: digest},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {**body, "apiVersion": kind.api_version(), "metadata": metadata}


def is_ours(obj: meta.Obj, sync: str) -> bool:
    return meta.labels(obj).get(SYNC) == sync and owned(obj) is not None


def source(obj: meta.Obj) -> str:
    return meta.annotations(obj).get(SOURCE, "")


def digest(obj: meta.Obj) -> str:
    return meta.annotations(obj).get(DIGEST, "")


def owned(obj: meta.Obj) -> fields.Fields | None:
    """The fields that the server says we applied; None when we never did."""
    for entry in meta.meta(obj).get("managedFields") or ():
        if _is_our_entry(entry):
            found: fields.Fields = entry.get("fieldsV1") or fields.NONE
            return found
    return None


def reowned(obj: meta.Obj, given_up: fields.Fields) -> list[dict[str, Any]] | None:
    """managedFields as they should be before an apply, None where they are.

    Ours loses what is given up, so that applying without it does not remove it. On an object that we never applied,
    ours takes what kubectl's managers hold: whoever begins to keep an object in a folder edited it by hand before.
    """
    entries: list[dict[str, Any]] = list(meta.meta(obj).get("managedFields") or ())
    ours = owned(obj)
    if ours is not None:
        kept = fields.difference(ours, given_up)
        return None if kept == ours else [{**entry, "fieldsV1": kept} if _is_our_entry(entry) else entry for entry in entries]
    hands = [entry for entry in entries if str(entry.get("manager")).startswith(KUBECTL) and not entry.get("subresource")]
    if not hands:
        return None
    taken = fields.NONE
    for entry in hands:
        taken = fields.union(taken, entry.get("fieldsV1") or fields.NONE)
    new = {**hands[-1], "manager": MANAGER, "operation": "Apply", "fieldsV1": fields.difference(taken, given_up)}
    return [*(entry for entry in entries if entry not in hands), new]


def _is_our_entry(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")


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
