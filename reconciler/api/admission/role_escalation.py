"""Nobody gives away permissions that they do not hold, unless the verbs `escalate` and `bind` let them.

Kubernetes does this in the storage of the RBAC kinds (pkg/registry/rbac/*/policybased); the words are its own.
"""

from dataclasses import dataclass
from typing import Any

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.api.auth import authorisation, rbac
from reconciler.kinds import rbac as kinds
from reconciler.kinds import rbac_rules
from reconciler.model import meta

COLLECTED = frozenset({"ownerReferences", "finalizers", "managedFields", "resourceVersion"})  # metadata that garbage collection changes


@dataclass(frozen=True, slots=True)
class RoleEscalation:
    authoriser: rbac.Rbac

    def validate(self, attributes: Attributes, obj: meta.Obj) -> None:
        call = attributes.call
        if attributes.operation == "DELETE" or authorisation.MASTERS in call.user.groups:
            return
        if attributes.old is not None and _is_same(obj, attributes.old):
            return
        if call.kind.id in (rbac.ROLES, rbac.CLUSTER_ROLES):
            self._judge_role(attributes, obj)
        else:
            self._judge_binding(attributes, obj)

    def _judge_role(self, attributes: Attributes, role: meta.Obj) -> None:
        call, old = attributes.call, attributes.old
        name = call.name if old is not None else ""
        if self._may(attributes, "escalate", call.kind.plural, name):
            return
        if old is None or kinds.rules(role) != kinds.rules(old):
            self._require_held(attributes, kinds.rules(role))
        if role.get("aggregationRule") and self._missing(attributes, rbac_rules.EVERYTHING):
            raise call.forbidden("must have cluster-admin privileges to use an aggregationRule")

    def _judge_binding(self, attributes: Attributes, binding: meta.Obj) -> None:
        reference = kinds.role_reference(binding)
        plural = "roles" if reference.get("kind") == "Role" else "clusterroles"
        if self._may(attributes, "bind", plural, str(reference.get("name", ""))):
            return
        self._require_held(attributes, self.authoriser.role_rules(reference, attributes.call.namespace))

    def _may(self, attributes: Attributes, verb: str, plural: str, name: str) -> bool:
        asked = authorisation.Asked(verb=verb, group=kinds.GROUP, resource=plural, namespace=attributes.call.namespace, name=name)
        return self.authoriser.decide(attributes.call.user, asked).allowed

    def _require_held(self, attributes: Attributes, wanted: Any) -> None:
        """Raises StatusError 403 with what the user does not hold."""
        lacking = self._missing(attributes, wanted)
        if not lacking:
            return
        user = attributes.call.user
        _, problem = self.authoriser.rules_of(user, attributes.call.namespace)
        who = f'user "{user.name}" (groups={rbac_rules.quoted(user.groups)})'
        told = f"{who} is attempting to grant RBAC permissions not currently held:\n{rbac_rules.described(lacking)}"
        raise attributes.call.forbidden(f"{told}; resolution errors: [{problem}]" if problem else told)

    def _missing(self, attributes: Attributes, wanted: Any) -> list[rbac_rules.PolicyRule]:
        held, _ = self.authoriser.rules_of(attributes.call.user, attributes.call.namespace)
        return rbac_rules.missing(held, wanted)


def _is_same(obj: meta.Obj, old: meta.Obj) -> bool:
    """Whether nothing changed but what the garbage collector may change."""

    def left(one: meta.Obj) -> dict[str, Any]:
        return {**one, "metadata": {key: value for key, value in meta.meta(one).items() if key not in COLLECTED}}

    return left(obj) == left(old)


def plugin(authoriser: rbac.Rbac) -> Plugin:
    return Plugin(name="RoleEscalation", kinds=rbac.KINDS, validate=RoleEscalation(authoriser).validate)
