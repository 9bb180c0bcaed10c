"""ConfigMap and Secret: configuration that pods mount or read as environment."""

import base64
from collections.abc import Iterator, Mapping

from reconciler.kinds import columns, pod_defaults
from reconciler.kinds.rules import check
from reconciler.model import errors, gojson, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind, Version

MOST_BYTES = 1024 * 1024
ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"
TLS_TYPE = "kubernetes.io/tls"
REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    TLS_TYPE: ("tls.crt", "tls.key"),
}
JSON_TYPES = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")


def config_map_data(config_map: meta.Obj) -> dict[str, bytes]:
    """Every key with its content, text and binary alike."""
    text = {key: value.encode() for key, value in (config_map.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}


def secret_data(secret: meta.Obj) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def secret_type(secret: meta.Obj) -> str:
    return str(secret.get("type") or "Opaque")


def _type_cell(secret: meta.Obj) -> str:
    return str(secret.get("type", ""))


def is_immutable(obj: meta.Obj) -> bool:
    return bool(obj.get("immutable"))


def default_secret(secret: meta.Obj) -> meta.Obj:
    """stringData, which is write-only, moves into data."""
    secret = pod_defaults.filled(secret, {"type": "Opaque"})
    if not secret.get("stringData"):
        return secret
    texts: Mapping[str, str] = secret["stringData"]
    data = {**(secret.get("data") or {}), **{key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}}
    return {**{name: value for name, value in secret.items() if name != "stringData"}, "data": data}


def validate_config_map(config_map: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    text, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    size = sum(len(value.encode()) for value in text.values()) + sum(len(base64.b64decode(value)) for value in binary.values())
    for field, found, other in (("data", text, binary), ("binaryData", binary, text)):
        for key in found:
            yield from check.because(f"{field}[{key}]", key, check.config_key_reasons(key))
            if key in other:
                kept = "binaryData" if field == "data" else "data"
                yield errors.invalid(f"{field}[{key}]", key, f"duplicate of key present in {kept}")
    if size > MOST_BYTES:
        yield errors.too_long("[]", MOST_BYTES)
    if old is not None:
        yield from _kept_when_immutable(config_map, old, ("data", "binaryData"))


def _kept_when_immutable(obj: meta.Obj, old: meta.Obj, fields: tuple[str, ...]) -> Iterator[FieldError]:
    if not is_immutable(old):
        return
    for field in ("immutable", *fields):
        if (obj.get(field) or None) != (old.get(field) or None):
            yield errors.forbidden(field, "field is immutable when `immutable` is set")


def validate_secret(secret: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    data = secret.get("data") or {}
    for key in data:
        yield from check.because(f"data[{key}]", key, check.config_key_reasons(key))
    if sum(len(base64.b64decode(value)) for value in data.values()) > MOST_BYTES:
        yield errors.too_long("data", MOST_BYTES)
    yield from _of_type(secret_type(secret), secret, data)
    if old is not None:
        yield from check.immutable("type", secret_type(secret), secret_type(old))
        yield from _kept_when_immutable(secret, old, ("data",))


def _of_type(kind: str, secret: meta.Obj, data: Mapping[str, str]) -> Iterator[FieldError]:
    """Some types promise keys."""
    if kind == "kubernetes.io/service-account-token" and not meta.annotations(secret).get(ACCOUNT_ANNOTATION):
        yield errors.required(f"metadata.annotations[{ACCOUNT_ANNOTATION}]")
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        yield errors.required("data[username]")
        yield errors.required("data[password]")
    for key in REQUIRED_KEYS.get(kind, ()):
        if key not in data:
            yield errors.required(f"data[{key}]")
        elif kind in JSON_TYPES:
            complaint = gojson.complaint(base64.b64decode(data[key]).decode("utf-8", "replace"))
            if complaint:
                yield errors.invalid(f"data[{key}]", "<secret contents redacted>", complaint)


def _count(obj: meta.Obj) -> int:
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


def warn_of_secret(secret: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    """Whether a TLS secret can be a certificate at all; whether the key fits it shows when it is used."""
    if secret_type(secret) != TLS_TYPE:
        return
    data = secret_data(secret)
    for key, name in (("tls.crt", "certificate"), ("tls.key", "key")):
        if b"-----BEGIN " not in data.get(key, b""):
            yield f"tls: failed to find any PEM data in {name} input"
            return


KINDS = (
    Kind(
        group="",
        kind="ConfigMap",
        plural="configmaps",
        singular="configmap",
        short_names=("cm",),
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.ConfigMap"),),
        validate=validate_config_map,
        columns=(columns.NAME, columns.column("Data", _count, "@data"), columns.AGE),
        order=20,
    ),
    Kind(
        group="",
        kind="Secret",
        plural="secrets",
        singular="secret",
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.Secret", default=default_secret),),
        validate=validate_secret,
        warn=warn_of_secret,
        columns=(
            columns.NAME,
            columns.column("Type", _type_cell, "@type"),
            columns.column("Data", _count, "@data"),
            columns.AGE,
        ),
        selectable_fields={"type": secret_type},
        order=20,
    ),
)
