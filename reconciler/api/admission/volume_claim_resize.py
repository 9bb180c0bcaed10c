"""PersistentVolumeClaimResize: a claim grows only where its storage class says that volumes can."""

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import meta, quantity

CLASSES = "storageclasses.storage.k8s.io"
REFUSED = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"


def validate(attributes: Attributes, claim: meta.Obj) -> None:
    old, call = attributes.old, attributes.call
    if attributes.operation != "UPDATE" or old is None or call.subresource:
        return
    if quantity.compare(_storage(claim), _storage(old)) <= 0:
        return
    if meta.status(old).get("phase") != "Bound":
        raise call.forbidden("Only bound persistent volume claims can be expanded")
    name = meta.spec(claim).get("storageClassName")
    found = attributes.cache.get(CLASSES, "", name) if name else None
    if found is None or not found.obj.get("allowVolumeExpansion"):
        raise call.forbidden(REFUSED)


def _storage(claim: meta.Obj) -> str:
    return str(((meta.spec(claim).get("resources") or {}).get("requests") or {}).get("storage", "0"))


PLUGIN = Plugin(name="PersistentVolumeClaimResize", kinds=frozenset({"persistentvolumeclaims"}), validate=validate)
