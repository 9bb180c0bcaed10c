"""String formats that CustomResourceDefinitions may ask for; a format that is not here asks for nothing.

After k8s.io/kube-openapi/pkg/validation/strfmt. `format_of` says which format counts for a type.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from reconciler.model import names

_HOST_LABEL = r"[^\W_](?:[^\W_]|-){0,61}[^\W_]|[^\W_]"
_HOSTNAME = re.compile(rf"(?:[^\W_](?:-?[^\W_]{{0,62}})?|(?:(?:{_HOST_LABEL})\.)+[^\W\d_]{{2,63}})")
_UUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"
_MAC = re.compile(r"(?:[0-9a-fA-F]{2}([:-])(?:[0-9a-fA-F]{2}\1){4,6}[0-9a-fA-F]{2}|(?:[0-9a-fA-F]{4}\.){2,3}[0-9a-fA-F]{4})")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))")
_GO_DURATION = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_SCALA_DURATION = re.compile(r"\d+\s*([A-Za-zµ]+)")
_UNITS = ("ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk")
_UNIT_PREFIXES = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_CREDIT_CARD = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})"
)
_EMAIL = re.compile(r"(?:[^<>@]*<)?[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+>?")


def is_date(text: str) -> bool:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_date_time(text: str) -> bool:
    day, separator, time = text.lower().partition("t")
    found = _TIME.fullmatch(time) if separator and is_date(day) else None
    return found is not None and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def is_duration(text: str) -> bool:
    if text in ("0", "+0", "-0") or _GO_DURATION.fullmatch(text):
        return True
    units = [unit.lower() for unit in _SCALA_DURATION.findall(text)]
    return any(unit in _UNITS or unit.startswith(_UNIT_PREFIXES) for unit in units)


def is_hostname(text: str) -> bool:
    return _HOSTNAME.fullmatch(text) is not None and len(text) <= 255 and all(len(part) <= 63 for part in text.split("."))


def is_uri(text: str) -> bool:
    """What Go's url.ParseRequestURI accepts."""
    if not text or any(char <= " " or char == "\x7f" for char in text):
        return False
    return text.startswith("/") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:(//|/|[^/])", text) is not None


def is_ipv4(text: str) -> bool:
    return "." in text and _is_address(re.sub(r"\b0+(?=\d)", "", text))  # leading zeros are fine


def is_ipv6(text: str) -> bool:
    return ":" in text and _is_address(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "/" in text


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(text) % 4 == 0 and text != ""


def _is_isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if re.fullmatch(r"\d{9}[\dX]", digits, re.ASCII) is None:
        return False
    return sum((index + 1) * (10 if char == "X" else int(char)) for index, char in enumerate(digits)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    return re.fullmatch(r"\d{13}", digits, re.ASCII) is not None and sum(int(d) * (1, 3)[i % 2] for i, d in enumerate(digits)) % 10 == 0


def _is_credit_card(text: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", text)
    if _CREDIT_CARD.fullmatch(digits) is None:
        return False
    doubled = [int(d) * (1, 2)[i % 2] for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _matches(pattern: str, flags: int = re.ASCII) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


_CHANNEL = r"\s*(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"
_COLOUR = rf"rgb\({_CHANNEL},{_CHANNEL},{_CHANNEL}\)"
_HEX = "[0-9a-f]"

CHECKS: Mapping[str, Callable[[str], bool]] = {
    "byte": _is_base64,
    "cidr": is_cidr,
    "creditcard": _is_credit_card,
    "date": is_date,
    "datetime": is_date_time,
    "duration": is_duration,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "hexcolor": _matches(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": is_hostname,
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "k8slongname": lambda text: not names.dns_subdomain(text),
    "k8sshortname": lambda text: not names.dns_label(text),
    "mac": lambda text: _MAC.fullmatch(text) is not None,
    "password": lambda _: True,
    "rgbcolor": _matches(_COLOUR),
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "uri": is_uri,
    "uuid": _matches(_UUID % (_HEX, _HEX), re.IGNORECASE | re.ASCII),
    "uuid3": _matches(_UUID % ("3", _HEX), re.IGNORECASE | re.ASCII),
    "uuid4": _matches(_UUID % ("4", "[89ab]"), re.IGNORECASE | re.ASCII),
    "uuid5": _matches(_UUID % ("5", "[89ab]"), re.IGNORECASE | re.ASCII),
}
_NUMERIC = {"integer": ("int32", "int64"), "number": ("float", "double")}


def format_of(schema: Mapping[str, Any]) -> str:
    """The format of a schema that counts, "" for one that its type does not support."""
    found, kind = str(schema.get("format", "")), schema.get("type", "")
    if schema.get("x-kubernetes-int-or-string"):
        return ""
    if kind in ("", "string"):
        return found if found.replace("-", "") in CHECKS or found == "bsonobjectid" else ""
    return found if found in _NUMERIC.get(kind, ()) else ""
