"""Names and identifiers in Kubernetes' forms.

`suffix` and `hash_of` are deterministic, so that a plan computed twice names the same object; `random_suffix`
and `uid` are for the API server alone, which answers generateName and stamps new objects.
"""

import hashlib
import secrets
import uuid

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # k8s.io/apimachinery/pkg/util/rand: no vowels, no 0 1 3


def suffix(*parts: object, length: int = 5) -> str:
    """`length` characters of Kubernetes' alphabet, a hash of `parts`."""
    number = int.from_bytes(hashlib.blake2b("\x00".join(map(str, parts)).encode(), digest_size=16).digest(), "big")
    letters = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[digit])
    return "".join(letters)


def hash_of(*parts: object) -> str:
    """A ten-character hash for labels such as pod-template-hash."""
    return suffix(*parts, length=10)


def random_suffix(length: int = 5) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def uid() -> str:
    return str(uuid.uuid4())
