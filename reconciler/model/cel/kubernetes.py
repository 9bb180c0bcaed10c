"""Kubernetes' function libraries: quantities, addresses, URLs, regular expressions, lists, formats, versions."""

import ipaddress
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import total_ordering
from typing import Any
from urllib.parse import urlsplit

from reconciler.model import names, quantity, regexp
from reconciler.model.cel import types
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.library import STANDARD, Function, add, declared
from reconciler.model.cel.values import NONE, Opaque, Optional
from reconciler.model.structural import formats

NANO = 10**9


def _quantity(text: str) -> Opaque:
    try:
        return Opaque(types.QUANTITY, quantity.of(text))
    except ValueError as error:
        raise Failed(str(error)) from None


def _is(make: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            make(text)
        except Failed:
            return False
        return True

    return check


def _nano(value: Any) -> int:
    """A quantity, or an integer, in billionths."""
    return int(value.value.nano) if isinstance(value, Opaque) else int(value) * NANO


def _as_integer(value: Opaque) -> int:
    if _nano(value) % NANO:
        raise Failed("cannot convert value to integer")
    return _nano(value) // NANO


def _combined(sign: int) -> Callable[[Opaque, Any], Opaque]:
    def combine(left: Opaque, right: Any) -> Opaque:
        return Opaque(types.QUANTITY, replace(left.value, nano=_nano(left) + sign * _nano(right)))

    return combine


def _compare(left: Opaque, right: Opaque) -> int:
    one, other = (_nano(left), _nano(right)) if left.type is types.QUANTITY else (left.value, right.value)
    return (one > other) - (one < other)


def _url(text: str) -> Opaque:
    if not formats.is_uri(text):
        raise Failed(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return Opaque(types.URL, urlsplit(text))


def _ip(text: str) -> Opaque:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or "%" in text:
        raise Failed(f'IP Address "{text}" parse error during conversion from string: unable to parse IP')
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        raise Failed(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Opaque(types.IP, found)


def _cidr(text: str) -> Opaque:
    try:
        return Opaque(types.CIDR, ipaddress.ip_interface(text)) if "/" in text else _ip("")
    except (ValueError, Failed):
        raise Failed(f'network address parse error during conversion from string: netip.ParsePrefix("{text}")') from None


def _contains_ip(cidr: Opaque, ip: Any) -> bool:
    address = _ip(ip).value if isinstance(ip, str) else ip.value
    return address.version == cidr.value.version and address in cidr.value.network


def _contains_cidr(cidr: Opaque, other: Any) -> bool:
    network = (_cidr(other) if isinstance(other, str) else other).value.network
    return network.version == cidr.value.version and bool(network.subnet_of(cidr.value.network))


def _found(text: str, pattern: str) -> str:
    match = _compiled(pattern).search(text)
    return match[0] if match else ""


def _found_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found = [match[0] for match in _compiled(pattern).finditer(text)]
    return found if most < 0 else found[:most]


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return regexp.compile(pattern)
    except regexp.Invalid as error:
        raise Failed(f"Illegal regex: {error}") from None


def _total(items: list[Any]) -> Any:
    total: Any = None
    for item in items:
        total = item if total is None else add(total, item)
    return 0 if total is None else total


def _extreme(choose: Callable[..., Any], name: str) -> Callable[[list[Any]], Any]:
    def extreme(items: list[Any]) -> Any:
        if not items:
            raise Failed(f"{name} called on empty list")
        return choose(items)

    return extreme


def _escaped_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


_FORMATS: Mapping[str, Callable[[str], list[str]]] = {
    "dns1123Label": lambda text: list(names.dns_label(text)),
    "dns1123Subdomain": lambda text: list(names.dns_subdomain(text)),
    "dns1035Label": lambda text: list(names.dns_label_1035(text)),
    "qualifiedName": lambda text: list(names.qualified(text)),
    "dns1123LabelPrefix": lambda text: list(names.dns_label(text.rstrip("-"))),
    "dns1123SubdomainPrefix": lambda text: list(names.dns_subdomain(text.rstrip("-"))),
    "dns1035LabelPrefix": lambda text: list(names.dns_label_1035(text.rstrip("-"))),
    "labelValue": lambda text: list(names.label_value(text)),
    "uri": lambda text: [] if formats.is_uri(text) else [f'parse "{text}": invalid URI for request'],
    "uuid": lambda text: [] if formats.CHECKS["uuid"](text) else ["does not match the UUID format"],
    "byte": lambda text: [] if formats.CHECKS["byte"](text) else ["invalid base64"],
    "date": lambda text: [] if formats.is_date(text) else ["invalid date"],
    "datetime": lambda text: [] if formats.is_date_time(text) else ["invalid datetime"],
}


def _named(name: str) -> Callable[[], Opaque]:
    return lambda: Opaque(types.FORMAT, name)


def _validated(form: Opaque, text: str) -> Optional:
    reasons = _FORMATS[form.value](text)
    return Optional(reasons, True) if reasons else NONE


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version."""

    numbers: tuple[int, int, int]
    pre: tuple[str, ...] = ()

    def __lt__(self, other: "Version") -> bool:
        return bool(self._key() < other._key())

    def _key(self) -> Any:
        parts = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in self.pre)
        return self.numbers, not self.pre, parts


_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


def _semver(text: str, normalize: bool = False) -> Opaque:
    if normalize:
        core, dash, rest = text.strip().removeprefix("v").partition("-")
        parts = [str(int(part)) if part.isdecimal() else part for part in core.split(".")]
        text = ".".join([*parts, "0", "0"][: max(3, len(parts))]) + dash + rest
    found = _SEMVER.fullmatch(text)
    if found is None:
        raise Failed("No Major.Minor.Patch elements found")
    pre = tuple(found[4].split(".")) if found[4] else ()
    return Opaque(types.SEMVER, Version((int(found[1]), int(found[2]), int(found[3])), pre))


_SUMMED = tuple(f".list<{name}> -> {name}" for name in ("int", "uint", "double", "duration"))
_SORTED = tuple(f"list<{name}>" for name in ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"))
_ITEM = {name: name.removeprefix("list<")[:-1] for name in _SORTED}
_COMPARED = ("quantity", "semver")
FUNCTIONS: Mapping[str, Function] = {
    **STANDARD,
    "quantity": declared(_quantity, "string -> quantity"),
    "isQuantity": declared(_is(_quantity), "string -> bool"),
    "isInteger": declared(lambda value: _nano(value) % NANO == 0, ".quantity -> bool"),
    "asInteger": declared(_as_integer, ".quantity -> int"),
    "asApproximateFloat": declared(lambda value: _nano(value) / NANO, ".quantity -> double"),
    "sign": declared(lambda value: (_nano(value) > 0) - (_nano(value) < 0), ".quantity -> int"),
    "add": declared(_combined(1), ".quantity quantity -> quantity", ".quantity int -> quantity"),
    "sub": declared(_combined(-1), ".quantity quantity -> quantity", ".quantity int -> quantity"),
    "compareTo": declared(_compare, *(f".{name} {name} -> int" for name in _COMPARED)),
    "isGreaterThan": declared(lambda a, b: _compare(a, b) > 0, *(f".{name} {name} -> bool" for name in _COMPARED)),
    "isLessThan": declared(lambda a, b: _compare(a, b) < 0, *(f".{name} {name} -> bool" for name in _COMPARED)),
    "url": declared(_url, "string -> url"),
    "isURL": declared(_is(_url), "string -> bool"),
    "getScheme": declared(lambda url: url.value.scheme, ".url -> string"),
    "getHost": declared(lambda url: url.value.netloc.rpartition("@")[2], ".url -> string"),
    "getHostname": declared(lambda url: url.value.hostname or "", ".url -> string"),
    "getPort": declared(lambda url: str(url.value.port or ""), ".url -> string"),
    "getEscapedPath": declared(lambda url: url.value.path, ".url -> string"),
    "ip": declared(lambda value: _ip(value) if isinstance(value, str) else Opaque(types.IP, value.value.ip), "string -> ip", ".cidr -> ip"),
    "isIP": declared(_is(_ip), "string -> bool"),
    "ip.isCanonical": declared(lambda text: str(_ip(text).value) == text, "string -> bool"),
    "family": declared(lambda ip: ip.value.version, ".ip -> int"),
    "isUnspecified": declared(lambda ip: ip.value.is_unspecified, ".ip -> bool"),
    "isLoopback": declared(lambda ip: ip.value.is_loopback, ".ip -> bool"),
    "isLinkLocalMulticast": declared(lambda ip: ip.value.is_multicast and ip.value.is_link_local, ".ip -> bool"),
    "isLinkLocalUnicast": declared(lambda ip: ip.value.is_link_local, ".ip -> bool"),
    "isGlobalUnicast": declared(
        lambda ip: not (ip.value.is_multicast or ip.value.is_loopback or ip.value.is_link_local or ip.value.is_unspecified), ".ip -> bool"
    ),
    "cidr": declared(_cidr, "string -> cidr"),
    "isCIDR": declared(_is(_cidr), "string -> bool"),
    "containsIP": declared(_contains_ip, ".cidr ip -> bool", ".cidr string -> bool"),
    "containsCIDR": declared(_contains_cidr, ".cidr cidr -> bool", ".cidr string -> bool"),
    "prefixLength": declared(lambda cidr: cidr.value.network.prefixlen, ".cidr -> int"),
    "masked": declared(lambda cidr: Opaque(types.CIDR, ipaddress.ip_interface(str(cidr.value.network))), ".cidr -> cidr"),
    "find": declared(_found, ".string string -> string"),
    "findAll": declared(_found_all, ".string string -> list<string>", ".string string int -> list<string>"),
    "sum": declared(_total, *_SUMMED),
    "min": declared(_extreme(min, "min"), *(f".{name} -> {item}" for name, item in _ITEM.items())),
    "max": declared(_extreme(max, "max"), *(f".{name} -> {item}" for name, item in _ITEM.items())),
    "isSorted": declared(
        lambda items: all(one <= other for one, other in itertools.pairwise(items)), *(f".{name} -> bool" for name in _SORTED)
    ),
    "jsonpatch.escapeKey": declared(_escaped_key, "string -> string"),
    "format.named": declared(
        lambda name: Optional(Opaque(types.FORMAT, name), True) if name in _FORMATS else NONE, "string -> optional<format>"
    ),
    **{f"format.{name}": declared(_named(name), " -> format") for name in _FORMATS},
    "validate": declared(_validated, ".format string -> optional<list<string>>"),
    "semver": declared(_semver, "string -> semver", "string bool -> semver"),
    "isSemver": declared(
        lambda text, normalize=False: _is(lambda one: _semver(one, normalize))(text), "string -> bool", "string bool -> bool"
    ),
    "major": declared(lambda version: version.value.numbers[0], ".semver -> int"),
    "minor": declared(lambda version: version.value.numbers[1], ".semver -> int"),
    "patch": declared(lambda version: version.value.numbers[2], ".semver -> int"),
}
