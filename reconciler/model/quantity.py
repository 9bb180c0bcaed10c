"""resource.Quantity: exact parsing, canonical text and arithmetic, as k8s.io/apimachinery/pkg/api/resource does it.

A quantity is an integer number of thousandths wherever that is exact, which is what everything but the text form
needs; smaller fractions are rounded up, as Kubernetes rounds them. Parsing is cached: a cluster uses few texts.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

Format = Literal["BinarySI", "DecimalSI", "DecimalExponent"]

FORMAT_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_WRONG = "unable to parse quantity's suffix"
NUMBER_WRONG = "unable to parse numeric part of quantity"

MAX = 2**63 - 1
BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}  # powers of 1024
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}  # powers of 10

_TEXT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(.*)", re.DOTALL)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)")
_NANO = 10**9
_BINARY_NAMES = {power: name for name, power in BINARY.items()}
_DECIMAL_NAMES = {power: name for name, power in DECIMAL.items()}


@dataclass(frozen=True, slots=True)
class Quantity:
    """`nano` is the value in billionths, rounded away from zero, which no quantity is finer than."""

    nano: int
    format: Format = "DecimalSI"

    @property
    def milli(self) -> int:
        """Thousandths, rounded up: millicores of CPU."""
        return -(-self.nano // 10**6)

    @property
    def value(self) -> int:
        """Units, rounded up: bytes of memory."""
        return -(-self.nano // _NANO)

    def __str__(self) -> str:
        if self.nano == 0:
            return "0"
        if self.format != "BinarySI":
            return _decimal(self.nano, self.format)
        if -1024 * _NANO < self.nano < 1024 * _NANO:
            return _decimal(self.nano, "DecimalSI")
        return _binary(self.value if self.nano > 0 else self.nano // _NANO)


@dataclass(frozen=True, slots=True)
class Held:
    """How Go's struct holds a quantity in canonical form: value * 10**scale, or, where that is too large, billionths."""

    value: int
    scale: int
    billionths: int | None
    text: str  # kept only where parsing sees at once that it is canonical
    format: Format


@lru_cache(maxsize=8192)
def parse(text: str) -> Quantity:
    """Raises ValueError with Kubernetes' own words."""
    found = _TEXT.fullmatch(text)
    if not text or found is None:
        raise ValueError(FORMAT_WRONG)
    sign, whole, fraction, suffix = found[1], found[2], found[3] or "", found[4]
    if not whole and not fraction:
        raise ValueError(FORMAT_WRONG)
    if not all(c in "eEinumkKMGTP+-0123456789" for c in suffix) or "." in suffix:
        raise ValueError(FORMAT_WRONG)
    scale, form = _suffix(suffix)
    exact = Fraction(int((whole + fraction) or "0"), 10 ** len(fraction)) * scale * _NANO
    nano = min(-(-exact.numerator // exact.denominator), MAX * _NANO)
    return Quantity(-nano if sign == "-" else nano, form)


def held(text: str) -> Held:
    """Raises ValueError."""
    nano, text = parse(text).nano, canonical(text)
    found = _TEXT.fullmatch(text)
    assert found is not None
    digits, suffix = found[2], found[4]
    number, form = int(found[1] + digits), _suffix(suffix)[1]
    if form == "BinarySI":
        power, fits = BINARY[suffix], len(digits) <= 14 - 3 * BINARY[suffix]  # about the digits that an int64 leaves
        value, scale, is_kept = number * 1024**power, 0, number % 8 != 0
    else:
        scale = DECIMAL[suffix] if suffix in DECIMAL else int(suffix[1:])
        value, fits, is_kept = number, len(digits) <= 18, not digits.endswith("000")
    return Held(value, scale, None, text if is_kept else "", form) if fits else Held(0, 0, nano, "", form)


def is_valid(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def of(value: object) -> Quantity:
    """The quantity that a JSON value stands for: text, or a number as YAML has it."""
    return parse(value.strip() if isinstance(value, str) else str(value))


def milli(text: str) -> int:
    return parse(text).milli


def value(text: str) -> int:
    return parse(text).value


def canonical(text: str) -> str:
    """The form in which Kubernetes stores and answers a quantity: "0.5" is "500m", "1024Mi" is "1Gi"."""
    return str(parse(text))


def compare(left: str, right: str) -> int:
    """-1, 0 or 1."""
    a, b = parse(left).nano, parse(right).nano
    return (a > b) - (a < b)


def from_milli(thousandths: int, form: Format = "DecimalSI") -> str:
    return str(Quantity(thousandths * 10**6, form))


def from_value(units: int, form: Format = "BinarySI") -> str:
    return str(Quantity(units * _NANO, form))


def add(left: str, right: str) -> str:
    """The sum, in the format of the first that is not zero."""
    a, b = parse(left), parse(right)
    return str(Quantity(a.nano + b.nano, a.format if a.nano else b.format))


def subtract(left: str, right: str) -> str:
    a, b = parse(left), parse(right)
    return str(Quantity(a.nano - b.nano, a.format if a.nano else b.format))


def _suffix(suffix: str) -> tuple[Fraction, Format]:
    if suffix in BINARY:
        return Fraction(1024 ** BINARY[suffix]), "BinarySI"
    if suffix in DECIMAL:
        return Fraction(10) ** DECIMAL[suffix], "DecimalSI"
    if (exponent := _EXPONENT.fullmatch(suffix)) is not None and abs(int(exponent[1])) <= 1000:
        return Fraction(10) ** int(exponent[1]), "DecimalExponent"
    raise ValueError(SUFFIX_WRONG)


def _binary(units: int) -> str:
    power = 0
    while units % 1024 == 0 and power < 6:
        units //= 1024
        power += 1
    return f"{units}{_BINARY_NAMES.get(power, '')}"


def _decimal(nano: int, form: Format) -> str:
    """The largest suffix that leaves a whole number."""
    power = -9
    while nano % 1000 == 0 and power < 18:
        nano //= 1000
        power += 3
    if form == "DecimalExponent":
        return f"{nano}e{power}" if power else str(nano)
    return f"{nano}{_DECIMAL_NAMES[power]}"
