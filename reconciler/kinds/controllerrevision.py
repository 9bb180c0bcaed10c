"""ControllerRevision: an immutable snapshot of a template, kept by StatefulSets and DaemonSets to roll back to."""

from reconciler.kinds import columns
from reconciler.model import meta
from reconciler.model.kind import Kind, Version


def revision(obj: meta.Obj) -> int:
    return int(obj.get("revision") or 0)


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
    columns=(
        columns.NAME,
        columns.column("Controller", _controller_cell, "Controller of the object"),
        columns.column("Revision", revision, "@revision"),
        columns.AGE,
    ),
)
