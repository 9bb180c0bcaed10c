"""Impersonate-* headers: somebody who may speaks as somebody else.

Everything that is asked for (user, groups, uid, extra) needs the verb `impersonate` on it.
"""

import json
from collections.abc import Mapping
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from reconciler.api.auth import authorisation
from reconciler.api.auth.authentication import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED
from reconciler.api.calls import User
from reconciler.model import errors

PREFIX = "Impersonate-"
EXTRA_PREFIX = "impersonate-extra-"
ACCOUNT = "system:serviceaccount:"
GROUP = "authentication.k8s.io"


def user_of(headers: CIMultiDictProxy[str], asker: User, authoriser: authorisation.Authoriser) -> User:
    """Who the request is to be judged as. Raises StatusError 400 and 403."""
    name, uid = _text(headers.get("Impersonate-User", "")), _text(headers.get("Impersonate-Uid", ""))
    groups = tuple(map(_text, headers.getall("Impersonate-Group", ())))
    extra = _extra(headers)
    if not name:
        if groups or uid or extra:
            raise errors.bad_request(f"requested {_go(uid, groups, extra)} without impersonating a user name")
        return asker
    for asked in _asked(name, uid, groups, extra):
        authorisation.require(authoriser, asker, asked)
    if name.startswith(ACCOUNT) and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{name.split(':')[2]}")
    if not {AUTHENTICATED, UNAUTHENTICATED} & set(groups):
        groups = (*groups, UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED)
    return User(name, groups, uid, extra)


def _asked(name: str, uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]) -> list[authorisation.Asked]:
    def asked(resource: str, name: str, group: str = "", subresource: str = "", namespace: str = "") -> authorisation.Asked:
        return authorisation.Asked(
            verb="impersonate", group=group, resource=resource, subresource=subresource, namespace=namespace, name=name
        )

    parts = name.split(":")
    if name.startswith(ACCOUNT) and len(parts) == 4 and all(parts):
        wanted = [asked("serviceaccounts", parts[3], namespace=parts[2])]
    else:
        wanted = [asked("users", name)]
    wanted += [asked("groups", group) for group in groups]
    wanted += [asked("userextras", value, GROUP, key) for key, values in extra.items() for value in values]
    return [*wanted, asked("uids", uid, GROUP)] if uid else wanted


def _extra(headers: CIMultiDictProxy[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        lowered = header.lower()
        if lowered.startswith(EXTRA_PREFIX):
            key = unquote(lowered.removeprefix(EXTRA_PREFIX))
            found[key] = (*found.get(key, ()), _text(value))
    return found


def _text(value: str) -> str:
    """A header as text: bytes that are no characters are replaced."""
    return value.encode(errors="surrogateescape").decode(errors="replace")


def _go(uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]) -> str:
    """As Go shows a user."""

    def strings(values: tuple[str, ...]) -> str:
        return "[]string{" + ", ".join(map(json.dumps, values)) + "}" if values else "[]string(nil)"

    shown = ", ".join(f"{json.dumps(key)}:{strings(extra[key])}" for key in sorted(extra))
    more = f"map[string][]string{{{shown}}}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{json.dumps(uid)}, Groups:{strings(groups)}, Extra:{more}}}'
