"""ConfigMap and Secret: configuration that pods mount or read as environment."""

import base64
from collections.abc import Mapping

from reconciler.kinds import columns, pod_defaults
from reconciler.model import meta
from reconciler.model.kind import Kind, Version


def config_map_data(config_map: meta.Obj) -> dict[str, bytes]:
    """Every key with its content, text and binary alike."""
    text = {key: value.encode() for key, value in (config_map.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}


def secret_data(secret: meta.Obj) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def secret_type(secret: meta.Obj) -> str:
    return str(secret.get("type") or "Opaque")


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


def _count(obj: meta.Obj) -> int:
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


KINDS = (
    Kind(
        group="",
        kind="ConfigMap",
        plural="configmaps",
        singular="configmap",
        short_names=("cm",),
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.ConfigMap"),),
        columns=(columns.NAME, columns.column("Data", _count, "@data"), columns.AGE),
        order=20,
    ),
    Kind(
        group="",
        kind="Secret",
        plural="secrets",
        singular="secret",
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.Secret", default=default_secret),),
        columns=(columns.NAME, columns.column("Type", secret_type, "@type"), columns.column("Data", _count, "@data"), columns.AGE),
        selectable_fields={"type": secret_type},
        order=20,
    ),
)
