"""ServiceAccount: who a pod is to the API server."""

from collections.abc import Iterator

from reconciler.kinds import columns
from reconciler.model import meta
from reconciler.model.kind import Kind, Subresource, Version

MOUNTABLE_ANNOTATION = "kubernetes.io/enforce-mountable-secrets"


def user_name(account: meta.Obj) -> str:
    return f"system:serviceaccount:{meta.namespace(account)}:{meta.name(account)}"


def warn(account: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    mounts = meta.annotations(account).get(MOUNTABLE_ANNOTATION)
    if mounts == "true" and (old is None or meta.annotations(old).get(MOUNTABLE_ANNOTATION) != "true"):
        yield (
            f"metadata.annotations[{MOUNTABLE_ANNOTATION}]: deprecated in v1.32+; prefer separate namespaces to isolate"
            " access to mounted secrets"
        )


KIND = Kind(
    group="",
    kind="ServiceAccount",
    plural="serviceaccounts",
    singular="serviceaccount",
    short_names=("sa",),
    versions=(Version(name="v1", schema="io.k8s.api.core.v1.ServiceAccount"),),
    subresources=(Subresource(name="token", kind="TokenRequest", verbs=("create",), group="authentication.k8s.io", version="v1"),),
    columns=(columns.NAME, columns.AGE),
    warn=warn,
    order=15,
)
