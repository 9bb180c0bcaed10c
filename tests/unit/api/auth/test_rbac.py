"""RBAC against a plain reading of the same roles and bindings, and its words."""

import itertools
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from reconciler.api.auth import authorisation, rbac
from reconciler.api.auth.authorisation import Asked
from reconciler.api.cache import Cache, Item
from reconciler.api.calls import User
from reconciler.kinds import rbac_rules
from reconciler.model import errors
from tests.unit.api.memory import MemoryJournal

NAMES = ("a", "b")
USERS = [User("u", ("g",)), User("system:serviceaccount:a:s", ("system:serviceaccounts",)), User("v")]
words = st.lists(st.sampled_from(["get", "list", "*"]), min_size=1, max_size=2)
rules = st.fixed_dictionaries(
    {
        "verbs": words,
        "apiGroups": st.lists(st.sampled_from(["", "apps", "*"]), min_size=1, max_size=2),
        "resources": st.lists(st.sampled_from(["pods", "pods/log", "*/log", "*"]), min_size=1, max_size=2),
    },
    optional={"resourceNames": st.lists(st.sampled_from(NAMES), max_size=1)},
) | st.fixed_dictionaries({"verbs": words, "nonResourceURLs": st.lists(st.sampled_from(["/x", "/x/*", "*"]), min_size=1, max_size=2)})
subjects = st.sampled_from(
    [
        {"kind": "User", "name": "u"},
        {"kind": "Group", "name": "g"},
        {"kind": "ServiceAccount", "name": "s", "namespace": "a"},
        {"kind": "ServiceAccount", "name": "s"},
        {"kind": "Group", "name": "u"},
    ]
)
roles = st.tuples(st.sampled_from(["", *NAMES]), st.sampled_from(NAMES), st.lists(rules, max_size=3))
bindings = st.tuples(
    st.sampled_from(["", *NAMES]),
    st.sampled_from(["Role", "ClusterRole"]),
    st.sampled_from(NAMES),
    st.lists(subjects, min_size=1, max_size=2),
)


def seeded(
    all_roles: list[tuple[str, str, list[dict[str, Any]]]], all_bindings: list[tuple[str, str, str, list[dict[str, Any]]]]
) -> rbac.Rbac:
    cache = Cache(MemoryJournal())
    for namespace, name, found in all_roles:
        kind = rbac.ROLES if namespace else rbac.CLUSTER_ROLES
        cache.shelf(kind).put(f"{namespace}/{name}", Item({"metadata": {"name": name, "namespace": namespace}, "rules": found}, 1, b""))
    for index, (namespace, role_kind, role, who) in enumerate(all_bindings):
        kind = rbac.ROLE_BINDINGS if namespace else rbac.CLUSTER_ROLE_BINDINGS
        metadata = {"name": f"b{index}", **({"namespace": namespace} if namespace else {})}
        obj = {"metadata": metadata, "roleRef": {"kind": role_kind, "name": role}, "subjects": who}
        cache.shelf(kind).put(f"{namespace}/b{index}", Item(obj, 1, b""))
    made = rbac.Rbac(cache)
    made.load()
    return made


def plainly(all_roles: Any, all_bindings: Any, user: User, asked: Asked) -> bool:
    """The specification, one loop after the other."""
    found = {(namespace, name): rules for namespace, name, rules in all_roles}
    for namespace, role_kind, role, who in all_bindings:
        if namespace and namespace != asked.namespace:
            continue
        for one in who:
            account = f"system:serviceaccount:{one.get('namespace') or namespace}:{one['name']}"
            is_account = one["kind"] == "ServiceAccount" and (one.get("namespace") or namespace) and user.name == account
            if not (
                is_account
                or (one["kind"] == "User" and user.name == one["name"])
                or (one["kind"] == "Group" and one["name"] in user.groups)
            ):
                continue
            if any(_plain_rule(rule, asked) for rule in found.get((namespace if role_kind == "Role" else "", role), ())):
                return True
    return False


def _plain_rule(rule: dict[str, Any], asked: Asked) -> bool:
    if not {"*", asked.verb} & set(rule["verbs"]):
        return False
    if not asked.resource:
        urls = rule.get("nonResourceURLs", [])
        return any(url == asked.path or (url.endswith("*") and asked.path.startswith(url[:-1])) for url in urls)
    if not {"*", asked.group} & set(rule.get("apiGroups", [])):
        return False
    combined = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    wanted = {"*", combined} | ({f"*/{asked.subresource}"} if asked.subresource else set())
    return bool(wanted & set(rule.get("resources", []))) and (not rule.get("resourceNames") or asked.name in rule["resourceNames"])


QUESTIONS = [
    Asked(verb=verb, group=group, resource="pods", subresource=subresource, namespace=namespace, name=name)
    for verb, group, subresource, namespace, name in itertools.product(["get", "list"], ["", "apps"], ["", "log"], ["", *NAMES], ["", "a"])
] + [Asked(verb="get", path=path) for path in ("/x", "/x/y", "/y")]


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    st.lists(roles, max_size=4, unique_by=lambda role: role[:2]),
    st.lists(bindings.filter(lambda binding: binding[0] or binding[1] == "ClusterRole"), max_size=4),
)
def test_it_decides_as_the_plain_reading_does(all_roles: Any, all_bindings: Any) -> None:
    made = seeded(all_roles, all_bindings)
    for user, asked in itertools.product(USERS, QUESTIONS):
        assert made.decide(user, asked).allowed == plainly(all_roles, all_bindings, user, asked), (user, asked)


def test_reasons_name_the_binding_or_what_is_missing() -> None:
    allow = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    made = seeded(
        [("a", "r", [allow])],
        [("a", "Role", "r", [{"kind": "User", "name": "u"}]), ("b", "ClusterRole", "gone", [{"kind": "Group", "name": "g"}])],
    )
    user = User("u", ("g",))
    decided = made.decide(user, Asked(verb="get", resource="pods", namespace="a"))
    assert decided == authorisation.Decision(True, 'RBAC: allowed by RoleBinding "b0/a" of Role "r" to User "u"')
    with pytest.raises(errors.StatusError) as refused:
        authorisation.require(made.decide, user, Asked(verb="get", resource="pods", subresource="log", namespace="b", name="p"))
    assert refused.value.message == (
        'pods "p" is forbidden: User "u" cannot get resource "pods/log" in API group "" in the namespace "b":'
        ' RBAC: clusterroles.rbac.authorization.k8s.io "gone" not found'
    )


def test_masters_may_do_everything() -> None:
    assert seeded([], []).decide(User("root", ("system:masters",)), Asked(verb="delete", path="/everything")).allowed


def test_what_is_missing_is_told_in_kubernetes_words() -> None:
    held = [{"verbs": ["get"], "apiGroups": [""], "resources": ["*/log", "pods"], "resourceNames": []}]
    wanted = [
        {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
        {"verbs": ["get"], "nonResourceURLs": ["/x"]},
    ]
    assert rbac_rules.described(rbac_rules.missing(held, wanted)) == "\n".join(
        [
            '{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}',
            '{APIGroups:[""], Resources:["pods/log"], Verbs:["list" "watch"]}',
            '{NonResourceURLs:["/x"], Verbs:["get"]}',
        ]
    )
    assert rbac_rules.missing(rbac_rules.EVERYTHING, wanted) == []
