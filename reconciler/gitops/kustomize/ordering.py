"""The order of a build's result: kustomize's list of kinds, which is its default, or the order of writing."""

from collections.abc import Mapping, Sequence

from reconciler.gitops.kustomize import spec
from reconciler.gitops.kustomize.resource import NOWHERE, Identity, Resource

_FIRST = (
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
)
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


def ordered(resources: Sequence[Resource], options: spec.SortOptions | None) -> Sequence[Resource]:
    if options is not None and options.order == "fifo":
        return resources
    own = options.legacy_sort_options if options is not None else None
    first, last = (own.order_first, own.order_last) if own is not None else (_FIRST, _LAST)
    ranks = {kind: rank - len(first) for rank, kind in enumerate(first)} | {kind: rank + 1 for rank, kind in enumerate(last)}
    return sorted(resources, key=lambda resource: _place(resource, ranks))


def _place(resource: Resource, ranks: Mapping[str, int]) -> tuple[int, str, str]:
    one: Identity = resource.identity
    group = "_".join((one.group or "~G", one.version or "~V", one.kind or "~K"))
    kind = ".".join((one.kind or "[noKind]", one.version or "[noVer]", one.group or "[noGrp]"))
    namespace = resource.metadata.get("namespace") or "~X"
    return ranks.get(one.kind, 0), group, "|".join((kind, "~X" if one.namespace == NOWHERE else namespace, one.name))
