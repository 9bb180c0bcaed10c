"""Checks of single values: names, numbers, choices, selectors, references."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.model import errors, meta, names, quantity
from reconciler.model.errors import FieldError

MAX_INT32 = 2**31 - 1
NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"
IMMUTABLE = "field is immutable"
SELECTOR_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
PROTOCOLS = ("SCTP", "TCP", "UDP")

_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PORT_NAME = re.compile(r"[-a-z0-9]+")
_PERCENT = re.compile(r"[0-9]+%")
_HTTP_HEADER = re.compile(r"[-A-Za-z0-9]+")
_ENV_NAME = re.compile(r"[ -<>-~]+")
_CLOSE_IP = re.compile(r"[0-9.]+")

NOT_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NOT_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for"
    " validation is '[0-9]+%')"
)
NOT_CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or"
    " 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
NOT_HEADER = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is"
    " '[-A-Za-z0-9]+')"
)

Reasons = Callable[[str], tuple[str, ...]]


def because(path: str, value: Any, reasons: Iterable[str]) -> Iterator[FieldError]:
    for reason in reasons:
        yield errors.invalid(path, value, reason)


def subdomain(path: str, text: str) -> Iterator[FieldError]:
    return because(path, text, names.dns_subdomain(text))


def label(path: str, text: str) -> Iterator[FieldError]:
    return because(path, text, names.dns_label(text))


def qualified(path: str, text: str) -> Iterator[FieldError]:
    """A label key, condition type or other qualified name."""
    return because(path, text, names.qualified(text))


def labels(path: str, found: Mapping[str, str] | None) -> Iterator[FieldError]:
    for key, value in (found or {}).items():
        yield from because(path, key, names.qualified(key))
        yield from because(path, value, names.label_value(value))


def required(path: str, value: Any, detail: str = "") -> Iterator[FieldError]:
    if not value:
        yield errors.required(path, detail)


def one_of(path: str, value: Any, supported: Sequence[str], *, sort: bool = True) -> Iterator[FieldError]:
    if value not in supported:
        yield errors.not_supported(path, value, sorted(supported) if sort else supported)


def required_one_of(path: str, value: Any, supported: Sequence[str], detail: str = "", *, sort: bool = True) -> Iterator[FieldError]:
    """Required when empty, else one of a few."""
    if not value:
        yield errors.required(path, detail)
    else:
        yield from one_of(path, value, supported, sort=sort)


def non_negative(path: str, value: int | None) -> Iterator[FieldError]:
    if value is not None and value < 0:
        yield errors.invalid(path, value, NEGATIVE)


def positive(path: str, value: int | None) -> Iterator[FieldError]:
    if value is not None and value <= 0:
        yield errors.invalid(path, value, NOT_POSITIVE)


def between(path: str, value: int | None, least: int, most: int) -> Iterator[FieldError]:
    if value is not None and not least <= value <= most:
        yield errors.invalid(path, value, f"must be between {least} and {most}, inclusive")


def port(path: str, value: int) -> Iterator[FieldError]:
    return between(path, value, 1, 65535)


def port_name_reasons(text: str) -> tuple[str, ...]:
    """Of an IANA service name."""
    found = []
    if len(text) > 15:
        found.append("must be no more than 15 characters")
    if not _PORT_NAME.fullmatch(text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text and (text[0] == "-" or text[-1] == "-"):
        found.append("must not begin or end with a hyphen")
    return tuple(found)


def port_or_name(path: str, value: int | str) -> Iterator[FieldError]:
    if isinstance(value, str):
        yield from because(path, value, port_name_reasons(value))
    else:
        yield from port(path, value)


def config_key_reasons(text: str) -> tuple[str, ...]:
    found = []
    if len(text) > names.SUBDOMAIN_MOST:
        found.append(f"must be no more than {names.SUBDOMAIN_MOST} characters")
    if not _CONFIG_KEY.fullmatch(text):
        found.append(NOT_CONFIG_KEY)
    return (*found, *_not_dots(text))


def _not_dots(text: str) -> tuple[str, ...]:
    if text == ".":
        return ("must not be '.'",)
    if text == "..":
        return ("must not be '..'",)
    return ("must not start with '..'",) if text.startswith("..") else ()


def env_name_reasons(text: str) -> tuple[str, ...]:
    if _ENV_NAME.fullmatch(text):
        return ()
    return ("a valid environment variable name must consist only of printable ASCII characters other than '='",)


def http_header(path: str, name: str) -> Iterator[FieldError]:
    if not _HTTP_HEADER.fullmatch(name):
        yield errors.invalid(path, name, NOT_HEADER)


def ip_reasons(text: str) -> tuple[str, ...]:
    """Strict: no leading zeroes, no IPv4 in IPv6."""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        octets = text.split(".")
        if len(octets) == 4 and all(octet.isdecimal() and int(octet) < 256 for octet in octets):
            return ("must not have leading 0s",)
        return (NOT_IP,)
    if isinstance(parsed, ipaddress.IPv6Address) and (parsed.ipv4_mapped is not None or "%" in text):
        return ("must not be an IPv4-mapped IPv6 address",) if parsed.ipv4_mapped is not None else (NOT_IP,)
    return ()


def ip(path: str, text: str) -> Iterator[FieldError]:
    return because(path, text, ip_reasons(text))


def plain_quantity(path: str, text: str) -> Iterator[FieldError]:
    """Not negative."""
    if quantity.parse(text).nano < 0:
        yield errors.invalid(path, text, NEGATIVE)


def positive_quantity(path: str, text: str) -> Iterator[FieldError]:
    if quantity.parse(text).nano <= 0:
        yield errors.invalid(path, text, NOT_POSITIVE)


def int_or_percent(path: str, value: int | str | None) -> Iterator[FieldError]:
    if value is None:
        return
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            yield errors.invalid(path, value, NOT_PERCENT)
    elif value < 0:
        yield errors.invalid(path, value, NEGATIVE)


def percent(value: Any) -> int | None:
    """The number of a percentage; None for anything else."""
    return int(value[:-1]) if isinstance(value, str) and _PERCENT.fullmatch(value) else None


def not_above_100_percent(path: str, value: Any) -> Iterator[FieldError]:
    share = percent(value)
    if share is not None and share > 100:
        yield errors.invalid(path, value, "must not be greater than 100%")


def shown_labels(found: Mapping[str, str] | None) -> dict[str, str] | None:
    """A map as errors quote it: in order of keys."""
    return None if found is None else dict(sorted(found.items()))


def shown_selector(selector: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if selector is None:
        return None
    parts = {"matchLabels": shown_labels(selector.get("matchLabels")), "matchExpressions": selector.get("matchExpressions")}
    return {name: part for name, part in parts.items() if part}


def label_selector(path: str, selector: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if selector is None:
        return
    yield from labels(f"{path}.matchLabels", selector.get("matchLabels"))
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        yield from _expression(f"{path}.matchExpressions[{index}]", expression)


def _expression(path: str, expression: Mapping[str, Any]) -> Iterator[FieldError]:
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield errors.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    else:
        yield errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
    yield from qualified(f"{path}.key", expression.get("key", ""))
    for index, value in enumerate(values):
        yield from because(f"{path}.values[{index}]", value, names.label_value(value))


def immutable(path: str, new: Any, old: Any, shown: Any = ..., *, definition: str = "") -> Iterator[FieldError]:
    """`shown` is what the message quotes, where that is not the new value as it is, or as a type prints it."""
    if new != old and definition:
        quote = errors.Quote(definition, new, IMMUTABLE)
        yield FieldError(path, "FieldValueInvalid", f"Invalid value: {errors.shown(new)}: {IMMUTABLE}", quote)
    elif new != old:
        yield errors.invalid(path, new if shown is ... else shown, IMMUTABLE)


def distinct(path: str, values: Iterable[str], field: str = "") -> Iterator[FieldError]:
    """Duplicate for each item that is there before; `field` is appended to the item's path."""
    seen = set()
    for index, value in enumerate(values):
        if value in seen:
            yield errors.duplicate(f"{path}[{index}]{field}", value)
        seen.add(value)


