"""Role, ClusterRole and their bindings: who may do what."""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults
from reconciler.model import meta
from reconciler.model.kind import Kind, Version

GROUP = "rbac.authorization.k8s.io"


def rules(role: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return role.get("rules") or ()


def subjects(binding: meta.Obj) -> Sequence[Mapping[str, Any]]:
    return binding.get("subjects") or ()


def role_reference(binding: meta.Obj) -> Mapping[str, Any]:
    return binding.get("roleRef") or meta.EMPTY


def default_binding(binding: meta.Obj) -> meta.Obj:
    def reference(one: Mapping[str, Any]) -> Mapping[str, Any]:
        return one if one.get("apiGroup") else {**one, "apiGroup": GROUP}

    binding = pod_defaults.inside(binding, "roleRef", reference)
    return pod_defaults.mapped(binding, "subjects", _default_subject)


def _default_subject(subject: Mapping[str, Any]) -> Mapping[str, Any]:
    group = GROUP if subject.get("kind") in ("User", "Group") else ""
    return subject if subject.get("apiGroup") or not group else {**subject, "apiGroup": group}


def prepare_cluster_role(role: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """An aggregated role's rules belong to the controller that aggregates them."""
    if role.get("aggregationRule") is None:
        return role
    if old is None:
        return {**role, "rules": None}
    return role


def _subjects_cell(binding: meta.Obj, kind: str) -> str:
    found = [one for one in subjects(binding) if one.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{one['namespace']}/{one['name']}" if one.get("namespace") else one["name"] for one in found)
    return ", ".join(one["name"] for one in found)


def _role_cell(binding: meta.Obj) -> str:
    reference = role_reference(binding)
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _binding(kind: str, namespaced: bool) -> Kind:
    own = kind[0].lower() + kind[1:]
    return Kind(
        group=GROUP,
        kind=kind,
        plural=kind.lower() + "s",
        singular=kind.lower(),
        namespaced=namespaced,
        versions=(Version(name="v1", schema=f"io.k8s.api.rbac.v1.{kind}", default=default_binding),),
        columns=(
            columns.NAME,
            columns.column("Role", _role_cell, "@roleRef"),
            columns.AGE,
            columns.column("Users", lambda b: _subjects_cell(b, "User"), f"Users in the {own}", wide=True),
            columns.column("Groups", lambda b: _subjects_cell(b, "Group"), f"Groups in the {own}", wide=True),
            columns.column("ServiceAccounts", lambda b: _subjects_cell(b, "ServiceAccount"), f"ServiceAccounts in the {own}", wide=True),
        ),
        name_rule="rbac",
        create_on_update=True,
        order=15,
    )


KINDS = (
    Kind(
        group=GROUP,
        kind="Role",
        plural="roles",
        singular="role",
        versions=(Version(name="v1", schema="io.k8s.api.rbac.v1.Role"),),
        columns=columns.DEFAULT,
        name_rule="rbac",
        create_on_update=True,
        order=12,
    ),
    Kind(
        group=GROUP,
        kind="ClusterRole",
        plural="clusterroles",
        singular="clusterrole",
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.rbac.v1.ClusterRole"),),
        prepare=prepare_cluster_role,
        columns=columns.DEFAULT,
        name_rule="rbac",
        create_on_update=True,
        order=12,
    ),
    _binding("RoleBinding", namespaced=True),
    _binding("ClusterRoleBinding", namespaced=False),
)
