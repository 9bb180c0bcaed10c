"""The spec of a PersistentVolumeClaim, wherever one is described: alone, in a StatefulSet, in a pod's ephemeral volume."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds.rules import check
from reconciler.model import errors, names
from reconciler.model.errors import FieldError

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def spec(path: str, wanted: Mapping[str, Any]) -> Iterator[FieldError]:
    modes = wanted.get("accessModes") or ()
    if not modes:
        yield errors.required(f"{path}.accessModes", "at least 1 access mode is required")
    yield from check.label_selector(f"{path}.selector", wanted.get("selector"))
    for mode in modes:
        yield from check.one_of(f"{path}.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield errors.forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")
    size = ((wanted.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        yield errors.required(f"{path}.resources[storage]")
    else:
        yield from check.positive_quantity(f"{path}.resources[storage]", size)
    for field in ("storageClassName", "volumeAttributesClassName"):
        name = wanted.get(field)
        if name:
            yield from check.because(f"{path}.{field}", name, names.dns_subdomain(name))
    if (mode := wanted.get("volumeMode")) is not None:
        yield from check.one_of(f"{path}.volumeMode", mode, VOLUME_MODES)
    yield from _sources(path, wanted)


def _sources(path: str, wanted: Mapping[str, Any]) -> Iterator[FieldError]:
    source, reference = wanted.get("dataSource"), wanted.get("dataSourceRef")
    if source is not None:
        yield from _reference(f"{path}.dataSource", source)
    if reference is not None:
        yield from _reference(f"{path}.dataSourceRef", reference)
        if reference.get("namespace"):
            if source is not None:
                yield errors.invalid(path, path, "may not be specified when dataSourceRef.namespace is specified")
        elif source is not None and not _same(source, reference):
            yield errors.invalid(path, "", "must match dataSourceRef")


def _reference(path: str, reference: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from check.required(f"{path}.name", reference.get("name"))
    yield from check.required(f"{path}.kind", reference.get("kind"))
    group = reference.get("apiGroup")
    if not group and reference.get("kind") != "PersistentVolumeClaim":
        yield errors.invalid(path, reference.get("kind", ""), "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
    if group:
        yield from check.because(f"{path}.apiGroup", group, names.dns_subdomain(group))


def _same(source: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
    return all(source.get(name) == reference.get(name) for name in ("apiGroup", "kind", "name"))
