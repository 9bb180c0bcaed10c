"""What validating and mutating policies share: compiled policies, bindings, parameters, the variables of a request."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from reconciler import kinds
from reconciler.api.admission import matching, review
from reconciler.api.admission.chain import Attributes
from reconciler.api.auth import accounts, authorisation
from reconciler.api.deletion import DEFINITIONS
from reconciler.kinds import admission_cel, customresourcedefinition
from reconciler.model import meta, selectors
from reconciler.model.cel import authorizer
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.program import Program
from reconciler.model.kind import Version

COMPILED_KEPT = 512
GROUP = "admissionregistration.k8s.io"
NO_PARAMS = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
VALIDATING, MUTATING = f"validatingadmissionpolicies.{GROUP}", f"mutatingadmissionpolicies.{GROUP}"
BINDINGS = {VALIDATING: f"validatingadmissionpolicybindings.{GROUP}", MUTATING: f"mutatingadmissionpolicybindings.{GROUP}"}


@dataclass(frozen=True, slots=True)
class Bound:
    """A policy that applies to a write through one binding and, where it has parameters, one of them.

    `version` is the form of the object that the policy's rules are about; `problem` says why it cannot be evaluated.
    """

    policy: meta.Obj
    binding: meta.Obj
    compiled: admission_cel.Compiled
    version: Version
    params: meta.Obj | None = None
    problem: str = ""

    @property
    def fails_closed(self) -> bool:
        return bool(meta.spec(self.policy).get("failurePolicy", "Fail") == "Fail")

    def variables(self, attributes: Attributes, obj: meta.Obj) -> dict[str, Any]:
        """What the expressions may name; `obj` is in the hub version."""
        given = _variables(attributes, obj, self.version)
        return _lazily(self.compiled, {**given, "params": self.params})


class Compiler:
    """Compiled policies, kept by what they say."""

    def __init__(self) -> None:
        self._compiled = lru_cache(maxsize=COMPILED_KEPT)(lambda keyed: admission_cel.compiled(keyed.policy))

    def of(self, policy: meta.Obj) -> admission_cel.Compiled:
        return self._compiled(_Keyed(policy))


class _Keyed:
    """A policy that is the same as long as its uid and generation are."""

    __slots__ = ("key", "policy")

    def __init__(self, policy: meta.Obj) -> None:
        self.policy = policy
        self.key = (meta.uid(policy), meta.generation(policy))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.key == other.key


def bound(attributes: Attributes, obj: meta.Obj, compiler: Compiler, kind: str) -> Iterator[Bound]:
    """Every policy and binding of `kind` that a write is subject to, once per parameter."""
    policies = attributes.cache.shelf(kind)
    if not policies.items or matching.is_exempt(attributes):
        return
    bindings = [item.obj for _, item in attributes.cache.shelf(BINDINGS[kind]).in_order()]
    for _, item in policies.in_order():
        policy = item.obj
        mine = [one for one in bindings if meta.spec(one).get("policyName") == meta.name(policy)]
        version = matching.matched(attributes, obj, meta.spec(policy).get("matchConstraints") or {}) if mine else None
        for binding in mine if version is not None else ():
            if matching.matched(attributes, obj, meta.spec(binding).get("matchResources") or {}) is not None:
                yield from _with_params(attributes, Bound(policy, binding, compiler.of(policy), version))  # type: ignore[arg-type]


def _with_params(attributes: Attributes, one: Bound) -> Iterator[Bound]:
    kind, reference = meta.spec(one.policy).get("paramKind"), meta.spec(one.binding).get("paramRef")
    if not kind:
        yield one
        return
    found_kind = _kind_id(attributes, kind)
    if found_kind is None:
        named = f"{kind['apiVersion']}, Kind={kind['kind']}"
        problem = f"failed to configure policy: failed to find resource referenced by paramKind: '{named}'"
        yield replace(one, problem=problem)
        return
    if not reference:
        yield one
        return
    found = _params(attributes, *found_kind, reference)
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        yield replace(one, problem=NO_PARAMS)
    yield from (replace(one, params=params) for params in found)


def _params(attributes: Attributes, kind_id: str, is_namespaced: bool, reference: Mapping[str, Any]) -> list[meta.Obj]:
    namespace = (reference.get("namespace") or attributes.call.namespace) if is_namespaced else ""
    if reference.get("name"):
        item = attributes.cache.get(kind_id, namespace, reference["name"])
        return [item.obj] if item is not None else []
    wanted = selectors.from_label_selector(reference.get("selector"))
    return [item.obj for _, item in attributes.cache.shelf(kind_id).in_order(namespace) if wanted.matches(meta.labels(item.obj))]


def _kind_id(attributes: Attributes, wanted: Mapping[str, str]) -> tuple[str, bool] | None:
    """The Kind.id of a parameter kind, and whether it is namespaced."""
    builtin = kinds.builtin().of_object(wanted["apiVersion"], wanted["kind"])
    if builtin is not None:
        return builtin.storage_id, builtin.namespaced
    group = wanted["apiVersion"].rpartition("/")[0]
    for name, item in attributes.cache.shelf(DEFINITIONS).in_order():
        spec = meta.spec(item.obj)
        is_it = spec.get("group") == group and spec["names"]["kind"] == wanted["kind"]
        if is_it and customresourcedefinition.is_established(item.obj):
            return name.rpartition("/")[2], spec.get("scope") == "Namespaced"
    return None


def _variables(attributes: Attributes, obj: meta.Obj, version: Version) -> dict[str, Any]:
    call, old = attributes.call, attributes.old
    is_delete = attributes.operation == "DELETE"
    namespace = attributes.cache.get("namespaces", "", call.namespace) if call.namespace else None
    return {
        "object": None if is_delete else attributes.shown(obj, version),
        "oldObject": attributes.shown(old, version) if old is not None else None,
        "namespaceObject": namespace.obj if namespace is not None else None,
        "request": lambda: _request(attributes),
        "authorizer": lambda: _authorizer(attributes),
    }


def _authorizer(attributes: Attributes) -> authorizer.Authorizer:
    call = attributes.call

    def ask(question: authorizer.Question) -> tuple[bool, str]:
        asked = authorisation.Asked(
            verb=question.verb,
            path=question.path,
            group=question.group,
            resource=question.resource,
            subresource=question.subresource,
            namespace=question.namespace,
            name=question.name,
        )
        user = call.user if question.account is None else accounts.user_named(*question.account)
        decision = attributes.authoriser(user, asked)
        return decision.allowed, decision.reason

    root = authorizer.Question(ask=ask)
    request = replace(
        root,
        group=call.kind.group,
        resource=call.kind.plural,
        subresource=call.subresource,
        namespace=review.namespace_of(call),
        name=call.name,
    )
    return authorizer.Authorizer(root, request)


def _request(attributes: Attributes) -> dict[str, Any]:
    """The AdmissionRequest that expressions see: whole, without the objects."""
    call = attributes.call
    empty = {"subResource": "", "requestSubResource": "", "name": "", "namespace": ""}
    asked = {**empty, **review.request(attributes, None, call.version)}
    info = {"username": "", "uid": "", "groups": [], "extra": {}, **asked["userInfo"]}
    return {**{key: value for key, value in asked.items() if key not in ("object", "oldObject")}, "userInfo": info}


def are_met(attributes: Attributes, obj: meta.Obj, version: Version, compiled: admission_cel.Compiled) -> bool:
    """Whether the match conditions of a webhook hold. Raises Failed with the condition that could not be told."""
    given = {**_variables(attributes, obj, version), "params": None}
    return all(evaluated(condition, given) for condition in compiled.conditions)


def _lazily(compiled: admission_cel.Compiled, given: dict[str, Any]) -> dict[str, Any]:
    """`given` with the policy's variables, each evaluated when it is first asked for."""
    values: dict[str, Any] = {}
    everything = {**given, "variables": values}

    def once(name: str, program: Program) -> Any:
        def value() -> Any:
            values[name] = program.evaluate(everything)
            return values[name]

        return value

    for name, program in compiled.variables:
        values[name] = once(name, program)
    return everything


def is_concerned(one: Bound, variables: dict[str, Any]) -> bool:
    """Whether the match conditions hold. Raises Failed with the condition that could not be told."""
    return all(evaluated(condition, variables) for condition in one.compiled.conditions)


def evaluated(program: Program, variables: dict[str, Any]) -> Any:
    """Raises Failed with the expression in the message."""
    try:
        return program.evaluate(variables)
    except Failed as failure:
        raise Failed(f"expression '{program.text}' resulted in error: {failure}") from None
