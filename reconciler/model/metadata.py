"""What every object's metadata must fulfil: k8s.io/apimachinery/pkg/api/validation/objectmeta.go, as a pure function.

`refused` is asked for every write, by the server and by offline checks alike. It looks at metadata only; what a
kind demands beyond it is the kind's own `validate`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind

ANNOTATIONS_MOST_BYTES = 256 * 1024
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
GENERATED_SUFFIX = "aaaaa"  # stands for the random part when a generateName is checked as a prefix

_RULES: Mapping[str, Callable[[str], tuple[str, ...]]] = {
    "subdomain": names.dns_subdomain,
    "label": names.dns_label,
    "label1035": names.dns_label_1035,
    "path": names.path_segment,
    "rbac": names.path_segment,
    "ip": names.ip_address,
    "subdomain_in_bytes": names.dns_subdomain_in_bytes,
}


def refused(kind: Kind, obj: meta.Obj, old: meta.Obj | None = None, subresource: str = "") -> list[FieldError]:
    """The refused fields of `obj`'s metadata; `old` is what is stored, None on creation.

    kube-apiserver looks at the metadata of every update, and then the kind's own rules look again, each kind's in its own
    way; clients see a fault as often as it was found.
    """
    metadata = meta.meta(obj)
    if old is None:
        return [*_name(kind, metadata), *_whole(kind, metadata, meta.EMPTY)]
    before = meta.meta(old)
    found = [*_whole(None, metadata, before), *_changes(metadata, before)]
    again = "changes" if subresource else kind.metadata_on_update
    if again in ("both", "changes"):
        found += _changes(metadata, before)
        if kind.standard_finalizers and not kind.custom:
            found += _unknown_finalizers(metadata.get("finalizers") or ())
    if again in ("both", "whole"):
        found += [*_generated_name(kind, metadata), *_whole(kind, metadata, before)]
    return found


def _whole(kind: Kind | None, metadata: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """Everything but the name. `kind` None: only what holds for all kinds."""
    found = _shared(metadata, old)
    if metadata.get("finalizers"):
        standard = kind is not None and kind.standard_finalizers and not kind.custom
        found += _finalizers(metadata["finalizers"], standard=standard)
    return found


def _changes(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    return [*_immutable(new, old), *_shared(new, old)]


def _shared(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """What both looks look at. A part that is the stored one itself was looked at when it was stored."""
    found: list[FieldError] = []
    for name, rule in (("labels", _labels), ("annotations", _annotations), ("ownerReferences", _owners)):
        part: Any = new.get(name)
        if part and part is not old.get(name):
            found += rule(part)
    return found


def refused_embedded(metadata: Mapping[str, Any]) -> list[FieldError]:
    """The refused fields of the metadata of an object that is part of another one."""
    found = [errors.invalid("metadata.name", metadata["name"], reason) for reason in names.path_segment(metadata.get("name", ""))]
    found += _labels(metadata.get("labels") or {})
    found += _annotations(metadata.get("annotations") or {})
    found += _owners(metadata.get("ownerReferences") or [])
    return found + list(_finalizers(metadata.get("finalizers") or []))


def name_reasons(kind: Kind, name: str) -> tuple[str, ...]:
    """Why `name` cannot name an object of `kind`; nothing when it can."""
    return _RULES[kind.name_rule](name)


def _name(kind: Kind, metadata: Mapping[str, Any]) -> Iterator[FieldError]:
    name = metadata.get("name", "")
    yield from _generated_name(kind, metadata)
    if not name:
        yield errors.required("metadata.name", "name or generateName is required")
        return
    for reason in name_reasons(kind, name):
        yield errors.invalid("metadata.name", name, reason)


def _generated_name(kind: Kind, metadata: Mapping[str, Any]) -> Iterator[FieldError]:
    prefix = metadata.get("generateName", "")
    if prefix:
        for reason in name_reasons(kind, prefix[:-1] if prefix.endswith("-") else prefix):
            yield errors.invalid("metadata.generateName", prefix, reason)


def _annotations(annotations: Mapping[str, str]) -> Iterator[FieldError]:
    size = 0
    for key, value in annotations.items():
        for reason in names.qualified(key.lower()):
            yield errors.invalid("metadata.annotations", key, reason)
        size += len(key) + len(value)
    if size > ANNOTATIONS_MOST_BYTES:
        yield errors.too_long("metadata.annotations", ANNOTATIONS_MOST_BYTES)


def _labels(labels: Mapping[str, str]) -> Iterator[FieldError]:
    for key, value in labels.items():
        for reason in names.qualified(key):
            yield errors.invalid("metadata.labels", key, reason)
        for reason in names.label_value(value):
            yield errors.invalid("metadata.labels", value, reason)


def _owners(owners: list[Mapping[str, Any]]) -> Iterator[FieldError]:
    controller: Mapping[str, Any] | None = None
    for owner in owners:
        yield from _owner(owner)
        if not owner.get("controller"):
            continue
        if controller is not None:
            both = " and ".join(f"{reference.get('kind')}/{reference.get('name')}" for reference in (controller, owner))
            detail = f'Only one reference can have Controller set to true. Found "true" in references for {both}'
            yield errors.invalid("metadata.ownerReferences", owners, detail)
        controller = owner


def _owner(owner: Mapping[str, Any]) -> Iterator[FieldError]:
    api_version = str(owner.get("apiVersion") or "")
    group, _, version = api_version.rpartition("/")
    if not version or "/" in group:
        yield errors.invalid("metadata.ownerReferences.apiVersion", api_version, "version must not be empty")
    for name in ("kind", "name", "uid"):
        if not owner.get(name):
            yield errors.invalid(f"metadata.ownerReferences.{name}", "", "must not be empty")
    if owner.get("kind") == "Event" and api_version == "v1":
        yield errors.invalid("metadata.ownerReferences", owner, "/v1, Kind=Event is disallowed from being an owner")


def _finalizers(finalizers: list[str], standard: bool = True) -> Iterator[FieldError]:
    for index, finalizer in enumerate(finalizers):
        reasons = names.qualified(finalizer)
        for reason in reasons:
            yield errors.invalid("metadata.finalizers", finalizer, reason)
        if standard:
            yield from _unknown_finalizers([finalizer], index)
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        yield errors.invalid("metadata.finalizers", finalizers, detail)


def _unknown_finalizers(finalizers: Sequence[str], first: int = 0) -> Iterator[FieldError]:
    for index, finalizer in enumerate(finalizers, first):
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            reason = "name is neither a standard finalizer name nor is it fully qualified"
            yield errors.invalid(f"metadata.finalizers[{index}]", finalizer, reason)


def _immutable(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[FieldError]:
    if old.get("deletionTimestamp"):
        added = [finalizer for finalizer in new.get("finalizers") or () if finalizer not in (old.get("finalizers") or ())]
        if added:
            text = json.dumps(sorted(added), separators=(",", ":")).replace(",", ", ")
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {text}"
            yield errors.forbidden("metadata.finalizers", detail)
    for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(name) != old.get(name):
            yield errors.invalid(f"metadata.{name}", new.get(name), "field is immutable")
