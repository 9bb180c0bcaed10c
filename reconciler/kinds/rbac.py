"""Role, ClusterRole and their bindings: who may do what."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults
from reconciler.kinds.rules import check
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError
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


def validate_role(role: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    for index, rule in enumerate(rules(role)):
        yield from _validate_rule(f"rules[{index}]", rule, namespaced=True)


def validate_cluster_role(role: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    for index, rule in enumerate(rules(role)):
        yield from _validate_rule(f"rules[{index}]", rule, namespaced=False)
    aggregation = role.get("aggregationRule")
    if aggregation is None:
        return
    path = "aggregationRule.clusterRoleSelectors"
    if not aggregation.get("clusterRoleSelectors"):
        yield errors.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(aggregation.get("clusterRoleSelectors") or ()):
        wrong = list(check.label_selector(f"{path}[{index}]", selector))
        yield from wrong
        if wrong:
            yield errors.invalid(f"{path}[{index}]", None, "invalid label selector.")


def _validate_rule(path: str, rule: Mapping[str, Any], *, namespaced: bool) -> Iterator[FieldError]:
    if not rule.get("verbs"):
        yield errors.required(f"{path}.verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            yield errors.invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            yield errors.invalid(f"{path}.nonResourceURLs", urls, detail)
        return
    if not rule.get("apiGroups"):
        yield errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield errors.required(f"{path}.resources", "resource rules must supply at least one resource")


def _binding_rules(*kinds: str) -> Callable[[meta.Obj, meta.Obj | None], Iterator[FieldError]]:
    """`kinds` of roles that the binding may name."""

    def validate(binding: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
        role = role_reference(binding)
        yield from check.one_of("roleRef.apiGroup", role.get("apiGroup", ""), (GROUP,))
        yield from check.one_of("roleRef.kind", role.get("kind", ""), kinds, sort=False)
        if not role.get("name"):
            yield errors.required("roleRef.name")
        else:
            yield from check.because("roleRef.name", role["name"], names.path_segment(role["name"]))
        for index, subject in enumerate(subjects(binding)):
            yield from _validate_subject(f"subjects[{index}]", subject, namespaced="Role" in kinds)
        if old is not None and role != role_reference(old):
            yield errors.invalid("roleRef", check.internal(role, APIGroup="", Kind="", Name=""), "cannot change roleRef")

    return validate


def _validate_subject(path: str, subject: Mapping[str, Any], *, namespaced: bool) -> Iterator[FieldError]:
    kind, name, group = subject.get("kind", ""), subject.get("name", ""), subject.get("apiGroup", "")
    if not name:
        yield errors.required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            yield from check.subdomain(f"{path}.name", name)
        if group:
            yield errors.not_supported(f"{path}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            yield errors.required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        yield from check.one_of(f"{path}.apiGroup", group, (GROUP,))
    else:
        yield errors.not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


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
        validate=_binding_rules("Role", "ClusterRole") if namespaced else _binding_rules("ClusterRole"),
        columns=(
            columns.NAME,
            columns.column("Role", _role_cell, "@roleRef" if namespaced else CLUSTER_ROLE_REF),
            columns.AGE,
            columns.column("Users", lambda b: _subjects_cell(b, "User"), f"Users in the {own}", wide=True),
            columns.column("Groups", lambda b: _subjects_cell(b, "Group"), f"Groups in the {own}", wide=True),
            columns.column("ServiceAccounts", lambda b: _subjects_cell(b, "ServiceAccount"), f"ServiceAccounts in the {own}", wide=True),
        ),
        name_rule="rbac",
        create_on_update=True,
        order=15,
    )


# What Kubernetes says of it since before the field was documented as it is now.
CLUSTER_ROLE_REF = (
    "RoleRef can only reference a ClusterRole in the global namespace."
    " If the RoleRef cannot be resolved, the Authorizer must return an error."
)

KINDS = (
    Kind(
        group=GROUP,
        kind="Role",
        plural="roles",
        singular="role",
        versions=(Version(name="v1", schema="io.k8s.api.rbac.v1.Role"),),
        validate=validate_role,
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
        validate=validate_cluster_role,
        columns=columns.DEFAULT,
        name_rule="rbac",
        create_on_update=True,
        order=12,
    ),
    _binding("RoleBinding", namespaced=True),
    _binding("ClusterRoleBinding", namespaced=False),
)
