"""ServiceAccount: who a pod is to the API server."""

from reconciler.kinds import columns
from reconciler.model import meta
from reconciler.model.kind import Kind, Subresource, Version


def user_name(account: meta.Obj) -> str:
    return f"system:serviceaccount:{meta.namespace(account)}:{meta.name(account)}"


KIND = Kind(
    group="",
    kind="ServiceAccount",
    plural="serviceaccounts",
    singular="serviceaccount",
    short_names=("sa",),
    versions=(Version(name="v1", schema="io.k8s.api.core.v1.ServiceAccount"),),
    subresources=(Subresource(name="token", kind="TokenRequest", verbs=("create",), group="authentication.k8s.io", version="v1"),),
    columns=(columns.NAME, columns.AGE),
    order=15,
)
