"""DefaultStorageClass and DefaultIngressClass: what names no class gets the one that is marked as the default.

Of several defaults the newest counts, then the first by name.
"""

from collections.abc import Iterable

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.kit import clock
from reconciler.model import meta

STORAGE_CLASSES, INGRESS_CLASSES = "storageclasses.storage.k8s.io", "ingressclasses.networking.k8s.io"
STORAGE_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
INGRESS_DEFAULT = ("ingressclass.kubernetes.io/is-default-class",)
OLD_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
OLD_INGRESS_CLASS = "kubernetes.io/ingress.class"


def admit_claim(attributes: Attributes, claim: meta.Obj) -> meta.Obj:
    if meta.spec(claim).get("storageClassName") is not None or OLD_STORAGE_CLASS in meta.annotations(claim):
        return claim
    return _with_default(attributes, claim, STORAGE_CLASSES, STORAGE_DEFAULT, "storageClassName")


def admit_ingress(attributes: Attributes, ingress: meta.Obj) -> meta.Obj:
    if meta.spec(ingress).get("ingressClassName") is not None or OLD_INGRESS_CLASS in meta.annotations(ingress):
        return ingress
    return _with_default(attributes, ingress, INGRESS_CLASSES, INGRESS_DEFAULT, "ingressClassName")


def _with_default(attributes: Attributes, obj: meta.Obj, kind: str, marks: Iterable[str], field: str) -> meta.Obj:
    if attributes.operation != "CREATE" or attributes.call.subresource:
        return obj
    found = [item.obj for _, item in attributes.cache.shelf(kind).in_order()]
    defaults = [one for one in found if any(meta.annotations(one).get(mark) == "true" for mark in marks)]
    if not defaults:
        return obj
    newest = min(defaults, key=lambda one: (-clock.parse_rfc3339(meta.meta(one)["creationTimestamp"]), meta.name(one)))
    return meta.put(obj, ("spec", field), meta.name(newest))


STORAGE = Plugin(name="DefaultStorageClass", kinds=frozenset({"persistentvolumeclaims"}), reads=(STORAGE_CLASSES,), admit=admit_claim)
INGRESS = Plugin(
    name="DefaultIngressClass", kinds=frozenset({"ingresses.networking.k8s.io"}), reads=(INGRESS_CLASSES,), admit=admit_ingress
)
