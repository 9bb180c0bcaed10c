"""Tokens and certificates to users."""

import pathlib

import pytest

from reconciler.api.auth import authentication
from reconciler.api.calls import User


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
