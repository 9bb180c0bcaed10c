"""RBAC: what the roles that are bound to a user allow.

Which bindings name whom is indexed as the watch cache moves; a user's rules are gathered on the first question and
kept until any role or binding changes. Members of system:masters are allowed everything before anything is looked up,
nodes what the Node authoriser (node.py) says.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.api.auth import node
from reconciler.api.auth.authorisation import ALLOWED, MASTERS, Asked, Decision
from reconciler.api.cache import Cache, Step
from reconciler.api.calls import User
from reconciler.kinds import rbac, rbac_rules
from reconciler.kinds.rbac_rules import Rule
from reconciler.model import errors, meta

ROLES = f"roles.{rbac.GROUP}"
CLUSTER_ROLES = f"clusterroles.{rbac.GROUP}"
ROLE_BINDINGS = f"rolebindings.{rbac.GROUP}"
CLUSTER_ROLE_BINDINGS = f"clusterrolebindings.{rbac.GROUP}"
KINDS = frozenset({ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS})
USERS_KEPT = 4096

Subject = tuple[str, str]  # (User or Group, name); a service account is its user


@dataclass(slots=True)
class Grants:
    """The rules of one user per namespace of the binding ("" for all of them), and what could not be resolved."""

    rules: dict[str, list[Rule]] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def of(self, namespace: str) -> Iterator[Rule]:
        yield from self.rules.get("", ())
        if namespace:
            yield from self.rules.get(namespace, ())

    def problems_of(self, namespace: str) -> list[str]:
        return [*self.problems.get("", ()), *(self.problems.get(namespace, ()) if namespace else ())]


class Rbac:
    """`load()` once the cache is loaded."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._nodes = node.NodeAuthoriser(cache)
        self._bindings: dict[Subject, dict[tuple[str, str], None]] = {}
        self._grants: OrderedDict[tuple[str, tuple[str, ...]], Grants] = OrderedDict()

    def load(self) -> None:
        self._cache.subscribe(self._see, self._reset)
        self._reset()

    def decide(self, user: User, asked: Asked) -> Decision:
        if MASTERS in user.groups:
            return ALLOWED
        by_node = self._nodes.decide(user, asked)
        if by_node.allowed:
            return by_node
        grants = self._of(user)
        for rule in grants.of(asked.namespace):
            if asked.resource:
                allowed = rule.allows(asked.verb, asked.group, asked.resource, asked.subresource, asked.name)
            else:
                allowed = rule.allows_path(asked.verb, asked.path)
            if allowed:
                return Decision(True, f"RBAC: allowed by {rule.source}")
        return Decision(False, by_node.reason or _problem(grants.problems_of(asked.namespace)))

    def rules_of(self, user: User, namespace: str) -> tuple[list[rbac_rules.PolicyRule], str]:
        """Every rule that holds for a user in a namespace, and what could not be resolved."""
        grants = self._of(user)
        held = list(rbac_rules.EVERYTHING) if MASTERS in user.groups else []
        return held + [rule.raw for rule in grants.of(namespace)], _aggregate(grants.problems_of(namespace))

    def role_rules(self, reference: Mapping[str, Any], namespace: str) -> Sequence[rbac_rules.PolicyRule]:
        """The rules of a role that a binding in `namespace` names. Raises StatusError 404."""
        plural, where = ("roles", namespace) if reference.get("kind") == "Role" else ("clusterroles", "")
        name = str(reference.get("name", ""))
        role = self._cache.get(f"{plural}.{rbac.GROUP}", where, name)
        if role is None:
            raise errors.not_found(plural, rbac.GROUP, name)
        return rbac.rules(role.obj)

    def _of(self, user: User) -> Grants:
        key = (user.name, user.groups)
        found = self._grants.get(key)
        if found is None:
            found = self._grants[key] = self._gathered(user)
            if len(self._grants) > USERS_KEPT:
                self._grants.popitem(last=False)
        return found

    def _gathered(self, user: User) -> Grants:
        grants = Grants()
        subjects: list[Subject] = [("User", user.name), *(("Group", group) for group in user.groups)]
        bindings = {binding for subject in subjects for binding in self._bindings.get(subject, ())}
        for kind, key in sorted(bindings):
            item = self._cache.shelf(kind).items.get(key)
            if item is not None:
                self._add(grants, item.obj, user)
        return grants

    def _add(self, grants: Grants, binding: meta.Obj, user: User) -> None:
        namespace, reference = meta.namespace(binding), rbac.role_reference(binding)
        try:
            rules = self.role_rules(reference, namespace)
        except errors.StatusError as missing:
            grants.problems.setdefault(namespace, []).append(missing.message)
            return
        named = f"{meta.name(binding)}/{namespace}" if namespace else meta.name(binding)
        role = f'{reference.get("kind")} "{reference.get("name")}"'
        source = f'{"RoleBinding" if namespace else "ClusterRoleBinding"} "{named}" of {role} to {_described(binding, user)}'
        grants.rules.setdefault(namespace, []).extend(Rule.of(rule, source) for rule in rules)

    def _see(self, _: int, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.kind not in KINDS:
                continue
            self._grants.clear()
            if step.kind in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
                if step.before is not None:
                    self._drop(step.kind, step.key, step.before.obj)
                if step.after is not None:
                    self._index(step.kind, step.key, step.after.obj)

    def _reset(self) -> None:
        self._bindings.clear()
        self._grants.clear()
        for kind in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            for key, item in self._cache.shelf(kind).in_order():
                self._index(kind, key, item.obj)

    def _index(self, kind: str, key: str, binding: meta.Obj) -> None:
        for _, subject in _subjects(binding):
            self._bindings.setdefault(subject, {})[kind, key] = None

    def _drop(self, kind: str, key: str, binding: meta.Obj) -> None:
        for _, subject in _subjects(binding):
            named = self._bindings.get(subject, {})
            named.pop((kind, key), None)
            if not named:
                self._bindings.pop(subject, None)


def _subjects(binding: meta.Obj) -> Iterator[tuple[Mapping[str, Any], Subject]]:
    """Each subject, and the user or group that it stands for."""
    for one in rbac.subjects(binding):
        kind, name = str(one.get("kind", "")), str(one.get("name", ""))
        if kind == "ServiceAccount":
            namespace = one.get("namespace") or meta.namespace(binding)
            if namespace:
                yield one, ("User", f"system:serviceaccount:{namespace}:{name}")
        elif kind in ("User", "Group"):
            yield one, (kind, name)


def _described(binding: meta.Obj, user: User) -> str:
    """The first subject of a binding that is the user."""
    for one, (kind, name) in _subjects(binding):
        if name == user.name if kind == "User" else name in user.groups:
            account = f"{one['name']}/{one.get('namespace') or meta.namespace(binding)}"
            return f'{one["kind"]} "{account if one["kind"] == "ServiceAccount" else name}"'
    return ""


def _problem(problems: Sequence[str]) -> str:
    return f"RBAC: {_aggregate(problems)}" if problems else ""


def _aggregate(problems: Iterable[str]) -> str:
    """As Go's aggregate of errors reads."""
    different = list(dict.fromkeys(problems))
    return different[0] if len(different) == 1 else f"[{', '.join(different)}]" if different else ""
