"""Namespace: the unit of naming. Its finalizer "kubernetes" holds it until everything in it is gone."""

from collections.abc import Iterator

from reconciler.kinds import columns
from reconciler.kinds.rules import check
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Health, Kind, Subresource, Version, status_of

FINALIZER = "kubernetes"
STANDARD_FINALIZERS = (FINALIZER, "orphan", "foregroundDeletion")
NAME_LABEL = "kubernetes.io/metadata.name"


def phase(namespace: meta.Obj) -> str:
    return str(meta.status(namespace).get("phase") or "Active")


def is_terminating(namespace: meta.Obj) -> bool:
    return phase(namespace) == "Terminating" or meta.is_deleting(namespace)


def finalizers(namespace: meta.Obj) -> tuple[str, ...]:
    """Those of its spec, which a PUT of the subresource finalize removes."""
    return tuple(meta.spec(namespace).get("finalizers") or ())


def default(namespace: meta.Obj) -> meta.Obj:
    """Every namespace is labelled with its name, so that selectors can name it."""
    name = meta.name(namespace)
    if not name or meta.labels(namespace).get(NAME_LABEL) == name:
        return namespace
    return meta.put(namespace, ("metadata", "labels", NAME_LABEL), name)


def prepare(namespace: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    if old is not None:
        return {**namespace, "spec": old.get("spec") or {}, "status": old.get("status") or {}}
    given = finalizers(namespace)
    spec = {**meta.spec(namespace), "finalizers": [*given, *(() if FINALIZER in given else (FINALIZER,))]}
    return {**namespace, "spec": spec, "status": {"phase": "Active"}}


def prepare_status(namespace: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    return namespace if old is None else {**namespace, "spec": old.get("spec") or {}}


def validate(namespace: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    for finalizer in finalizers(namespace):
        yield from _finalizer("spec.finalizers", finalizer)


def validate_finalize(namespace: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    for index, finalizer in enumerate(finalizers(namespace)):
        yield from _finalizer(f"spec.finalizers[{index}]", finalizer)


def _finalizer(path: str, finalizer: str) -> Iterator[FieldError]:
    yield from check.qualified(path, finalizer)
    if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
        yield errors.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def health(namespace: meta.Obj) -> Health:
    return Health("Progressing", "it is being deleted") if is_terminating(namespace) else Health("Healthy")


KIND = Kind(
    group="",
    kind="Namespace",
    plural="namespaces",
    singular="namespace",
    short_names=("ns",),
    namespaced=False,
    versions=(Version(name="v1", schema="io.k8s.api.core.v1.Namespace", default=default),),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(Subresource(name="finalize", kind="Namespace", verbs=("update",)), status_of("Namespace")),
    prepare=prepare,
    prepare_status=prepare_status,
    validate=validate,
    validate_others={"finalize": validate_finalize},
    columns=(columns.NAME, columns.column("Status", phase, "The status of the namespace"), columns.AGE),
    selectable_fields={"status.phase": lambda namespace: str(meta.status(namespace).get("phase", ""))},
    name_rule="label",
    health=health,
    order=0,
)
