"""ControllerRevision: an immutable snapshot of a template, kept by StatefulSets and DaemonSets to roll back to."""

from collections.abc import Iterator

from reconciler.kinds import columns
from reconciler.kinds.rules import check
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind, Version


def revision(obj: meta.Obj) -> int:
    return int(obj.get("revision") or 0)


def validate(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    if not obj.get("data") and old is None:
        yield errors.required("data", "data is mandatory")
    yield from check.non_negative("revision", revision(obj))
    if old is not None:
        yield from check.immutable("data", obj.get("data"), old.get("data"))


def _controller_cell(obj: meta.Obj) -> str:
    owner = meta.controller(obj)
    if owner is None:
        return columns.NONE
    group = str(owner["apiVersion"]).rpartition("/")[0]
    kind = str(owner["kind"]).lower()
    return f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"


KIND = Kind(
    group="apps",
    kind="ControllerRevision",
    plural="controllerrevisions",
    singular="controllerrevision",
    versions=(Version(name="v1", schema="io.k8s.api.apps.v1.ControllerRevision"),),
    validate=validate,
    columns=(
        columns.NAME,
        columns.column("Controller", _controller_cell, "Controller of the object"),
        columns.column("Revision", revision, "@revision"),
        columns.AGE,
    ),
)
