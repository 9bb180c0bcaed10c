"""Who may do what. For now members of system:masters may do everything and nobody else anything.

An authoriser is a function of the user and the request's attributes that says yes or gives the reason why not; more
of them (RBAC, Node, webhook) are asked in order.
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
    path: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


Authoriser = Callable[[User, Asked], bool]


def masters(user: User, _: Asked) -> bool:
    return MASTERS in user.groups


def require(authoriser: Authoriser, user: User, asked: Asked) -> None:
    """Raises StatusError 403 in kube-apiserver's words."""
    if not authoriser(user, asked):
        raise _forbidden(user, asked)


def _forbidden(user: User, asked: Asked) -> errors.StatusError:
    if not asked.resource:
        return errors.StatusError(403, "Forbidden", f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"', details={})
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    qualified = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    if asked.subresource:
        qualified += f"/{asked.subresource}"
    subject = f'{qualified} "{asked.name}"' if asked.name else qualified
    message = f'{subject} is forbidden: User "{user.name}" cannot {asked.verb} resource "{resource}" in API group "{asked.group}" {where}'
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    return errors.StatusError(403, "Forbidden", message, details={key: value for key, value in details.items() if value})
