"""What apply must know of a kind: one version of it, as the object itself or one of its subresources is written.

The API server makes one Form per version and subresource and keeps it; a Form is a value and never changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.model import decode, meta
from reconciler.model.apply import fields
from reconciler.model.apply.fields import Fields
from reconciler.model.kind import Kind, Version
from reconciler.model.schema import Node, Schemas

Convert = Callable[[meta.Obj], meta.Obj]


@dataclass(frozen=True, slots=True)
class Other:
    """Another served version of the kind, and the ways there and back."""

    node: Node
    there: Convert
    back: Convert


OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_STRING = {"type": "string"}

# metadata that belongs to the server, not to writers
SERVER_OWNED = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
)
STRIPPED = fields.of(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(("f:metadata", fields.field(name)) for name in SERVER_OWNED),
)
# What a write cannot change where it is not, of the object the status, of the status the spec.
_IGNORED: Mapping[tuple[str, str], Fields] = {
    ("pods", "status"): fields.of(("f:spec",), ("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences")),
    ("pods", "resize"): fields.NONE,
    ("deployments.apps", "status"): fields.of(("f:spec",), ("f:metadata", "f:labels")),
    ("volumeattachments.storage.k8s.io", "status"): fields.of(("f:spec",), ("f:metadata",)),
    ("flowschemas.flowcontrol.apiserver.k8s.io", "status"): fields.of(("f:spec",), ("f:metadata",)),
    ("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", "status"): fields.of(("f:spec",), ("f:metadata",)),
    ("certificatesigningrequests.certificates.k8s.io", ""): fields.of(("f:spec",), ("f:status",)),
    ("certificatesigningrequests.certificates.k8s.io", "status"): fields.of(("f:spec",), ("f:status", "f:conditions")),
    ("certificatesigningrequests.certificates.k8s.io", "approval"): fields.of(("f:spec",), ("f:status", "f:certificate")),
}
# Where it is told the other way round: all that a write can change.
_ONLY: Mapping[tuple[str, str], Fields] = {("pods", "ephemeralcontainers"): {"f:spec": {"f:ephemeralContainers": {}}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """`ignored` fields cannot be written through it; with `only`, nothing but what is under those can.

    `empty` is what an object holds before anyone sets a field: what Go's types always write belongs to nobody. So
    f:spec itself is owned only where the type leaves an unset spec out, and a PriorityClass of value 0 has no owner
    of it. Custom resources have no Go type.
    """

    api_version: str
    kind: str
    node: Node
    empty: Mapping[str, Any]
    subresource: str = ""
    ignored: Fields = field(default_factory=dict)
    only: Fields = field(default_factory=dict)
    other: Callable[[str], Other | None] = lambda _: None  # by apiVersion; None where there is no such version
    custom: bool = False

    def writable(self, owned: Fields) -> Fields:
        if self.only:
            owned = fields.under(owned, self.only)
        return fields.deep_difference(owned, self.ignored)


def of(kind: Kind, version: str, schemas: Schemas, subresource: str = "") -> Form:
    """The form of a kind's version, or of its status and other subresources that have the object's own shape."""
    served = kind.version(version)
    node = _root(kind, served, schemas)

    def other(api_version: str) -> Other | None:
        target = next((one for one in kind.versions if kind.api_version(one.name) == api_version), None)
        if target is None:
            return None
        here = kind.api_version(version)
        return Other(_root(kind, target, schemas), _way(served, target, api_version), _way(target, served, here))

    return Form(
        api_version=kind.api_version(version),
        kind=kind.kind,
        node=node,
        empty={} if kind.custom else decode.decode(node, {}).obj,
        subresource=subresource,
        ignored=_ignored(kind, subresource),
        only=_ONLY.get((kind.id, subresource), {}),
        other=other,
        custom=kind.custom,
    )


def _root(kind: Kind, version: Version, schemas: Schemas) -> Node:
    """The schema of whole objects: of a custom resource's, metadata is Kubernetes' own."""
    if not kind.custom or isinstance(version.schema, str):
        return schemas.of(version.schema)
    metadata = {"$ref": f"#/components/schemas/{OBJECT_META}"}
    properties = {**version.schema.get("properties", {}), "apiVersion": _STRING, "kind": _STRING, "metadata": metadata}
    return schemas.of({**version.schema, "properties": properties})


def _way(start: Version, end: Version, api_version: str) -> Convert:
    return lambda obj: {**end.from_hub(start.to_hub(obj)), "apiVersion": api_version}


def _ignored(kind: Kind, subresource: str) -> Fields:
    if (kind.id, subresource) in _IGNORED:
        return _IGNORED[kind.id, subresource]
    if subresource == "status":
        return fields.of(("f:spec",), ("f:metadata",)) if kind.custom else fields.of(("f:spec",))
    return fields.of(("f:status",)) if kind.subresource("status") is not None else fields.NONE
