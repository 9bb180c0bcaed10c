"""A ClusterRole with an aggregation rule has the rules of all ClusterRoles that the rule selects."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.model import meta, plan, selectors
from reconciler.model.view import NAMESPACE, View

ROLES = "clusterroles.rbac.authorization.k8s.io"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    role = view.get(ROLES, *key)
    if role is None or not _selectors(role):
        return plan.NOTHING
    rules: list[Mapping[str, Any]] = []
    for selector in _selectors(role):
        for other in view.select(ROLES, "", selector):
            if meta.name(other) != key[1]:
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    if rules == list(role.get("rules") or ()):
        return plan.NOTHING
    return plan.plan_of([plan.Update(kind=ROLES, body={**role, "rules": rules}, why="the roles it aggregates changed")])


def _selectors(role: meta.Obj) -> list[selectors.Selector]:
    chosen = (role.get("aggregationRule") or meta.EMPTY).get("clusterRoleSelectors") or ()
    return [selectors.from_label_selector(selector) for selector in chosen]


def _aggregating(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    for role in view.by(ROLES, NAMESPACE, ""):
        if any(selector.matches(meta.labels(obj)) for selector in _selectors(role) for obj in (old, new) if obj is not None):
            yield meta.key(role)


CONTROLLER = plan.Controller(name="clusterrole-aggregation-controller", kind=ROLES, plan=planned, follows={ROLES: _aggregating})
