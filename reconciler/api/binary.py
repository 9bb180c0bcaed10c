"""The protobuf form of requests and answers: model/protobuf.py behind apiVersion and kind.

Everything else in the API speaks JSON; here, at the edge, it is transcoded. That costs more than handing on the
journal's bytes and concerns clients that ask for it, which is why JSON stays the form that is kept.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

from reconciler.kit import definitions
from reconciler.model import errors, protobuf, rawjson
from reconciler.model.schema import Schemas

MEDIA = "application/vnd.kubernetes.protobuf"


_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_PARTIAL = "io.k8s.apimachinery.pkg.apis.meta.{version}.PartialObjectMetadata"
_SHAPES = {  # beside the definitions, which hold no answers of this kind; the versions number the list differently
    "v1": {"metadata": "ListMeta:1 = metav1.ListMeta", "items": "Items:2 = []PartialObjectMetadata"},
    "v1beta1": {"items": "Items:1 = []PartialObjectMetadata", "metadata": "ListMeta:2 - metav1.ListMeta"},
}


@cache
def _schemas() -> Schemas:
    known, shapes = dict(definitions.load()), dict(definitions.shapes())
    for version, of_list in _SHAPES.items():
        name = _PARTIAL.format(version=version)
        known[name] = {"type": "object", "properties": {"metadata": _reference(f"{_META}ObjectMeta")}}
        items = {"type": "array", "items": _reference(name)}
        known[f"{name}List"] = {"type": "object", "properties": {"metadata": _reference(f"{_META}ListMeta"), "items": items}}
        shapes |= {name: {"metadata": "ObjectMeta:1 = metav1.ObjectMeta"}, f"{name}List": of_list}
    return Schemas(known, shapes)


@cache
def _transcoder() -> protobuf.Protobuf:
    return protobuf.Protobuf(_schemas())


@cache
def _raw_fields() -> rawjson.Fields:
    return rawjson.Fields(_schemas())


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@cache
def _definitions() -> Mapping[tuple[str, str], str]:
    """(apiVersion, kind) to definition."""
    found: dict[tuple[str, str], str] = {}
    for name, schema in definitions.load().items():
        for gvk in schema.get("x-kubernetes-group-version-kind") or ():
            version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            found[version, gvk["kind"]] = name
    for version in _SHAPES:
        for kind in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            found[f"meta.k8s.io/{version}", kind] = f"io.k8s.apimachinery.pkg.apis.meta.{version}.{kind}"
    return found


def remember(api_version: str, kind: str, obj: Any, text: bytes) -> None:
    """Have what was read from `text` keep the text of its raw extensions."""
    _raw_fields().remember(_definitions().get((api_version, kind), ""), obj, text)


def encode(text: bytes) -> bytes:
    """An object, list or Status, given as JSON, in its envelope. Raises StatusError 406 for what has no protobuf form."""
    obj = orjson.loads(text)
    api_version, kind = str(obj.get("apiVersion", "v1")), str(obj.get("kind", ""))  # discovery's oldest document says no version
    definition = _definitions().get((api_version, kind), "")
    if not _transcoder().has(definition):
        raise errors.StatusError(406, "NotAcceptable", f"{kind} in {api_version} has no protobuf form")
    _raw_fields().remember(definition, obj, text)
    return protobuf.pack(api_version, kind, _transcoder().encode(definition, obj))


def decode(api_version: str, kind: str, message: bytes) -> dict[str, Any]:
    """The object in a body's message; what has no protobuf form is only what it says it is. Raises protobuf.Malformed."""
    definition = _definitions().get((api_version, kind), "")
    fields = _transcoder().decode(definition, message) if _transcoder().has(definition) else {}
    return {"apiVersion": api_version, "kind": kind, **fields}


def frame(event: str, text: bytes) -> bytes:
    """One event of a watch."""
    return protobuf.frame_event(event, encode(text))
