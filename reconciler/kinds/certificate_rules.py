"""What a CertificateSigningRequest must fulfil. What is in the request is read by who signs it."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
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


def validate_status(request: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    """Of approvals too: what was said once stays said."""
    found = meta.status(request).get("conditions") or ()
    before = meta.status(old).get("conditions") or () if old is not None else ()
    yield from _conditions(found)
    certificate = meta.status(request).get("certificate")
    if certificate and (fault := _certificate_fault(base64.b64decode(certificate))):
        yield errors.invalid("status.certificate", "<certificate data>", fault)
    for type in ("Approved", "Denied", "Failed"):
        if sum(one.get("type") == type for one in found) < sum(one.get("type") == type for one in before):
            yield errors.forbidden("status.conditions", f'updates may not remove a condition of type "{type}"')
    issued = meta.status(old).get("certificate") if old is not None else None
    if issued and certificate != issued:
        yield errors.forbidden("status.certificate", "updates may not modify existing certificate content")


def _conditions(found: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    for index, one in enumerate(found):
        path, type, status = f"status.conditions[{index}]", one.get("type", ""), one.get("status", "")
        if not type:
            yield errors.required(f"{path}.type")
        if not status:
            yield errors.required(f"{path}.status")
        elif type in ("Approved", "Denied", "Failed"):
            yield from check.one_of(f"{path}.status", status, ("True",))
        else:
            yield from check.one_of(f"{path}.status", status, ("True", "False", "Unknown"), sort=False)
        if any(other.get("type") == type for other in found[:index]):
            yield errors.duplicate(f"{path}.type", type)
    types = [one.get("type") for one in found]
    if "Approved" in types and "Denied" in types:
        last = next(type for type in reversed(types) if type in ("Approved", "Denied"))
        yield errors.invalid("status.conditions", last, "Approved and Denied conditions are mutually exclusive")


def _certificate_fault(text: bytes) -> str:
    blocks = [found[1].decode() for found in _BLOCK.finditer(text)]
    foreign = next((block for block in blocks if block != "CERTIFICATE"), None)
    if foreign is not None:
        return f'only CERTIFICATE PEM blocks are allowed, found "{foreign}"'
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"


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
