"""ValidatingAdmissionPolicies: what the types of the objects that they are about say against their expressions.

Upstream: pkg/controller/validatingadmissionpolicystatus. An expression that does not compile at all was refused when
the policy was written; one that names a field which a matched kind does not have is warned of in the status, once for
each generation. Rules with wildcards match no kind here, and of many kinds only the first are looked at.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

from reconciler.controllers import Facts
from reconciler.kinds import admission_cel
from reconciler.model import meta, plan
from reconciler.model.cel import nodes, types
from reconciler.model.cel.types import Type
from reconciler.model.roster import Roster
from reconciler.model.schema import Schemas
from reconciler.model.view import View

POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"
KINDS_MOST = 10
NAME = "validatingadmissionpolicy-status-controller"


def planned(schemas: Schemas, view: View, key: meta.Key, now: float) -> plan.Plan:
    policy = view.get(POLICIES, *key)
    if policy is None or meta.is_deleting(policy) or meta.status(policy).get("observedGeneration") == meta.generation(policy):
        return plan.NOTHING
    found = _warnings(schemas, view.roster, policy) if schemas.definitions else []
    checking = {"expressionWarnings": found} if found else {}
    status = {**meta.status(policy), "observedGeneration": meta.generation(policy), "typeChecking": checking}
    why = f"{len(found)} of its expressions do not fit" if found else "its expressions fit"
    return plan.plan_of([plan.Update(kind=POLICIES, body=meta.put(policy, ("status",), status), subresource="status", why=why)])


def _warnings(schemas: Schemas, roster: Roster, policy: meta.Obj) -> list[dict[str, str]]:
    spec = meta.spec(policy)
    typed = _matched(schemas, roster, (spec.get("matchConstraints") or meta.EMPTY).get("resourceRules") or ())
    params = spec.get("paramKind") or meta.EMPTY
    param_type = _type(schemas, roster, str(params.get("apiVersion", "")), str(params.get("kind", "")))
    return admission_cel.warnings(policy, dict(sorted(typed.items())), param_type or types.DYN)


def _matched(schemas: Schemas, roster: Roster, rules: Iterable[Mapping[str, Any]]) -> dict[str, Type]:
    """The types of the kinds that rules name, by group, version and kind as Go writes them."""
    found: dict[str, Type] = {}
    for rule in rules:
        for group, version, resource in _named(rule):
            kind = roster.of_resource(group, version, resource)
            type = _type(schemas, roster, kind.api_version(version), kind.kind) if kind is not None else None
            if kind is not None and type is not None:
                found[f"{group}/{version}, Kind={kind.kind}"] = type
            if len(found) == KINDS_MOST:
                return found
    return found


def _named(rule: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    wanted = [rule.get(part) or [] for part in ("apiGroups", "apiVersions", "resources")]
    if not any("*" in part for part in wanted):
        resources = [name for name in wanted[2] if "/" not in name]
        yield from product(sorted(wanted[0]), sorted(wanted[1]), sorted(resources))


def _type(schemas: Schemas, roster: Roster, api_version: str, kind: str) -> Type | None:
    found = roster.of_object(api_version, kind)
    if found is None:
        return None
    return nodes.type_of(schemas.of(found.version(api_version.rpartition("/")[2]).schema))


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    return (plan.Controller(name=NAME, kind=POLICIES, plan=partial(planned, facts.schemas)),)
