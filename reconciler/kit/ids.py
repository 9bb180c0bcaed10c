"""Names and identifiers in Kubernetes' forms.

`suffix` is deterministic, so that a plan computed twice names the same object; so are the hashes, which are Kubernetes'
own. A `Source` is for the API server alone, which answers generateName and stamps new objects, and may be seeded so that
a run can be repeated.
"""

import hashlib
import random

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # k8s.io/apimachinery/pkg/util/rand: no vowels, no 0 1 3
_FREE_BITS, _VERSION_4 = ~(0xF << 76 | 0x3 << 62), 0x4 << 76 | 0x2 << 62  # RFC 9562: where version and variant are


def suffix(*parts: object, length: int = 5) -> str:
    """`length` characters of Kubernetes' alphabet, a hash of `parts`."""
    number = int.from_bytes(hashlib.blake2b("\x00".join(map(str, parts)).encode(), digest_size=16).digest(), "big")
    letters = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[digit])
    return "".join(letters)


def fnv32a(data: bytes) -> int:
    """Go's hash/fnv.New32a."""
    hash = 2_166_136_261
    for byte in data:
        hash = (hash ^ byte) * 16_777_619 & 0xFFFF_FFFF
    return hash


def fnv32(data: bytes) -> int:
    """Go's hash/fnv.New32, which multiplies first."""
    hash = 2_166_136_261
    for byte in data:
        hash = (hash * 16_777_619 & 0xFFFF_FFFF) ^ byte
    return hash


def encoded(number: int) -> str:
    """k8s.io/apimachinery/pkg/util/rand.SafeEncodeString of a number's digits: no word can come of it that offends."""
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(number))


class Source:
    """Identifiers that nobody can guess, or, over a seeded generator, the same ones in each run."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def suffix(self, length: int = 5) -> str:
        return "".join(self._chance.choices(ALPHABET, k=length))

    def uid(self) -> str:
        """A UUID of version 4; made without the class uuid.UUID, which costs thrice as much."""
        text = f"{self._chance.getrandbits(128) & _FREE_BITS | _VERSION_4:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


RANDOM = Source(random.SystemRandom())
