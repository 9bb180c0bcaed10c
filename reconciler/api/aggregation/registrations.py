"""The APIServices of the groups that are served here, which every cluster lists. Data and pure functions."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.model import meta
from reconciler.model.roster import Roster

SERVICES = "apiservices.apiregistration.k8s.io"
AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
ON_START, FOLLOWED = "onstart", "true"  # made once for what is built in, kept in step for definitions
# Group: (least priority of the group, priority of v1); Kubernetes' own.
PRIORITIES: Mapping[str, tuple[int, int]] = {
    "": (18000, 1), "apps": (17800, 15), "events.k8s.io": (17750, 15), "authentication.k8s.io": (17700, 15),
    "authorization.k8s.io": (17600, 15), "autoscaling": (17500, 15), "batch": (17400, 15), "certificates.k8s.io": (17300, 15),
    "networking.k8s.io": (17200, 15), "policy": (17100, 15), "rbac.authorization.k8s.io": (17000, 15), "storage.k8s.io": (16800, 15),
    "apiextensions.k8s.io": (16700, 15), "admissionregistration.k8s.io": (16700, 15), "scheduling.k8s.io": (16600, 15),
    "coordination.k8s.io": (16500, 15), "node.k8s.io": (16300, 15), "discovery.k8s.io": (16200, 15), "resource.k8s.io": (16200, 15),
    "flowcontrol.apiserver.k8s.io": (16100, 15),
}  # fmt: skip
CUSTOM = (1000, 100)
OWN_GROUP = "apiregistration.k8s.io"  # which the aggregator itself serves


def wanted(roster: Roster) -> dict[str, meta.Obj]:
    """Name -> APIService for every served group and version."""
    found: dict[str, meta.Obj] = {}
    for kind in roster:
        for version in kind.versions:
            name = f"{version.name}.{kind.group}"
            if version.served and kind.group != OWN_GROUP and name not in found:
                found[name] = _service(kind.group, version.name, kind.custom)
    return found


def _service(group: str, version: str, is_custom: bool) -> dict[str, Any]:
    least, priority = PRIORITIES.get(group, CUSTOM)
    if (group, version) == ("autoscaling", "v2"):
        priority = 30
    return {
        "apiVersion": f"{OWN_GROUP}/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {AUTOMANAGED: FOLLOWED if is_custom else ON_START}},
        "spec": {"version": version, "groupPriorityMinimum": least, "versionPriority": priority, **({"group": group} if group else {})},
    }


def obsolete(stored: Iterable[meta.Obj], wanted: Mapping[str, meta.Obj]) -> list[str]:
    """Names of those that were made for definitions which are gone."""
    return [meta.name(one) for one in stored if meta.labels(one).get(AUTOMANAGED) == FOLLOWED and meta.name(one) not in wanted]
