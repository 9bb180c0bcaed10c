"""RuntimeClass: which runtime handler runs a pod, and what it costs on top."""

from collections.abc import Mapping

from reconciler.kinds import columns
from reconciler.model import meta
from reconciler.model.kind import Kind, Version


def handler(runtime_class: meta.Obj) -> str:
    return str(runtime_class.get("handler") or "")


def overhead(runtime_class: meta.Obj) -> Mapping[str, str]:
    return (runtime_class.get("overhead") or meta.EMPTY).get("podFixed") or meta.EMPTY


KIND = Kind(
    group="node.k8s.io",
    kind="RuntimeClass",
    plural="runtimeclasses",
    singular="runtimeclass",
    namespaced=False,
    versions=(Version(name="v1", schema="io.k8s.api.node.v1.RuntimeClass"),),
    columns=(columns.NAME, columns.column("Handler", handler, ""), columns.AGE),
    order=8,
)
