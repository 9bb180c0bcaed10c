"""Who is asking: client certificate, bearer token, or the owner of the unix socket; who shows none is anonymous.

Authenticators are asked in order; one that does not know the caller says None, one that knows it to be wrong raises.
The result of a certificate or a socket holds for the whole connection, an Authorization header for its request: a token
in it names the user, an empty one says that the request is nobody's.
"""

import csv
import hmac
import logging
import os
import socket
import ssl
import struct
from asyncio import BaseTransport
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.api.calls import User
from reconciler.kit import clock as clocks
from reconciler.model import errors

log = logging.getLogger(__name__)

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))
TOKENS_MOST = 10_000
_PEER = struct.Struct("3i")  # pid, uid, gid of SO_PEERCRED


def of_connection(transport: BaseTransport, now: float) -> User | None:
    """The user that a TLS client certificate or a unix socket's peer stands for. Raises StatusError 401 for an expired one."""
    certificate = transport.get_extra_info("peercert")
    if certificate:
        _check_dates(certificate, now)
        return _of_certificate(certificate)
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family == socket.AF_UNIX:
        return _of_peer(connection)
    return None


def _check_dates(certificate: Mapping[str, object], now: float) -> None:
    """The TLS layer does not look at them, for it could only hang up, and nobody would know why."""
    begins, ends = (ssl.cert_time_to_seconds(str(certificate[field])) for field in ("notBefore", "notAfter"))
    if begins <= now <= ends:
        return
    at = clocks.rfc3339(now)
    words = f"is after {clocks.rfc3339(ends)}" if now > ends else f"is before {clocks.rfc3339(begins)}"
    raise unauthorized(f"x509: certificate has expired or is not yet valid: current time {at} {words}; fetch the kubeconfig again")


def _of_certificate(certificate: Mapping[str, object]) -> User | None:
    """Common name and organisations, as kube-apiserver reads them; the TLS layer has verified the signature."""
    name, groups = "", list[str]()
    subject = certificate.get("subject")
    for relative in subject if isinstance(subject, tuple) else ():
        for key, value in relative:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return User(name, (*groups, AUTHENTICATED)) if name else None


def _of_peer(connection: socket.socket) -> User | None:
    """Root and the account that runs the server own the cluster."""
    _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid in (0, os.getuid()):
        return User(f"local:{uid}", (MASTERS, AUTHENTICATED))
    return None


@dataclass(frozen=True, slots=True)
class Tokens:
    """A static token file: token,user,uid,"group1,group2" a line, as kube-apiserver's --token-auth-file."""

    users: tuple[tuple[bytes, User], ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """Raises ValueError with file and line for a line that cannot be read."""
        found = []
        with path.open(newline="") as lines:
            for number, row in enumerate(csv.reader(lines), 1):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) < 3 or not row[0] or not row[1]:
                    raise ValueError(f"{path}:{number}: expected token,user,uid[,groups]")
                groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
                found.append((row[0].encode(), User(row[1], (*groups, AUTHENTICATED), row[2])))
                if len(found) > TOKENS_MOST:
                    raise ValueError(f"{path}:{number}: more than {TOKENS_MOST} tokens")
        return cls(tuple(found))

    def user_of(self, token: str) -> User | None:
        """Looks at every token, so that the time taken says nothing about them."""
        sent, found = token.encode(errors="surrogateescape"), None  # what is no text is nobody's, either
        for known, user in self.users:
            if hmac.compare_digest(known, sent):
                found = user
        return found


def unauthorized(why: str = "Unauthorized") -> errors.StatusError:
    return errors.StatusError(401, "Unauthorized", why)


def of_header(authorization: str, tokens: Tokens, accounts: Callable[[str], User | None] = lambda _: None) -> User | None:
    """The user of an Authorization header. Raises StatusError 401 for a bearer token that nobody has."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return None
    user = tokens.user_of(token.strip()) or (accounts(token.strip()) if token.isascii() else None)
    if user is None:
        raise unauthorized()
    return user
