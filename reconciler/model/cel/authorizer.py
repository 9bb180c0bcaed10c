"""Kubernetes' authorizer library: expressions ask whether the requesting user, or a service account, may do a thing.

What decides is handed in as `ask`; asking is one look into memory. A check is put together step by step
(`authorizer.group('apps').resource('deployments').namespace('x').check('get')`), each step a Question of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.model.cel import types
from reconciler.model.cel.library import Function, Overload
from reconciler.model.cel.types import Type
from reconciler.model.cel.values import Opaque

PREFIX = "kubernetes.authorization."
PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK = Type(f"{PREFIX}PathCheck"), Type(f"{PREFIX}GroupCheck"), Type(f"{PREFIX}ResourceCheck")
DECISION = Type(f"{PREFIX}Decision")
AUTHORIZER = types.object_of(f"{PREFIX}Authorizer", {"requestResource": RESOURCE_CHECK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`account` is (namespace, name) of the service account asked about instead of the requesting user."""

    ask: Callable[["Question"], tuple[bool, str]]
    account: tuple[str, str] | None = None
    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class Authorizer(dict[str, Any]):
    """The variable `authorizer`: a value with one field, and where questions begin."""

    def __init__(self, root: Question, request: Question) -> None:
        super().__init__(requestResource=Opaque(RESOURCE_CHECK, request))
        self.root = root


def _begun(type: Type, field: str) -> Callable[[Authorizer, str], Opaque]:
    return lambda authorizer, text: Opaque(type, _with(authorizer.root, field, text))


def _refined(field: str) -> Callable[[Opaque, str], Opaque]:
    return lambda check, text: Opaque(RESOURCE_CHECK, _with(check.value, field, text))


def _with(question: Question, field: str, text: str) -> Question:
    changes: dict[str, Any] = {field: text}
    return replace(question, **changes)


def _checked(check: Opaque, verb: str) -> Opaque:
    return Opaque(DECISION, check.value.ask(replace(check.value, verb=verb)))


def _account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    root = replace(authorizer.root, account=(namespace, name))
    return Authorizer(root, replace(authorizer["requestResource"].value, account=(namespace, name)))


def _member(run: Callable[..., Any], result: Type, *arguments: Type) -> Function:
    return Function(run, (Overload(True, arguments, result),))


FUNCTIONS: Mapping[str, Function] = {
    "path": _member(_begun(PATH_CHECK, "path"), PATH_CHECK, AUTHORIZER, types.STRING),
    "group": _member(_begun(GROUP_CHECK, "group"), GROUP_CHECK, AUTHORIZER, types.STRING),
    "serviceAccount": _member(_account, AUTHORIZER, AUTHORIZER, types.STRING, types.STRING),
    "resource": _member(_refined("resource"), RESOURCE_CHECK, GROUP_CHECK, types.STRING),
    "subresource": _member(_refined("subresource"), RESOURCE_CHECK, RESOURCE_CHECK, types.STRING),
    "namespace": _member(_refined("namespace"), RESOURCE_CHECK, RESOURCE_CHECK, types.STRING),
    "name": _member(_refined("name"), RESOURCE_CHECK, RESOURCE_CHECK, types.STRING),
    "check": Function(_checked, tuple(Overload(True, (type, types.STRING), DECISION) for type in (PATH_CHECK, RESOURCE_CHECK))),
    "allowed": _member(lambda decision: decision.value[0], types.BOOL, DECISION),
    "reason": _member(lambda decision: decision.value[1], types.STRING, DECISION),
    "errored": _member(lambda _: False, types.BOOL, DECISION),
    "error": _member(lambda _: "", types.STRING, DECISION),
}
