"""Pods made from a template, with names that a retry of the same plan makes again.

A name is a hash of the owner's UID, the owner's revision and an index; the index is the first whose name is free.
Two leaders that see the same owner therefore pick the same names, and one of them is told AlreadyExists, however
many of the other's pods it has yet to see.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kit import ids
from reconciler.model import meta
from reconciler.model.view import View

PODS = "pods"
MAX_PREFIX = 58  # what is left of a label's 63 characters for a generated suffix of five


def free_names(view: View, kind: str, owner: meta.Obj, prefix: str) -> Iterator[str]:
    """Endless names for new children of `owner` in its namespace."""
    namespace, uid, revision = meta.namespace(owner), meta.uid(owner), meta.resource_version(owner)
    for index in itertools.count():
        name = prefix[:MAX_PREFIX] + ids.suffix(uid, revision, index)
        if view.get(kind, namespace, name) is None:
            yield name


def from_template(owner: meta.Obj, template: Mapping[str, Any], name: str, prefix: str = "") -> dict[str, Any]:
    """A pod of `owner`: labels, annotations, finalizers and spec of the template (GetPodFromTemplate)."""
    wanted = template.get("metadata") or meta.EMPTY
    metadata: dict[str, Any] = {"name": name, "namespace": meta.namespace(owner)}
    if prefix:
        metadata["generateName"] = prefix
    for field in ("labels", "annotations", "finalizers"):
        if wanted.get(field):
            metadata[field] = wanted[field]
    metadata["ownerReferences"] = [meta.controller_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}
