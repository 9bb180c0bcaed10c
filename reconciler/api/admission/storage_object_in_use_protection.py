"""StorageObjectInUseProtection: volumes and claims get the finalizer that keeps them while they are in use."""

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import meta

FINALIZERS = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}


def admit(attributes: Attributes, obj: meta.Obj) -> meta.Obj:
    finalizer = FINALIZERS[attributes.call.kind.id]
    if attributes.operation != "CREATE" or attributes.call.subresource or finalizer in meta.finalizers(obj):
        return obj
    return meta.put(obj, ("metadata", "finalizers"), [*meta.finalizers(obj), finalizer])


PLUGIN = Plugin(name="StorageObjectInUseProtection", kinds=frozenset(FINALIZERS), admit=admit)
