"""Discovery documents, derived from the roster: legacy lists, the aggregated form, /version.

Documents are made once per roster. Group order and the shape of each document are kube-apiserver's.
"""

import base64
import hashlib
import platform
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import reconciler
from reconciler.model.kind import Kind, Subresource, Version
from reconciler.model.roster import Roster

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
GROUP_ORDER = (
    "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
    "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io",
)  # fmt: skip


class Discovery:
    """The documents of one roster."""

    def __init__(self, roster: Roster, address: str) -> None:
        self._roster = roster
        self._address = address
        order = {group: index for index, group in enumerate(GROUP_ORDER)}
        found = {kind.group for kind in roster if kind.group}
        self.groups = sorted(found, key=lambda group: (order.get(group, len(order)), group))

    @cached_property
    def api_versions(self) -> dict[str, Any]:
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}

    @cached_property
    def group_list(self) -> dict[str, Any]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(group) for group in self.groups]}

    def group(self, name: str) -> dict[str, Any] | None:
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group(name)} if name in self.groups else None

    def resources(self, group: str, version: str) -> dict[str, Any] | None:
        """The APIResourceList of a group and version, None where it does not exist."""
        if version not in self._versions(group):
            return None
        resources = []
        for kind in self._kinds(group, version):
            resources.append(_legacy(kind, kind.version(version)))
            subs = kind.subresources if kind.custom else sorted(kind.subresources, key=lambda sub: sub.name)
            resources += [_legacy_sub(kind, sub) for sub in subs]
        head: dict[str, Any] = {"kind": "APIResourceList"}
        if group:
            head["apiVersion"] = "v1"
        return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": resources}

    @cached_property
    def aggregated_core(self) -> dict[str, Any]:
        return self._aggregated([""])

    @cached_property
    def aggregated_groups(self) -> dict[str, Any]:
        return self._aggregated(self.groups)

    def _aggregated(self, groups: Iterable[str]) -> dict[str, Any]:
        items = []
        for group in groups:
            versions = [
                {
                    "version": version,
                    "resources": [_aggregated(kind) for kind in self._kinds(group, version)],
                    "freshness": "Current",
                }
                for version in self._versions(group)
            ]
            items.append({"metadata": {"name": group} if group else {}, "versions": versions})
        return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}

    def _group(self, name: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in self._versions(name)]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def _versions(self, group: str) -> list[str]:
        """The served versions of a group, the most stable and newest first."""
        found = {version.name for kind in self._roster if kind.group == group for version in kind.versions if version.served}
        return sorted(found, key=priority, reverse=True)

    def _kinds(self, group: str, version: str) -> list[Kind]:
        found = [kind for kind in self._roster if kind.group == group and any(v.name == version and v.served for v in kind.versions)]
        return sorted(found, key=lambda kind: kind.plural)


def priority(version: str) -> tuple[int, int, int]:
    """Kubernetes' order of versions: v2 over v1 over v1beta2 over v1beta1 over v1alpha1, then anything else."""
    digits = version.removeprefix("v")
    for rank, word in ((1, "beta"), (0, "alpha")):
        major, found, minor = digits.partition(word)
        if found and major.isdecimal() and (minor or "0").isdecimal():
            return rank, int(major), int(minor or 0)
    return (2, int(digits), 0) if digits.isdecimal() else (-1, 0, 0)


def version_info(kubernetes: str) -> dict[str, str]:
    major, minor, *_ = kubernetes.split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{kubernetes}+reconciler.{reconciler.__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }


def _verbs(kind: Kind) -> list[str]:
    """Custom resources' verbs have an order of their own."""
    return list(kind.verbs) if kind.custom else sorted(kind.verbs)


def _legacy(kind: Kind, version: Version) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if "list" in kind.verbs and "create" in kind.verbs:
        text = f"{kind.group}/{kind.hub_version.name}/{kind.kind}"
        resource["storageVersionHash"] = base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()
    return resource


def _legacy_sub(kind: Kind, sub: Subresource) -> dict[str, Any]:
    resource: dict[str, Any] = {"name": f"{kind.plural}/{sub.name}", "singularName": "", "namespaced": kind.namespaced}
    if sub.version:
        resource.update({"group": sub.group, "version": sub.version} if sub.group else {"version": sub.version})
    return {**resource, "kind": sub.kind, "verbs": sorted(sub.verbs)}


def _aggregated(kind: Kind) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if kind.subresources:
        resource["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": sorted(sub.verbs),
            }
            for sub in sorted(kind.subresources, key=lambda sub: sub.name)
        ]
    return resource
