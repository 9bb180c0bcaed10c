"""RuntimeClass: which runtime handler runs a pod, and what it costs on top."""

from collections.abc import Iterator, Mapping

from reconciler.kinds import columns
from reconciler.kinds.rules import check, resources, scheduling
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind, Version


def handler(runtime_class: meta.Obj) -> str:
    return str(runtime_class.get("handler") or "")


def overhead(runtime_class: meta.Obj) -> Mapping[str, str]:
    return (runtime_class.get("overhead") or meta.EMPTY).get("podFixed") or meta.EMPTY


def validate(runtime_class: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    if not handler(runtime_class):
        yield errors.required("handler")
    else:
        yield from check.label("handler", handler(runtime_class))
    for name, amount in overhead(runtime_class).items():
        path = f"overhead.podFixed[{name}]"
        yield from resources.container_resource_name(path, name)
        yield from resources.amount(path, name, amount)
    wanted = runtime_class.get("scheduling") or {}
    yield from check.labels("scheduling.nodeSelector", wanted.get("nodeSelector"))
    yield from scheduling.tolerations("scheduling.tolerations", wanted.get("tolerations") or ())
    if old is not None:
        yield from check.immutable("handler", handler(runtime_class), handler(old))


KIND = Kind(
    group="node.k8s.io",
    kind="RuntimeClass",
    plural="runtimeclasses",
    singular="runtimeclass",
    namespaced=False,
    versions=(Version(name="v1", schema="io.k8s.api.node.v1.RuntimeClass"),),
    validate=validate,
    columns=(columns.NAME, columns.column("Handler", handler, ""), columns.AGE),
    order=8,
)
