"""Which volumes a claim may be bound to. Shared by the volume binder and the scheduler.

Upstream: k8s.io/component-helpers/storage/volume. Where a volume can be used from is not asked here.
"""

from collections.abc import Iterable

from reconciler.kinds import volume as volumes
from reconciler.model import meta, quantity, selectors

FILESYSTEM = "Filesystem"


def serves(volume: meta.Obj, claim: meta.Obj) -> bool:
    """Whether `claim` may be bound to `volume`, wherever it is: it is free or reserved for the claim, and fits."""
    if meta.is_deleting(volume) or not fits(volume, claim):
        return False
    if meta.spec(volume).get("claimRef"):
        return is_reserved_for(volume, claim)
    if volumes.phase(volume) != "Available" or volumes.storage_class(volume) != volumes.storage_class(claim):
        return False
    selector = meta.spec(claim).get("selector")
    return selector is None or selectors.from_label_selector(selector).matches(meta.labels(volume))


def fits(volume: meta.Obj, claim: meta.Obj) -> bool:
    """Whether the volume is as big as the claim asks, and of its mode, access modes and attributes."""
    return not _misfit(volume, claim)


def mismatch(volume: meta.Obj, claim: meta.Obj) -> str:
    """Why a claim that names `volume` cannot have it, in Kubernetes' words; "" if it can."""
    if meta.is_deleting(volume):
        return f'the volume is marked for deletion "{meta.name(volume)}"'
    if size(volume) < wanted_size(claim):
        return "requested PV is too small"
    if volumes.storage_class(volume) != volumes.storage_class(claim):
        return "storageClassName does not match"
    return _misfit(volume, claim)


def best(candidates: Iterable[meta.Obj], claim: meta.Obj) -> meta.Obj | None:
    """The volume with the fewest modes beyond what is asked; of those one reserved for the claim, else the smallest."""
    return min(
        (volume for volume in candidates if serves(volume, claim)),
        key=lambda volume: (len(access_modes(volume)), not is_reserved_for(volume, claim), size(volume), meta.name(volume)),
        default=None,
    )


def is_reserved_for(volume: meta.Obj, claim: meta.Obj) -> bool:
    """Whether the volume names the claim: by name, or bound already, by uid too."""
    if volumes.claim_key(volume) != meta.key(claim):
        return False
    return (meta.spec(volume)["claimRef"].get("uid") or meta.uid(claim)) == meta.uid(claim)


def size(volume: meta.Obj) -> int:
    return quantity.parse(volumes.capacity(volume)).value


def wanted_size(claim: meta.Obj) -> int:
    return quantity.parse(volumes.requested(claim)).value


def access_modes(obj: meta.Obj) -> frozenset[str]:
    return frozenset(meta.spec(obj).get("accessModes") or ())


def mode(obj: meta.Obj) -> str:
    return str(meta.spec(obj).get("volumeMode") or FILESYSTEM)


def _misfit(volume: meta.Obj, claim: meta.Obj) -> str:
    if size(volume) < wanted_size(claim):
        return "requested PV is too small"
    if _attributes_class(volume) != _attributes_class(claim):
        return "VolumeAttributesClassName does not match"
    if mode(volume) != mode(claim):
        return "incompatible volumeMode"
    return "" if access_modes(claim) <= access_modes(volume) else "incompatible accessMode"


def _attributes_class(obj: meta.Obj) -> str:
    return str(meta.spec(obj).get("volumeAttributesClassName") or "")
