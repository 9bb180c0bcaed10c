"""The protobuf form of requests and answers: model/protobuf.py behind apiVersion and kind.

Everything else in the API speaks JSON; here, at the edge, it is transcoded. That costs more than handing on the
journal's bytes and concerns clients that ask for it, which is why JSON stays the form that is kept.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from reconciler.kit import definitions
from reconciler.model import errors, protobuf
from reconciler.model.schema import Schemas

MEDIA = "application/vnd.kubernetes.protobuf"


@cache
def _transcoder() -> protobuf.Protobuf:
    return protobuf.Protobuf(Schemas(definitions.load(), definitions.shapes()))


@cache
def _definitions() -> Mapping[tuple[str, str], str]:
    """(apiVersion, kind) to definition."""
    found: dict[tuple[str, str], str] = {}
    for name, schema in definitions.load().items():
        for gvk in schema.get("x-kubernetes-group-version-kind") or ():
            version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            found[version, gvk["kind"]] = name
    return found


def encode(obj: Mapping[str, Any]) -> bytes:
    """An object, list or Status in its envelope. Raises StatusError 406 for what has no protobuf form."""
    api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    definition = _definitions().get((api_version, kind), "")
    if not _transcoder().has(definition):
        raise errors.StatusError(406, "NotAcceptable", f"{kind} in {api_version} has no protobuf form")
    return protobuf.pack(api_version, kind, _transcoder().encode(definition, obj))


def decode(data: bytes) -> dict[str, Any]:
    """The object in a body. Raises protobuf.Malformed."""
    api_version, kind, raw = protobuf.unpack(data)
    definition = _definitions().get((api_version, kind), "")
    if not _transcoder().has(definition):
        raise protobuf.Malformed(f"{kind or 'the kind'} in {api_version or 'no version'} has no protobuf form")
    return {"apiVersion": api_version, "kind": kind, **_transcoder().decode(definition, raw)}


def frame(event: str, obj: Mapping[str, Any]) -> bytes:
    """One event of a watch."""
    return protobuf.frame_event(event, encode(obj))
