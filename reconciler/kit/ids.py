"""Names and identifiers in Kubernetes' forms.

`suffix` and `hash_of` are deterministic, so that a plan computed twice names the same object; a `Source` is for the
API server alone, which answers generateName and stamps new objects, and may be seeded so that a run can be repeated.
"""

import hashlib
import random
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


class Source:
    """Identifiers that nobody can guess, or, over a seeded generator, the same ones in each run."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def suffix(self, length: int = 5) -> str:
        return "".join(self._chance.choices(ALPHABET, k=length))

    def uid(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))


RANDOM = Source(random.SystemRandom())
