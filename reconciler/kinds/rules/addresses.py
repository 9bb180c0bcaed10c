"""Addresses, ranges and host names, as Kubernetes' networking fields take them."""

import ipaddress
from collections.abc import Iterator, Sequence

from reconciler.kinds.rules import check
from reconciler.model import errors, names
from reconciler.model.errors import FieldError

NOT_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
NOT_MASKED = "must not have bits set beyond the prefix length"
NOT_WILDCARD = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case"
    " alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for"
    " validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def not_special(path: str, text: str) -> Iterator[FieldError]:
    """An address that traffic can be sent to from another machine."""
    try:
        address = ipaddress.ip_address(".".join(part.lstrip("0") or "0" for part in text.split(".")) if "." in text else text)
    except ValueError:
        yield errors.invalid(path, text, "must be a valid IP address")
        return
    if address.is_unspecified:
        yield errors.invalid(path, text, f"may not be unspecified ({address})")
    if address.is_loopback:
        yield errors.invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield errors.invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address in ipaddress.ip_network("224.0.0.0/24") or address in ipaddress.ip_network("ff02::/16"):
        yield errors.invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def warnings(path: str, text: str) -> Iterator[str]:
    """`text` is a good address, but clients that compare addresses as text may not know it in this form."""
    if ":" in text and (usual := str(ipaddress.IPv6Address(text))) != text:
        yield f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{usual}")'


def cidr_reasons(text: str) -> tuple[str, ...]:
    address, slash, bits = text.partition("/")
    if not slash or not bits.isdecimal():
        return (NOT_CIDR,)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return (NOT_CIDR,)
    found = () if str(network.network_address) == str(ipaddress.ip_address(address)) else (NOT_MASKED,)
    return (*check.ip_reasons(address), *found) if check.ip_reasons(address) else found


def cidr(path: str, text: str) -> Iterator[FieldError]:
    return check.because(path, text, cidr_reasons(text))


def one_per_family(ranges: Sequence[str]) -> bool:
    return len({family(one) for one in ranges}) == len(ranges)


def wildcard_reasons(text: str) -> tuple[str, ...]:
    if names.dns_subdomain(text.removeprefix("*.")) or not text.startswith("*."):
        return (NOT_WILDCARD,)
    return ()


def host(path: str, text: str) -> Iterator[FieldError]:
    """A host name or *.domain."""
    yield from check.because(path, text, wildcard_reasons(text) if "*" in text else names.dns_subdomain(text))
