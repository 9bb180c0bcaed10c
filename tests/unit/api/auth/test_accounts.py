"""Service accounts' tokens and the keys that sign them."""

import pathlib
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from reconciler.api.auth import accounts, certificates
from reconciler.kit import clock as clocks
from reconciler.model import meta

ACCOUNT = {"metadata": {"name": "robot", "namespace": "default", "uid": "u1"}}
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def found(kind: str, namespace: str, name: str) -> meta.Obj | None:
    return ACCOUNT if (kind, namespace, name) == ("serviceaccounts", "default", "robot") else None


def started(file: pathlib.Path | None) -> accounts.Accounts:
    return accounts.Accounts(file, clocks.SystemClock(), found)


def issued(by: accounts.Accounts) -> str:
    return str(by.answer(ACCOUNT, {}, "test")["status"]["token"])


def written(file: pathlib.Path, key: Key) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificates.write_private(file, pem)


def signed(key: Any, algorithm: str, key_id: str) -> str:
    """A token that says all that one of ours says."""
    claims = {"iss": accounts.ISSUER, "aud": [accounts.ISSUER], "iat": 0, "exp": 1 << 40, "sub": "system:serviceaccount:default:robot"}
    claims["kubernetes.io"] = {"namespace": "default", "serviceaccount": {"name": "robot", "uid": "u1"}}
    return jwt.encode(claims, key, algorithm, {"kid": key_id})


def names(of: accounts.Accounts, token: str) -> str:
    user = of.user_of(token)
    return user.name if user is not None else ""


def test_the_key_is_rsa_and_outlives_the_process(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "pki" / "sa.key"
    first = started(file)
    assert not file.exists()  # it is made when it is needed
    token = issued(first)
    assert jwt.get_unverified_header(token)["alg"] == "RS256"
    assert file.stat().st_mode & 0o777 == 0o600
    assert names(started(file), token) == "system:serviceaccount:default:robot"
    assert names(started(None), token) == ""
    assert first.discovery("x")["id_token_signing_alg_values_supported"] == ["RS256"]


def test_others_verify_by_the_published_keys() -> None:
    made = started(None)
    [key] = jwt.PyJWKSet.from_dict(made.keys()).keys
    assert (key.key_id, made.keys()["keys"][0]["kty"]) == (jwt.get_unverified_header(issued(made))["kid"], "RSA")
    claims = jwt.decode(issued(made), key, algorithms=["RS256"], audience=accounts.ISSUER)
    assert claims["sub"] == "system:serviceaccount:default:robot"


def test_a_key_of_another_kind_goes_on_verifying(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "sa.key"
    old = ec.generate_private_key(ec.SECP256R1())
    written(file, old)
    for _ in range(2):  # the second start finds it moved
        made = started(file)
        new, kept = made.keys()["keys"]
        assert (new["alg"], kept["alg"]) == ("RS256", "ES256")
        assert names(made, signed(old, "ES256", kept["kid"])) == "system:serviceaccount:default:robot"
        assert jwt.get_unverified_header(issued(made))["kid"] == new["kid"]
    assert (tmp_path / "sa.old.key").stat().st_mode & 0o777 == 0o600
    assert made.discovery("x")["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


def test_a_key_is_replaced_by_moving_it(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "sa.key"
    token = issued(started(file))
    file.rename(tmp_path / "sa.old.key")
    made = started(file)
    assert names(made, token) == names(made, issued(made)) == "system:serviceaccount:default:robot"
    assert len(made.keys()["keys"]) == 2


def test_forged_tokens_are_nobodys() -> None:
    made = started(None)
    [key] = made.keys()["keys"]
    assert names(made, signed(rsa.generate_private_key(65537, 2048), "RS256", key["kid"])) == ""
    assert names(made, signed(rsa.generate_private_key(65537, 2048), "RS256", "other")) == ""
    assert names(made, signed("k" * 64, "HS256", key["kid"])) == ""
    assert names(made, signed(None, "none", key["kid"])) == ""
    assert names(made, "no.such.token") == ""


@pytest.mark.parametrize("content", [b"nothing", None])
def test_a_file_without_such_a_key_is_named(tmp_path: pathlib.Path, content: bytes | None) -> None:
    file = tmp_path / "sa.key"
    if content is not None:
        file.write_bytes(content)
    else:
        written(file, ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(certificates.Unusable, match=r"sa\.key holds n.*move it away"):
        started(file)