def relative_path(path: str, text: str) -> Iterator[FieldError]:
    """Neither absolute nor climbing."""
    if text.startswith("/"):
        yield errors.invalid(path, text, "must be a relative path")
    yield from no_backsteps(path, text)


def no_backsteps(path: str, text: str) -> Iterator[FieldError]:
    if ".." in text.split("/"):
        yield errors.invalid(path, text, "must not contain '..'")


def not_absolute(path: str, text: str) -> Iterator[FieldError]:
    """A path that a volume projects a key to."""
    yield from relative_path(path, text)
    if text.startswith("..") and not text.startswith("../") and text != "..":
        yield errors.invalid(path, text, "must not start with '..'")


def update_has_version(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    if old is not None and not meta.resource_version(obj):
        yield errors.invalid("metadata.resourceVersion", "", "must be specified for an update")


def internal(obj: Mapping[str, Any] | None, **fields: Any) -> dict[str, Any] | None:
    """A structure as Kubernetes' internal type prints it: Go field names, unset fields with their zero value.

    `fields` maps each Go name, in order, to its zero value; the wire name is the same with its first word in lower case.
    """
    if obj is None:
        return None
    return {name: obj.get(_wire_name(name), zero) for name, zero in fields.items()}


def _wire_name(go_name: str) -> str:
    initials = re.match(r"[A-Z]+(?![a-z])|[A-Z]", go_name)
    assert initials is not None
    return initials[0].lower() + go_name[initials.end() :]
