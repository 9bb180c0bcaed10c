"""What planners ask of those who hold the server's keys, and what they are told of certificate requests.

Reading a request and judging a user are pure, but need what planners cannot have (x509, the roles); so an `Office` is
handed to them. `Sign` is performed by whoever holds the authority's key, `IssueToken` through the API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Asked:
    """The contents of one PKCS #10 request."""

    common_name: str
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


class Office(Protocol):
    @property
    def signs(self) -> bool:
        """Whether approved requests are signed here."""

    def read(self, packed: str) -> Asked | None:
        """A request in PEM in base64; None for one that cannot be read."""

    def allows(self, sender: Mapping[str, Any], subresource: str) -> bool:
        """Whether the sender, as a request's spec says who it was, may create certificatesigningrequests/`subresource`."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Issue the certificate that the request `name` asks for, into its status."""

    name: str
    uid: str
    packed: str  # PEM in base64
    usages: tuple[str, ...]
    seconds: int
    why: str

    @property
    def kind(self) -> str:
        return "certificatesigningrequests.certificates.k8s.io"


@dataclass(frozen=True, slots=True)
class IssueToken:
    """Put a token of the ServiceAccount `account` into the Secret `name`."""

    namespace: str
    name: str
    uid: str
    account: str
    why: str

    @property
    def kind(self) -> str:
        return "secrets"
