"""The forms that names, labels and keys must have, in the wording of k8s.io/apimachinery/pkg/util/validation.

Each check returns the reasons why a text is refused, none when it is fine. Results for keys and values that recur
in every object (labels, annotations, finalizers) are remembered.
"""

import ipaddress
import re
from functools import lru_cache

LABEL_MOST = 63
SUBDOMAIN_MOST = 253

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"

_label = re.compile(_LABEL).fullmatch
_label_1035 = re.compile(_LABEL_1035).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_qualified = re.compile(_QUALIFIED).fullmatch
_value = re.compile(_VALUE).fullmatch

_NOT_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    f" an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_NOT_LABEL_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and"
    f" end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{_LABEL_1035}')"
)
_NOT_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    f" end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_NOT_QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    f" (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_NOT_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end"
    f" with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_VALUE}')"
)


def dns_label(text: str) -> tuple[str, ...]:
    if "." in text and _subdomain(text) and len(text) <= SUBDOMAIN_MOST:
        return ("must not contain dots",)
    return _dns(text, LABEL_MOST, _label(text) is not None, _NOT_LABEL)


def dns_label_1035(text: str) -> tuple[str, ...]:
    return _dns(text, LABEL_MOST, _label_1035(text) is not None, _NOT_LABEL_1035)


def dns_subdomain(text: str) -> tuple[str, ...]:
    return _dns(text, SUBDOMAIN_MOST, _subdomain(text) is not None, _NOT_SUBDOMAIN)


def dns_subdomain_in_bytes(text: str) -> tuple[str, ...]:
    """The same, of kinds whose rules Kubernetes generates: they count bytes."""
    return tuple(
        reason.replace("characters", "bytes", 1) if reason.startswith("must be no more") else reason for reason in dns_subdomain(text)
    )


def path_segment(text: str) -> tuple[str, ...]:
    """A name that is safe in a URL path, the only rule of some kinds (roles, events, ...)."""
    if text in (".", ".."):
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{char}'" for char in "/%" if char in text)


def ip_address(text: str) -> tuple[str, ...]:
    """An IPv4 or IPv6 address in its one canonical form."""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        octets = text.split(".")
        if len(octets) == 4 and all(octet.isdecimal() and int(octet) < 256 for octet in octets):
            return ("must not have leading 0s",)
        return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)
    return () if str(parsed) == text else (f'must be in canonical form ("{parsed}")',)


@lru_cache(maxsize=4096)
def qualified(text: str) -> tuple[str, ...]:
    """A label or annotation key: an optional DNS subdomain and '/', then a name."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return (f"a valid label key {_NOT_QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",)
    refused = []
    if slash and not prefix:
        refused.append("prefix part must be non-empty")
    elif slash and len(prefix) > SUBDOMAIN_MOST:
        refused.append(f"prefix part must be no more than {SUBDOMAIN_MOST} bytes")
    elif slash:
        refused += [f"prefix part {reason}" for reason in dns_subdomain(prefix)]
    if not name:
        refused.append("name part must be non-empty")
    elif len(name) > LABEL_MOST:
        refused.append(f"name part must be no more than {LABEL_MOST} bytes")
    if not _qualified(name):
        refused.append(f"name part {_NOT_QUALIFIED}")
    return tuple(refused)


@lru_cache(maxsize=4096)
def label_value(text: str) -> tuple[str, ...]:
    refused = () if len(text) <= LABEL_MOST else (f"must be no more than {LABEL_MOST} bytes",)
    return refused if _value(text) else (*refused, _NOT_VALUE)


def _dns(text: str, most: int, well_formed: bool, wording: str) -> tuple[str, ...]:
    refused = () if len(text) <= most else (f"must be no more than {most} characters",)
    return refused if well_formed else (*refused, wording)
