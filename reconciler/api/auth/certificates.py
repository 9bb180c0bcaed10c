"""The server's own certificate authority, and the certificates that it signs: serving and admin.

Keys are ECDSA P-256, files are written with mode 0600 before they get their name, certificates are renewed when a
third of their life is left. A CA that expired or a file that cannot be read is an error that says what to do, never a
silent new identity: clients that trust the old CA would be locked out.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reconciler.kit import clock

CA_DAYS = 3650
LEAF_DAYS = 365
EARLIEST = 1_577_836_800.0  # 2020-01-01: a board whose clock says less does not know the time
BACKDATED = datetime.timedelta(hours=1)  # for clients whose clocks are behind
CLOCK_SKEW = datetime.timedelta(minutes=5)  # of those who asked for a certificate
EXTENDED = {"client auth": ExtendedKeyUsageOID.CLIENT_AUTH, "server auth": ExtendedKeyUsageOID.SERVER_AUTH}
MASTERS = "system:masters"
ADMIN = "kubernetes-admin"


def known_time(now: float) -> float:
    return max(now, EARLIEST)


class Unusable(Exception):
    """A certificate or key cannot be used; the message says which file and what to do."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    def exists(self) -> bool:
        return self.certificate.exists() and self.key.exists()


@dataclass(frozen=True, slots=True)
class Identity:
    """What a leaf certificate says: a common name, organisations (groups), and the names it serves under."""

    name: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @property
    def is_server(self) -> bool:
        return bool(self.hosts)


class Authority:
    """The CA of one data folder. `folder` holds ca.crt and ca.key, and the pairs that it signs."""

    def __init__(self, folder: Path, time: clock.Clock) -> None:
        self.folder = folder
        self._time = time
        self.pair = Pair(folder / "ca.crt", folder / "ca.key")

    def load_or_make(self) -> None:
        """Read the CA, or make it on first start. Raises Unusable."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.pair.certificate.exists() and not self.pair.key.exists():
            self._make()
        certificate = _read_certificate(self.pair.certificate)
        self._key()
        if _remaining(certificate, self._now()) <= datetime.timedelta(0):
            raise Unusable(
                f"the certificate authority {self.pair.certificate} expired on {certificate.not_valid_after_utc:%Y-%m-%d}:"
                f" move {self.folder} away to make a new one (every kubeconfig must then be handed out again),"
                " or correct the clock"
            )

    @property
    def pem(self) -> bytes:
        return self.pair.certificate.read_bytes()

    def pair_for(self, file: str, identity: Identity) -> Pair:
        """The pair FILE.crt and FILE.key, signed anew when it is absent, near its end, or says something else."""
        pair = Pair(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        if not pair.exists() or not self._is_good(pair, identity):
            self._sign(pair, identity)
        return pair

    def renewal_due(self, pair: Pair) -> bool:
        return _is_near_end(_read_certificate(pair.certificate), self._now())

    def issue(self, request: bytes, usages: Sequence[str], seconds: int) -> bytes:
        """A certificate for the key and the names of a PKCS #10 request, as PEM. Raises ValueError for one that is none."""
        asked = x509.load_pem_x509_csr(request)
        if not asked.is_signature_valid:
            raise ValueError("the request is not signed with its own key")
        key = asked.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
            raise ValueError("the request's key is of an unknown type")
        authority, signer = _read_certificate(self.pair.certificate), self._key()
        now = self._now()
        until = min(now + datetime.timedelta(seconds=seconds), authority.not_valid_after_utc)
        builder = x509.CertificateBuilder().subject_name(asked.subject).issuer_name(authority.subject).public_key(key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - CLOCK_SKEW).not_valid_after(until)
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False, enciphers="key encipherment" in usages), critical=True)
            .add_extension(x509.ExtendedKeyUsage([EXTENDED[usage] for usage in usages if usage in EXTENDED]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        names = _alternative_names(asked)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(known_time(self._time.now()), datetime.UTC)

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "reconciler-ca")])
        now = self._now()
        certificate = (
            _builder(name, name, key.public_key(), now, CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_pair(self.pair, certificate, key)

    def _key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise Unusable(f"cannot read the key {self.pair.key}: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Unusable(f"the key {self.pair.key} is no elliptic-curve key")
        return key

    def _is_good(self, pair: Pair, identity: Identity) -> bool:
        """Whether a leaf can go on being used; one that cannot be read is simply signed again."""
        try:
            certificate = _read_certificate(pair.certificate)
            authority = _read_certificate(self.pair.certificate)
        except Unusable:
            return False
        if _is_near_end(certificate, self._now()) or certificate.issuer != authority.subject:
            return False
        try:
            certificate.verify_directly_issued_by(authority)
        except Exception:  # noqa: BLE001 - whatever is wrong with the signature, the answer is a new one
            return False
        return certificate.subject == _subject(identity) and _hosts(certificate) == set(identity.hosts)

    def _sign(self, pair: Pair, identity: Identity) -> None:
        authority, signer = _read_certificate(self.pair.certificate), self._key()
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._now()
        until = min(now + datetime.timedelta(days=LEAF_DAYS), authority.not_valid_after_utc)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if identity.is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(_subject(identity), authority.subject, key.public_key(), now, LEAF_DAYS)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if identity.hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in identity.hosts]), critical=False)
        _write_pair(pair, builder.sign(signer, hashes.SHA256()), key)


def read_request(pem: bytes) -> dict[str, Any]:
    """What a PKCS #10 request says, by the fields of controllers/signing.Asked. Raises ValueError."""
    asked = x509.load_pem_x509_csr(pem)
    names = _alternative_names(asked)
    common = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        "common_name": str(common[-1].value) if common else "",
        "organizations": tuple(str(one.value) for one in asked.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)),
        "dns_names": tuple(name.value for name in names if isinstance(name, x509.DNSName)),
        "ip_addresses": tuple(str(name.value) for name in names if isinstance(name, x509.IPAddress)),
        "emails": tuple(name.value for name in names if isinstance(name, x509.RFC822Name)),
        "uris": tuple(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)),
    }


def serving_hosts(listen_hosts: Sequence[str], service_address: str) -> tuple[str, ...]:
    """The names under which clients reach the server: the listener's, the machine's own, and the Service's."""
    names = [
        "localhost", "127.0.0.1", "::1", service_address,
        "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
        *(host for host in listen_hosts if host not in ("0.0.0.0", "::")),  # noqa: S104 - left out, not bound
    ]  # fmt: skip
    return tuple(dict.fromkeys(names))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - BACKDATED)
    return builder.not_valid_after(now + datetime.timedelta(days=days)) if days == CA_DAYS else builder


def _usage(*, signs: bool, enciphers: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=enciphers,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(identity: Identity) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, identity.name)])


def _alternative_names(asked: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _hosts(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Unusable(f"cannot read the certificate {path}: {error}") from error


def _remaining(certificate: x509.Certificate, now: datetime.datetime) -> datetime.timedelta:
    return certificate.not_valid_after_utc - now


def _is_near_end(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return _remaining(certificate, now) < life / 3 or certificate.not_valid_before_utc > now


def _write_pair(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """The key first: a certificate without its key is signed again, a key without its certificate too."""
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(pair.key, encoded)
    write_private(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def write_private(path: Path, content: bytes) -> None:
    """Replace a file as a whole, readable by its owner only from its first moment on."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)
