"""What external servers add to discovery and OpenAPI. Pure: documents in, documents out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.model import meta


@dataclass(frozen=True, slots=True)
class Served:
    """One external group and version, as its server last described it."""

    service: meta.Obj
    is_available: bool
    resources: Mapping[str, Any] = field(default_factory=dict)  # its APIResourceList
    openapi_hash: str = ""
    schemas: Mapping[str, Any] = field(default_factory=dict)  # those of its OpenAPI v3 document

    @property
    def group(self) -> str:
        return str(meta.spec(self.service)["group"])

    @property
    def version(self) -> str:
        return str(meta.spec(self.service)["version"])

    @property
    def rank(self) -> tuple[int, int, str]:
        spec = meta.spec(self.service)
        return -int(spec.get("groupPriorityMinimum") or 0), -int(spec.get("versionPriority") or 0), self.version


def groups(served: Sequence[Served]) -> list[dict[str, Any]]:
    """An APIGroup for every external group that answers, without kind and apiVersion."""
    found = []
    for group, members in _by_group(served).items():
        versions = [{"groupVersion": f"{group}/{one.version}", "version": one.version} for one in members]
        found.append({"name": group, "versions": versions, "preferredVersion": versions[0]})
    return found


def aggregated(served: Sequence[Served]) -> list[dict[str, Any]]:
    """APIGroupDiscovery items."""
    items = []
    for group, members in _by_group(served).items():
        versions = [
            {"version": one.version, "resources": _resources(one.resources, group, one.version), "freshness": "Current"} for one in members
        ]
        items.append({"metadata": {"name": group}, "versions": versions})
    return items


def openapi_paths(served: Iterable[Served]) -> dict[str, Any]:
    """Entries of the index /openapi/v3."""
    described = [one for one in served if one.openapi_hash and one.is_available]
    return {_path(one): {"serverRelativeURL": f"/openapi/v3/{_path(one)}?hash={one.openapi_hash}"} for one in described}


def _path(one: Served) -> str:
    return f"apis/{one.group}/{one.version}"


def _by_group(served: Sequence[Served]) -> dict[str, list[Served]]:
    found: dict[str, list[Served]] = {}
    for one in sorted(served, key=lambda one: one.rank):
        if one.is_available:
            found.setdefault(one.group, []).append(one)
    return found


def _resources(listed: Mapping[str, Any], group: str, version: str) -> list[dict[str, Any]]:
    """An APIResourceList as aggregated discovery has it: subresources inside their resources."""
    found: dict[str, dict[str, Any]] = {}
    entries = [one for one in listed.get("resources") or () if isinstance(one, Mapping) and one.get("name")]
    for entry in entries:
        name, slash, sub = str(entry["name"]).partition("/")
        kind = {"group": entry.get("group") or group, "version": entry.get("version") or version, "kind": entry.get("kind", "")}
        if not slash:
            optional = {key: entry[key] for key in ("shortNames", "categories") if entry.get(key)}
            found[name] = {
                "resource": name,
                "responseKind": kind,
                "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
                "singularResource": entry.get("singularName") or "",
                "verbs": list(entry.get("verbs") or ()),
                **optional,
            }
        elif name in found:
            described = {"subresource": sub, "responseKind": kind, "verbs": list(entry.get("verbs") or ())}
            found[name].setdefault("subresources", []).append(described)
    return list(found.values())
