"""Who may do what: the question, the answer, and kube-apiserver's words for a refusal.

An authoriser is a function of the user and the request's attributes; rbac.py has the one that is used. Members of
system:masters may do everything.
"""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.api.calls import User
from reconciler.model import errors

MASTERS = "system:masters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an authoriser judges: a verb on a resource, or (resource empty) on a path."""

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` says what allows it, or what could not be looked up."""

    allowed: bool
    reason: str = ""


Authoriser = Callable[[User, Asked], Decision]
ALLOWED = Decision(True)


def require(authoriser: Authoriser, user: User, asked: Asked) -> None:
    """Raises StatusError 403 in kube-apiserver's words."""
    decision = authoriser(user, asked)
    if not decision.allowed:
        raise forbidden(user, asked, decision.reason)


def forbidden(user: User, asked: Asked, reason: str = "") -> errors.StatusError:
    because = f": {reason}" if reason else ""
    if not asked.resource:
        message = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"{because}'
        return errors.StatusError(403, "Forbidden", message, details={})
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    qualified = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    subject = f'{qualified} "{asked.name}"' if asked.name else qualified
    done = f'cannot {asked.verb} resource "{resource}" in API group "{asked.group}" {where}'
    message = f'{subject} is forbidden: User "{user.name}" {done}{because}'
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    return errors.StatusError(403, "Forbidden", message, details={key: value for key, value in details.items() if value})
