"""Makes references follow renamed resources: a ConfigMap that got a hash, a Service that got a prefix.

Run once, when every name is final. A reference is found by its path (config.py), its target by what it was called
when the reference was written.
"""

from collections.abc import Callable, Iterable
from typing import Any

from reconciler.gitops.kustomize import fields, spec
from reconciler.gitops.kustomize.resource import NOWHERE, Resource

Same = Callable[[Resource], tuple[str, str]]


class Ambiguous(Exception):
    """A reference that several resources could be meant by."""


def fix(resources: list[Resource], references: Iterable[spec.Reference]) -> None:
    """Raises Ambiguous."""
    renamed: dict[str, list[Resource]] = {}
    for resource in resources:
        for name in dict.fromkeys(one.name for one in resource.previous):
            renamed.setdefault(name, []).append(resource)
    if not renamed:
        return
    known = list(references)
    for referrer in resources:
        was = referrer.original
        for reference in known:
            for field in reference.field_specs:
                if was.is_of(field):
                    _Fixer(referrer, reference, field, renamed).fix()


class _Fixer:
    """One field of one resource."""

    def __init__(self, referrer: Resource, reference: spec.Reference, field: spec.FieldSpec, renamed: dict[str, list[Resource]]) -> None:
        self._referrer = referrer
        self._identity = referrer.identity
        self._reference = reference
        self._field = field
        self._renamed = renamed

    def fix(self) -> None:
        place = spec.FieldSpec(path=self._field.path)
        try:
            fields.change(self._referrer, place, self._new)
        except fields.Misfit:
            raise Ambiguous(f"{self._field.path} of {self._identity} leads through a scalar") from None

    def _new(self, old: Any) -> Any:
        if isinstance(old, str):
            target = self._target(old, lambda one: (one.identity.name, ""), None)
            return target.identity.name if target is not None else old
        if isinstance(old, dict):
            return self._mapping(old)
        return [self._new(item) for item in old] if isinstance(old, list) else old

    def _mapping(self, old: dict[str, Any]) -> dict[str, Any]:
        """A reference by name and namespace, such as a subject or a webhook's service."""
        name = old.get("name")
        if not isinstance(name, str):
            return old
        target = self._target(name, lambda one: (one.identity.name, one.identity.namespace), old.get("namespace"))
        if target is None:
            return old
        namespace = target.metadata.get("namespace")
        return {**old, "name": target.identity.name, **({"namespace": namespace} if namespace else {})}

    def _target(self, name: str, same: Same, namespace: str | None) -> Resource | None:
        found = self._candidates(name, namespace)
        if len(found) > 1:
            found = [one for one in found if _are_siblings(one, self._referrer, lenient=True)]
        if len(found) > 1:
            found = [one for one in found if _are_siblings(one, self._referrer, lenient=False)]
        if len({same(one) for one in found}) > 1:
            names = ", ".join(str(one.identity) for one in found)
            raise Ambiguous(f"{name} in {self._field.path} of {self._identity} may be any of {names}")
        return found[0] if found else None

    def _candidates(self, name: str, namespace: str | None) -> list[Resource]:
        found = [one for one in self._renamed.get(name, ()) if self._may_refer(one, name)]
        if namespace is None:
            return found
        by_origin = [one for one in found if one.original.namespace == namespace]
        return by_origin or [one for one in found if one.identity.namespace == namespace]

    def _may_refer(self, target: Resource, name: str) -> bool:
        was = [one for one in target.previous if one.name == name]
        if not was or not any(one.is_of(self._reference) for one in target.previous) or not self._is_role(target):
            return False
        here, there = self._identity.namespace, target.identity.namespace
        if NOWHERE in (here, there) or here == there:
            return True
        return target.identity.kind == "ServiceAccount" and target.metadata.get("namespace") in _bound_namespaces(self._referrer)

    def _is_role(self, target: Resource) -> bool:
        """Where the reference says group and kind itself, they decide."""
        role = self._referrer.body.get("roleRef")
        if not self._field.path.endswith("roleRef/name") or not isinstance(role, dict):
            return True
        return any((one.group, one.kind) == (role.get("apiGroup"), role.get("kind")) for one in target.previous)


def _bound_namespaces(referrer: Resource) -> set[str]:
    """The namespaces whose accounts a RoleBinding names."""
    subjects = referrer.body.get("subjects") if referrer.identity.kind == "RoleBinding" else None
    return {str(one.get("namespace")) for one in subjects or () if isinstance(one, dict) and one.get("kind") == "ServiceAccount"}


def _are_siblings(left: Resource, right: Resource, *, lenient: bool) -> bool:
    """Whether two resources went through the same prefixes and suffixes; `lenient` where one had none."""
    pairs = ((left.prefixes, right.prefixes), (left.suffixes, right.suffixes))
    return all((lenient and not (one and other)) or _end_alike(one, other) for one, other in pairs)


def _end_alike(left: list[str], right: list[str]) -> bool:
    shorter = min(len(left), len(right))
    return (shorter == 0 and left == right) or (shorter > 0 and left[-shorter:] == right[-shorter:])
