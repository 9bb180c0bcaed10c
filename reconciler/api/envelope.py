"""What a body says it is: its apiVersion and kind, looked at before anything else of it.

Keys count without regard to case and the last of them wins, as Go's decoder has it.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.model.kind import Kind
from reconciler.model.roster import Roster

# What kube-apiserver names in its errors; clients match on the words before it.
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_FIELDS = {"apiversion": "apiVersion", "kind": "kind"}
# Versions that Kubernetes still knows but no longer, or not by default, serves.
UNSERVED = {
    "admissionregistration.k8s.io": ("v1alpha1", "v1beta1"),
    "apiextensions.k8s.io": ("v1beta1",),
    "apiregistration.k8s.io": ("v1beta1",),
    "apps": ("v1beta1", "v1beta2"),
    "batch": ("v1beta1",),
    "certificates.k8s.io": ("v1beta1",),
    "coordination.k8s.io": ("v1beta1",),
    "discovery.k8s.io": ("v1beta1",),
    "events.k8s.io": ("v1beta1",),
    "flowcontrol.apiserver.k8s.io": ("v1beta1", "v1beta2", "v1beta3"),
    "networking.k8s.io": ("v1beta1",),
    "node.k8s.io": ("v1alpha1", "v1beta1"),
    "policy": ("v1beta1",),
    "rbac.authorization.k8s.io": ("v1alpha1", "v1beta1"),
    "resource.k8s.io": ("v1beta1", "v1beta2"),
    "scheduling.k8s.io": ("v1beta1",),
    "storage.k8s.io": ("v1beta1",),
}
# Kinds of those groups that the old versions do not have.
_YOUNGER = {
    "apps/v1beta1": ("DaemonSet", "ReplicaSet"),
    "batch/v1beta1": ("Job",),
    "networking.k8s.io/v1beta1": ("NetworkPolicy",),
}


def fault(body: Any) -> str:
    """Why nobody can tell what `body` is, "" where one can."""
    if body is None:
        return ""
    unreadable = "couldn't get version/kind; json parse error: json: cannot unmarshal"
    if not isinstance(body, Mapping):
        return f"{unreadable} {json_type(body)} into Go value of type {_TYPE_META}"
    for key, value in body.items():
        field = _FIELDS.get(key.lower())
        if field is not None and value is not None and not isinstance(value, str):
            return f"{unreadable} {json_type(value)} into Go struct field .{field} of type string"
    api_version = said(body)[0]
    return f"unexpected GroupVersion string: {api_version}" if api_version.count("/") > 1 else ""


def said(body: Mapping[str, Any]) -> tuple[str, str]:
    """(apiVersion, kind) of a body without fault, "" for what it does not say."""
    found = {"apiVersion": "", "kind": ""}
    for key, value in body.items():
        field = _FIELDS.get(key.lower())
        if field is not None and value is not None:
            found[field] = value
    return found["apiVersion"].removeprefix("/"), found["kind"]


def mismatch(roster: Roster, wanted: Kind, version: str, api_version: str, kind: str) -> str:
    """Why an object of (api_version, kind) cannot be written where `wanted` in `version` is expected."""
    expected = wanted.api_version(version)
    found = roster.of_object(api_version, kind)
    if _is_other_version(wanted, api_version, kind) or (found is not None and found.storage_id == wanted.storage_id):
        return f"the API version in the data ({api_version}) does not match the expected API version ({expected})"
    return foreign(roster, wanted.group, wanted.kind, api_version, kind)


def foreign(roster: Roster, group: str, wanted: str, api_version: str, kind: str) -> str:
    """Why an object of (api_version, kind) is none of another group's `wanted`."""
    found = roster.of_object(api_version, kind)
    short = api_version.rpartition("/")[2]
    if found is None and kind.endswith("List"):
        found = roster.of_object(api_version, kind.removesuffix("List"))
    if found is not None:
        package = group.split(".")[0] or "core"
        detail = f"converting ({short}.{kind}) to ({package}.{wanted}): unknown conversion"
    else:
        detail = f'no kind "{kind}" is registered for version "{api_version}" in scheme "{_SCHEME}"'
    return f'{kind} in version "{short}" cannot be handled as a {wanted}: {detail}'


def _is_other_version(wanted: Kind, api_version: str, kind: str) -> bool:
    group, _, version = api_version.rpartition("/")
    known = group == wanted.group and version in UNSERVED.get(group, ())
    return known and kind == wanted.kind and kind not in _YOUNGER.get(api_version, ())


def json_type(value: Any) -> str:
    """As Go's decoder calls it."""
    return {str: "string", bool: "bool", list: "array", dict: "object", type(None): "null"}.get(type(value), "number")
