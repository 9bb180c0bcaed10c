"""What a CertificateSigningRequest must fulfil. What is in the request is read by who signs it."""

import base64
import re
from collections.abc import Iterator
from typing import Any

from reconciler.kinds.rules import check
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError

LEAST_SECONDS = 600
SIGNER_MOST = 571
USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")


def validate(request: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(request)
    yield from _request(spec.get("request"))
    usages = spec.get("usages") or ()
    if not usages:
        yield errors.required("spec.usages")
    for index, usage in enumerate(usages):
        yield from check.one_of(f"spec.usages[{index}]", usage, USAGES)
        if usage in usages[:index]:
            yield errors.duplicate(f"spec.usages[{index}]", usage)
    yield from _signer("spec.signerName", spec.get("signerName", ""))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < LEAST_SECONDS:
        detail = f"may not specify a duration less than {LEAST_SECONDS} seconds (10 minutes)"
        yield errors.invalid("spec.expirationSeconds", seconds, detail)


def _request(packed: Any) -> Iterator[FieldError]:
    block = _BLOCK.search(base64.b64decode(packed)) if packed else None
    if block is None or block[1] != b"CERTIFICATE REQUEST":
        yield errors.invalid("spec.request", packed, "PEM block type must be CERTIFICATE REQUEST")


def _signer(path: str, name: str) -> Iterator[FieldError]:
    """example.com/signer-name"""
    if not name:
        yield errors.required(path)
        return
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest or not domain or not rest:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield errors.invalid(path, name, detail)
        return
    for part in domain.split("."):
        yield from check.because(path, domain, (f'validating label "{part}": {why}' for why in names.dns_label(part)))
    if domain.count(".") < 1:
        yield errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    for part in rest.split("."):
        yield from check.because(path, rest, (f'validating label "{part}": {why}' for why in names.dns_label(part)))
    if len(name) > SIGNER_MOST:
        yield errors.too_long(path, SIGNER_MOST)
