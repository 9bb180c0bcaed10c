"""The Node authoriser: a node may do what nodes do, and see of secrets and the like only what its own pods mention.

Nodes are the users system:node:NAME of the group system:nodes. What they may write beyond that NodeRestriction
(admission) limits to themselves. Pods are looked through when a node asks for one of their things by name.
"""

from collections.abc import Callable, Iterable, Iterator

from reconciler.api.auth import bootstrap_policy
from reconciler.api.auth.authorisation import Asked, Decision
from reconciler.api.cache import Cache
from reconciler.api.calls import User
from reconciler.kinds import pod_references
from reconciler.kinds.rbac_rules import Rule
from reconciler.model import meta

NODES = "system:nodes"
PREFIX = "system:node:"
LEASES = "kube-node-lease"
UNRELATED = "node '{node}' has no relationship found to this object"
_READS = frozenset({"get", "list", "watch"})
_MENTIONED: dict[str, Callable[[meta.Obj], Iterable[str]]] = {
    "secrets": pod_references.secrets,
    "configmaps": pod_references.config_maps,
    "persistentvolumeclaims": pod_references.claims,
}


def name_of(user: User) -> str:
    """The node that a user is, "" for everybody else."""
    return user.name.removeprefix(PREFIX) if user.name.startswith(PREFIX) and NODES in user.groups else ""


class NodeAuthoriser:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._rules = [Rule.of(rule, "") for rule in bootstrap_policy.NODE]

    def decide(self, user: User, asked: Asked) -> Decision:
        node = name_of(user)
        if not node or not asked.resource:
            return Decision(False)
        key = "" if asked.group else asked.resource
        if key in _MENTIONED and not asked.subresource:
            return self._related(node, asked, asked.verb in _READS, _MENTIONED[key])
        if (key, asked.subresource) == ("serviceaccounts", "token"):
            return self._related(node, asked, asked.verb == "create", lambda pod: (pod_references.account(pod),))
        if key == "persistentvolumes":
            return self._volume(node, asked)
        if (asked.group, asked.resource) == ("coordination.k8s.io", "leases"):
            own = asked.namespace == LEASES and (asked.name == node or asked.verb == "create")
            return Decision(own and asked.verb in ("get", "create", "update", "patch", "delete"))
        return Decision(any(rule.allows(asked.verb, asked.group, asked.resource, asked.subresource, asked.name) for rule in self._rules))

    def pods(self, node: str, namespace: str | None = None) -> Iterator[meta.Obj]:
        return (item.obj for _, item in self._cache.shelf("pods").in_order(namespace) if meta.spec(item.obj).get("nodeName") == node)

    def _related(self, node: str, asked: Asked, is_fit: bool, mentioned: Callable[[meta.Obj], Iterable[str]]) -> Decision:
        if is_fit and asked.name and any(asked.name in mentioned(pod) for pod in self.pods(node, asked.namespace)):
            return Decision(True)
        return Decision(False, UNRELATED.format(node=node) if is_fit else "")

    def _volume(self, node: str, asked: Asked) -> Decision:
        """A volume is seen through the claim that is bound to it."""
        item = self._cache.get("persistentvolumes", "", asked.name) if asked.verb == "get" else None
        claim = (meta.spec(item.obj).get("claimRef") or {}) if item is not None else {}
        pods = self.pods(node, claim.get("namespace", "")) if claim else iter(())
        return Decision(any(str(claim.get("name", "")) in pod_references.claims(pod) for pod in pods))
