"""The office of certificate requests: what it reads, whom it allows, and certificates that it signs."""

import base64
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reconciler.api.auth import certificates
from reconciler.api.auth.authorisation import Asked, Decision
from reconciler.api.calls import User
from reconciler.client import protocol
from reconciler.controllers import signing
from reconciler.daemon import office
from reconciler.kit import clock
from reconciler.model import meta
from tests.unit.api import world

NAMES: list[x509.GeneralName] = [x509.DNSName("n"), x509.RFC822Name("a@b.c")]


def packed(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    name = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"), x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n")]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(name))
    builder = builder.add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
    request = builder.sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def decide(user: User, asked: Asked) -> Decision:
    return Decision("nodes" in user.groups and (asked.verb, asked.subresource) == ("create", "nodeclient"), "")


async def test_a_request_is_read_judged_and_signed(tmp_path: Path) -> None:
    async with world.world() as running:
        time = clock.SystemClock()
        authority = certificates.Authority(tmp_path / "pki", time)
        authority.load_or_make()
        made = office.Office(authority, decide, running.client, signs=True)
        key = ec.generate_private_key(ec.SECP256R1())
        request = packed(key)
        assert made.read(request) == signing.Asked("system:node:n", ("system:nodes",), ("n",), emails=("a@b.c",))
        assert made.read("bm90aGluZw==") is None
        assert made.allows({"username": "x", "groups": ["nodes"]}, "nodeclient")
        assert not made.allows({"username": "x"}, "nodeclient")
        spec = {"signerName": "kubernetes.io/kubelet-serving", "usages": ["digital signature", "server auth"], "request": request}
        stored = await running.create(
            "certificatesigningrequests.certificates.k8s.io",
            {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "r"}, "spec": spec},
        )
        wanted = signing.Sign("r", meta.uid(stored), request, tuple(spec["usages"]), 3600, "it was approved")
        written = await made.performers()[signing.Sign](wanted, protocol.Origin(actor="test"))
        assert written is not None
        signed = x509.load_pem_x509_certificate(base64.b64decode(meta.status(written.obj)["certificate"]))
        signed.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pem))
        assert signed.public_key() == key.public_key()
        assert list(signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == NAMES
        assert list(signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
        assert signed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
        life = signed.not_valid_after_utc - signed.not_valid_before_utc
        assert life == datetime.timedelta(hours=1) + certificates.CLOCK_SKEW


def test_a_request_whose_signature_is_wrong_is_not_signed(tmp_path: Path) -> None:
    authority = certificates.Authority(tmp_path / "pki", clock.SystemClock())
    authority.load_or_make()
    request = bytearray(
        base64.b64decode("".join(base64.b64decode(packed(rsa.generate_private_key(65537, 2048))).decode().splitlines()[1:-1]))
    )
    request[-1] ^= 1
    text = base64.encodebytes(bytes(request)).decode()
    with pytest.raises(ValueError, match="not signed with its own key"):
        authority.issue(f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n".encode(), ("client auth",), 3600)
