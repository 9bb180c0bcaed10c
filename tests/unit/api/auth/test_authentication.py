"""Tokens and certificates to users."""

import pathlib
from typing import Any

import pytest

from reconciler.api.auth import authentication
from reconciler.api.calls import User
from reconciler.kit import clock as clocks
from reconciler.model import errors


def tokens(tmp_path: pathlib.Path, text: str) -> authentication.Tokens:
    path = tmp_path / "tokens.csv"
    path.write_text(text)
    return authentication.Tokens.read(path)


def test_tokens_name_users_and_groups(tmp_path: pathlib.Path) -> None:
    found = tokens(tmp_path, '# staff\nsecret,jane,u1,"system:masters,devs"\nother,joe,u2\n')
    assert found.user_of("secret") == User("jane", ("system:masters", "devs", "system:authenticated"), "u1")
    assert found.user_of("other") == User("joe", ("system:authenticated",), "u2")
    assert found.user_of("secre") is None


@pytest.mark.parametrize("line", ["secret", "secret,jane", ",jane,u1", "secret,,u1"])
def test_a_bad_line_is_named(tmp_path: pathlib.Path, line: str) -> None:
    with pytest.raises(ValueError, match=r"tokens\.csv:2: expected token,user,uid"):
        tokens(tmp_path, f"good,jane,u1\n{line}\n")


def test_a_certificate_names_its_user() -> None:
    subject = ((("organizationName", "system:masters"),), (("commonName", "kubernetes-admin"),))
    found = authentication._of_certificate({"subject": subject})
    assert found == User("kubernetes-admin", ("system:masters", "system:authenticated"))
    assert authentication._of_certificate({"subject": ((("organizationName", "system:masters"),),)}) is None


class Transport:
    """A TLS connection with a certificate of these dates."""

    def __init__(self, begins: str, ends: str) -> None:
        self._certificate = {"subject": ((("commonName", "jane"),),), "notBefore": begins, "notAfter": ends}

    def get_extra_info(self, name: str) -> Any:
        return self._certificate if name == "peercert" else None


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [
        ("Jan  1 00:00:00 2026 GMT", "Jan  1 00:00:00 2027 GMT", ""),
        ("Jan  1 00:00:00 2025 GMT", "Jan  1 00:00:00 2026 GMT", "is after 2026-01-01T00:00:00Z"),
        ("Jan  1 00:00:00 2027 GMT", "Jan  1 00:00:00 2028 GMT", "is before 2027-01-01T00:00:00Z"),
    ],
)
def test_dates_of_certificates(begins: str, ends: str, words: str) -> None:
    transport: Any = Transport(begins, ends)
    now = clocks.parse_rfc3339("2026-06-01T00:00:00Z")
    if not words:
        assert authentication.of_connection(transport, now) == User("jane", ("system:authenticated",))
        return
    with pytest.raises(errors.StatusError, match=f"expired or is not yet valid.*{words}") as refusal:
        authentication.of_connection(transport, now)
    assert refusal.value.code == 401
