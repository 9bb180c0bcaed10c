"""Tables: objects as rows of printer columns, which is what kubectl get prints."""

from collections.abc import Sequence
from typing import Any

import orjson

from reconciler.api import wire
from reconciler.api.cache import Item
from reconciler.model import errors, meta, schema
from reconciler.model.kind import Column, Kind

INCLUDES = ("", "Metadata", "Object", "None")
NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client"
    " to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and"
    " configuration definition. Cannot be updated. More info:"
    " https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
CREATED_DESCRIPTION = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set"
    " in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and"
    " is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info:"
    " https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)


def check_include(include: str) -> None:
    """Raises StatusError 400 for an includeObject that does not exist."""
    if include not in INCLUDES:
        refused = errors.invalid("includeObject", include, "must be 'Metadata', 'Object', 'None', or empty")
        raise errors.bad_request(f"Unable to convert to Table as requested: {refused}")


def columns_of(kind: Kind) -> Sequence[Column]:
    """A kind without columns of its own shows name and age."""
    return kind.columns or _GENERIC


def head(kind: Kind, schemas: schema.Schemas, version: str, metadata: dict[str, Any]) -> bytes:
    """A Table up to its first row."""
    root = schemas.of(_OF_CUSTOM if kind.custom else kind.hub_version.schema)
    definitions = [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": schema.described(root, column.description),
            "priority": column.priority,
        }
        for column in columns_of(kind)
    ]
    table = {"kind": "Table", "apiVersion": f"{wire.TABLE_GROUP}/{version}", "metadata": metadata, "columnDefinitions": definitions}
    encoded: bytes = orjson.dumps(table)
    return encoded[:-1] + b',"rows":['


def row(kind: Kind, form: wire.Form, include: str, item: Item, body: bytes | None, now: float) -> bytes:
    """One row; `body` is the whole object, needed for includeObject=Object only."""
    cells = [column.cell(item.obj, now) for column in columns_of(kind)]
    made: dict[str, Any] = {"cells": cells}
    conditions = list(kind.row_conditions(item.obj))
    if conditions:
        made["conditions"] = conditions
    if include == "Object" and body is not None:
        made["object"] = orjson.Fragment(body)
    elif include == "None":
        made["object"] = None
    else:
        made["object"] = wire.partial(item, form.version)
    encoded: bytes = orjson.dumps(made)
    return encoded


def list_metadata(revision: int, token: str = "", remaining: int | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if token:
        metadata["continue"] = token
        if remaining is not None:
            metadata["remainingItemCount"] = remaining
    return metadata


def _age(obj: meta.Obj, now: float) -> Any:
    return meta.meta(obj).get("creationTimestamp")


# What the columns of custom resources describe themselves by.
_OF_CUSTOM = {
    "type": "object",
    "properties": {"metadata": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}},
}
_GENERIC = (
    Column(name="Name", cell=lambda obj, _: meta.name(obj), format="name", description=NAME_DESCRIPTION),
    Column(name="Created At", cell=_age, type="date", description=CREATED_DESCRIPTION),
)
