"""Lease: who leads, and which node lives. Renewals are measurements: volatile, written again by their holders."""

from collections.abc import Iterator
from typing import Any

from reconciler.kinds import columns
from reconciler.kinds.rules import check
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind, Version


def holder(lease: meta.Obj) -> str:
    return str(meta.spec(lease).get("holderIdentity") or "")


def renewed_at(lease: meta.Obj) -> float | None:
    """Seconds since the epoch of the last renewal."""
    text = meta.spec(lease).get("renewTime")
    return columns.seconds_of(text) if text else None


def duration_seconds(lease: meta.Obj) -> int:
    return int(meta.spec(lease).get("leaseDurationSeconds") or 0)


def validate(lease: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    duration = meta.spec(lease).get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        yield errors.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    yield from check.non_negative("spec.leaseTransitions", meta.spec(lease).get("leaseTransitions"))


def is_renewal(old: meta.Obj | None, new: meta.Obj) -> bool:
    """Whether nothing but the time of renewal changed."""
    return old is not None and _without_renewal(old) == _without_renewal(new)


def _without_renewal(lease: meta.Obj) -> Any:
    metadata = {k: v for k, v in meta.meta(lease).items() if k not in ("resourceVersion", "managedFields")}
    return metadata, {k: v for k, v in meta.spec(lease).items() if k != "renewTime"}


KIND = Kind(
    group="coordination.k8s.io",
    kind="Lease",
    metadata_on_update="changes",
    plural="leases",
    singular="lease",
    versions=(Version(name="v1", schema="io.k8s.api.coordination.v1.Lease"),),
    columns=(columns.NAME, columns.column("Holder", holder, "@spec.holderIdentity"), columns.AGE),
    validate=validate,
    standard_finalizers=False,
    create_on_update=True,
    volatile=is_renewal,
    order=45,
)
