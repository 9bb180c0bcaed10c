"""The keys of service accounts' tokens: RSA, as Kubernetes', in a file that outlives the process.

The first key signs. The one that the file held before stays beside it, in NAME.old.key, and verifies what it has signed:
whoever wants a new key moves the file there. A key that is no RSA key (earlier versions had EC keys) is moved so by itself.
The signing key is made when it is first needed: that takes 50 ms of CPU, once in the life of a data folder.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from reconciler.api.auth import certificates

RSA_BITS = 2048
RSA_EXPONENT = 65537

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Public = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Verifier:
    """What checks a signature: one key, and the one algorithm that it is for."""

    id: str
    key: Public

    @classmethod
    def of(cls, key: Public) -> "Verifier":
        digest = hashes.Hash(hashes.SHA256())
        digest.update(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
        return cls(digest.finalize().hex()[:32], key)

    @property
    def algorithm(self) -> str:
        return "RS256" if isinstance(self.key, rsa.RSAPublicKey) else "ES256"

    def jwk(self) -> dict[str, Any]:
        """RFC 7517's form."""
        key = self.key
        shown = RSAAlgorithm.to_jwk(key, as_dict=True) if isinstance(key, rsa.RSAPublicKey) else ECAlgorithm.to_jwk(key, as_dict=True)
        return {"use": "sig", "kid": self.id, "alg": self.algorithm, **{name: shown[name] for name in shown if name != "key_ops"}}


class Keys:
    """`file` keeps the signing key over restarts; without one tokens end with the process."""

    def __init__(self, file: Path | None) -> None:
        """Raises certificates.Unusable for a file that holds no such key, OSError."""
        self._file = file
        self._kept: rsa.RSAPrivateKey | None = None
        self._before: Private | None = None
        if file is None:
            return
        old = file.with_suffix(".old.key")
        kept = _load(file)
        if isinstance(kept, ec.EllipticCurvePrivateKey):
            file.replace(old)
        else:
            self._kept = kept
        self._before = _load(old)

    @cached_property
    def signing(self) -> rsa.RSAPrivateKey:
        """The key of new tokens, made now if there is none yet."""
        if self._kept is not None:
            return self._kept
        key = rsa.generate_private_key(RSA_EXPONENT, RSA_BITS)
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            certificates.write_private(self._file, pem)
        return key

    @cached_property
    def verifiers(self) -> dict[str, Verifier]:
        """By key id, that of the signing key first."""
        keys = [self.signing] if self._before is None else [self.signing, self._before]
        return {one.id: one for one in (Verifier.of(key.public_key()) for key in keys)}

    @cached_property
    def signer(self) -> Verifier:
        return next(iter(self.verifiers.values()))


def _load(path: Path) -> Private | None:
    """None where there is no file. Raises certificates.Unusable, OSError."""
    if not path.exists():
        return None
    try:  # checking that the primes are primes would take 40 ms; the file is our own
        found = serialization.load_pem_private_key(path.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
    except ValueError as error:
        raise certificates.Unusable(f"{path} holds no private key ({error}): move it away to make a new one; tokens end then") from error
    if isinstance(found, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return found
    raise certificates.Unusable(f"{path} holds neither an RSA nor an EC key: move it away to make a new one; tokens end then")
