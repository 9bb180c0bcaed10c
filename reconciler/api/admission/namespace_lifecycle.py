"""NamespaceLifecycle: nothing new in a namespace that is absent or going, and the system's own are never deleted."""

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import errors, meta

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


def admit(attributes: Attributes, obj: meta.Obj) -> meta.Obj:
    call = attributes.call
    if attributes.operation != "CREATE" or not call.namespace:
        return obj
    namespace = attributes.cache.get("namespaces", "", call.namespace)
    if namespace is None:
        raise errors.not_found("namespaces", "", call.namespace)
    if meta.status(namespace.obj).get("phase") == "Terminating" or meta.is_deleting(namespace.obj):
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {call.namespace} is being terminated",
            "field": "metadata.namespace",
        }
        raise call.forbidden(f"unable to create new content in namespace {call.namespace} because it is being terminated", causes=[cause])
    return obj


def validate(attributes: Attributes, _: meta.Obj) -> None:
    call = attributes.call
    if attributes.operation == "DELETE" and call.kind.id == "namespaces" and call.name in IMMORTAL:
        raise call.forbidden("this namespace may not be deleted")


PLUGIN = Plugin(name="NamespaceLifecycle", reads=("namespaces",), admit=admit, validate=validate)
