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

COMPILED_KEPT = 512
GROUP = "admissionregistration.k8s.io"
VALIDATING, MUTATING = f"validatingadmissionpolicies.{GROUP}", f"mutatingadmissionpolicies.{GROUP}"
BINDINGS = {VALIDATING: f"validatingadmissionpolicybindings.{GROUP}", MUTATING: f"mutatingadmissionpolicybindings.{GROUP}"}


class Misconfigured(Exception):
    """A binding whose parameters are not there."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A policy that applies to a write through one binding."""

    policy: meta.Obj
    binding: meta.Obj
    compiled: admission_cel.Compiled
    variables: dict[str, Any]

    @property
    def fails_closed(self) -> bool:
        return bool(meta.spec(self.policy).get("failurePolicy", "Fail") == "Fail")


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


def bound(
    attributes: Attributes, obj: meta.Obj, compiler: Compiler, kind: str
) -> Iterator[tuple[meta.Obj, meta.Obj, Bound | Misconfigured]]:
    """Every policy and binding of `kind` that a write is subject to, once per parameter."""
    policies = attributes.cache.shelf(kind)
    if not policies.items or matching.is_exempt(attributes):
        return
    bindings = [item.obj for _, item in attributes.cache.shelf(BINDINGS[kind]).in_order()]
    for _, item in policies.in_order():
        policy = item.obj
        mine = [one for one in bindings if meta.spec(one).get("policyName") == meta.name(policy)]
        if not mine or not matching.matches(attributes, obj, meta.spec(policy).get("matchConstraints") or {}):
            continue
        for binding in mine:
            if matching.matches(attributes, obj, meta.spec(binding).get("matchResources") or {}):
                yield from _with_params(attributes, obj, compiler, policy, binding)


def _with_params(
    attributes: Attributes, obj: meta.Obj, compiler: Compiler, policy: meta.Obj, binding: meta.Obj
) -> Iterator[tuple[meta.Obj, meta.Obj, Bound | Misconfigured]]:
    compiled, given = compiler.of(policy), _variables(attributes, obj)
    param_kind = meta.spec(policy).get("paramKind")
    reference = meta.spec(binding).get("paramRef")
    if not param_kind or not reference:
        yield policy, binding, Bound(policy, binding, compiled, _lazily(compiled, {**given, "params": None}))
        return
    found = _params(attributes, param_kind, reference)
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        problem = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        yield policy, binding, Misconfigured(problem)
    for params in found:
        yield policy, binding, Bound(policy, binding, compiled, _lazily(compiled, {**given, "params": params}))


def _params(attributes: Attributes, kind: Mapping[str, str], reference: Mapping[str, Any]) -> list[meta.Obj]:
    found = _kind_id(attributes, kind)
    if found is None:
        return []
    kind_id, is_namespaced = found
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


def _variables(attributes: Attributes, obj: meta.Obj) -> dict[str, Any]:
    call = attributes.call
    is_delete = attributes.operation == "DELETE"
    namespace = attributes.cache.get("namespaces", "", call.namespace) if call.namespace else None
    return {
        "object": None if is_delete else obj,
        "oldObject": attributes.old,
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


def are_met(attributes: Attributes, obj: meta.Obj, compiled: admission_cel.Compiled) -> bool:
    """Whether the match conditions of a webhook hold. Raises Failed with the condition that could not be told."""
    given = {**_variables(attributes, obj), "params": None}
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


def is_concerned(one: Bound) -> bool:
    """Whether the match conditions hold. Raises Failed with the condition that could not be told."""
    return all(evaluated(condition, one.variables) for condition in one.compiled.conditions)


def evaluated(program: Program, variables: dict[str, Any]) -> Any:
    """Raises Failed with the expression in the message."""
    try:
        return program.evaluate(variables)
    except Failed as failure:
        raise Failed(f"expression '{program.text}' resulted in error: {failure}") from None
