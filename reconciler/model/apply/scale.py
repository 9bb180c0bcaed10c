"""Who owns the replicas of an object whose scale subresource is written.

A Scale shows the object's owners of that one field, in its own version; a write of it is tracked or applied with
`form`, and `parent` brings the owners back to the object. As upstream has it, an updater's share comes back as an
entry of its own, without a time, even beside another of the same writer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.model import decode
from reconciler.model.apply import fields, managed
from reconciler.model.apply.fields import Path
from reconciler.model.apply.form import Form
from reconciler.model.schema import Schemas

API_VERSION = "autoscaling/v1"
REPLICAS: Path = ("f:spec", "f:replicas")

# By apiVersion of the object: where its replicas are; None for a version without a scale subresource.
Paths = Mapping[str, Path | None]
Entries = Sequence[Mapping[str, Any]]


def form(schemas: Schemas) -> Form:
    node = schemas.of("io.k8s.api.autoscaling.v1.Scale")
    return Form(api_version=API_VERSION, kind="Scale", node=node, empty=decode.decode(node, {}).obj, subresource="scale")


def shown(parent: Entries, paths: Paths) -> list[Mapping[str, Any]]:
    """The managedFields of the Scale of an object that has `parent`."""
    return [
        {**entry, "apiVersion": API_VERSION, "fieldsV1": fields.of(REPLICAS)}
        for entry in parent
        if (path := paths.get(entry["apiVersion"])) and fields.has(entry["fieldsV1"], path)
    ]


def parent(before: Entries, scale: Entries, api_version: str, paths: Paths) -> list[Mapping[str, Any]]:
    """The object's managedFields after its Scale in `api_version` came to have `scale`."""
    owners = {managed.writer_of(entry): entry for entry in scale}
    kept: list[Mapping[str, Any]] = []
    for entry in before:
        if entry["apiVersion"] not in paths:
            continue
        path = paths[entry["apiVersion"]]
        if path is None or not fields.has(entry["fieldsV1"], path) or owners.pop(managed.writer_of(entry), None) is not None:
            kept.append(entry)
        elif rest := fields.difference(entry["fieldsV1"], fields.of(path)):
            kept.append({**entry, "fieldsV1": rest})
    replicas = paths[api_version] or REPLICAS
    for entry in owners.values():
        if fields.has(entry["fieldsV1"], REPLICAS):
            untimed = {name: value for name, value in entry.items() if name != "time"}
            kept.append({**untimed, "apiVersion": api_version, "fieldsV1": fields.of(replicas)})
    return sorted(kept, key=managed.order)
