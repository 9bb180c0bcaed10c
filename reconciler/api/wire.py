"""How objects look on the wire: which form the client accepts, and the bytes of objects, lists and errors.

An object's bytes are those of the journal with the resourceVersion spliced in, so a GET or LIST encodes nothing; only
another version than the stored one, YAML and Tables are made anew. Lists of built-in kinds leave out each item's
apiVersion and kind, as Kubernetes does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import orjson

from reconciler.api import binary
from reconciler.api.cache import Item
from reconciler.model import errors, meta, rawjson
from reconciler.model.kind import Kind, Version

PROTOBUF: Literal["application/vnd.kubernetes.protobuf"] = "application/vnd.kubernetes.protobuf"
TABLE_GROUP = "meta.k8s.io"

Media = Literal["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
JSON: Literal["application/json"] = "application/json"
YAML: Literal["application/yaml"] = "application/yaml"
As = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]
_SHAPES: Mapping[str, As] = {
    "Table": "Table",
    "PartialObjectMetadata": "PartialObjectMetadata",
    "PartialObjectMetadataList": "PartialObjectMetadataList",
}

REPRESENTATIONS = f"{JSON}, {YAML}, {PROTOBUF}"
STREAM_REPRESENTATIONS = f"{JSON};stream=watch, {PROTOBUF};stream=watch"
_LIST_REPRESENTATIONS = f"{REPRESENTATIONS}, {JSON};stream=watch, {PROTOBUF};stream=watch"


_MEDIA: Mapping[str, Media] = {"*/*": JSON, JSON: JSON, YAML: YAML, PROTOBUF: PROTOBUF}


@dataclass(frozen=True, slots=True)
class Form:
    """What to answer in: a media type, and which of meta.k8s.io's shapes."""

    media: Media = JSON
    shape: As = ""
    version: str = "v1"  # of meta.k8s.io
    pretty: bool = False


@dataclass(frozen=True, slots=True)
class _Range:
    media: str
    parameters: Mapping[str, str]
    quality: float


@lru_cache(maxsize=256)
def negotiate(accept: str, many: bool, has_protobuf: bool = True, has_shapes: bool = True) -> Form:
    """The form for an Accept header; `many` is whether a list is asked for. Raises StatusError 406.

    What has no protobuf form (custom resources, Tables) is offered in JSON and YAML only, but the metadata of a custom
    resource has one; and an error is no Table.
    """
    if not accept:
        return Form()
    known = False
    for wanted in _ranges(accept):
        media = _MEDIA.get(wanted.media)
        shape = wanted.parameters.get("as", "")
        if media is None or (media == PROTOBUF and not has_protobuf and not shape):
            known = known or media is not None
            continue
        known = True
        pretty = wanted.parameters.get("pretty", "") in ("1", "true")
        if not shape:
            return Form(media, pretty=pretty)
        version = wanted.parameters.get("v", "")
        if not has_shapes or (shape == "Table" and media == PROTOBUF):
            continue
        if wanted.parameters.get("g") == TABLE_GROUP and version in ("v1", "v1beta1") and shape in _SHAPES:
            return Form(media, _SHAPES[shape], version, pretty)
    if known:
        raise not_acceptable(f"only the following media types are accepted: {REPRESENTATIONS}", None)
    available = _LIST_REPRESENTATIONS if many else REPRESENTATIONS
    raise not_acceptable(f"406: Not Acceptable\n\nAvailable representations: {available}", {})


def not_acceptable(message: str, details: Mapping[str, Any] | None) -> errors.StatusError:
    return errors.StatusError(406, "NotAcceptable", message, details=details)


def _ranges(accept: str) -> list[_Range]:
    """The media ranges of an Accept header, the most wanted first."""
    found = []
    for part in accept.split(",")[:64]:
        media, *parameters = (piece.strip() for piece in part.split(";"))
        pairs = dict(pair.split("=", 1) for pair in parameters if "=" in pair)
        try:
            quality = float(pairs.pop("q", "1"))
        except ValueError:
            quality = 0.0
        found.append(_Range(media, pairs, quality))
    return sorted(found, key=lambda wanted: -wanted.quality)


@lru_cache(maxsize=1024)
def _head(api_version: str, kind: str) -> bytes:
    """How every stored object begins: see identity.created."""
    head: bytes = orjson.dumps({"apiVersion": api_version, "kind": kind, "metadata": {"": 0}})
    return head[: -len(b'"":0}}')]


def json_of(kind: Kind, version: Version, item: Item) -> bytes:
    """The object in a served version."""
    if kind.custom and (shown := version.from_hub(item.obj)) is not item.obj:
        return orjson.dumps(shown)
    if version.name == kind.hub_version.name and not kind.stored_as:
        head = _head(kind.api_version(), kind.kind)
        if item.value.startswith(head):
            return b'%b"resourceVersion":"%d",%b' % (head, item.revision, item.value[len(head) :])
        return rawjson.dumps(item.obj)
    return rawjson.dumps(version.from_hub(item.obj))


def list_item(kind: Kind, version: Version, item: Item) -> bytes:
    """The object as an item of a list."""
    if kind.custom:
        return json_of(kind, version, item)
    if version.name == kind.hub_version.name and not kind.stored_as:
        head = _head(kind.api_version(), kind.kind)
        if item.value.startswith(head):
            return b'{"metadata":{"resourceVersion":"%d",%b' % (item.revision, item.value[len(head) :])
    obj = item.obj if not kind.stored_as and version.name == kind.hub_version.name else version.from_hub(item.obj)
    return rawjson.dumps({key: value for key, value in obj.items() if key not in ("apiVersion", "kind")})


def list_head(kind: str, api_version: str, revision: int, token: str, remaining: int | None, *, custom: bool = False) -> bytes:
    """A list up to its first item; a list of custom resources always says `continue`."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision), **({"continue": ""} if custom else {})}
    if token:
        metadata["continue"] = token
        if remaining is not None:
            metadata["remainingItemCount"] = remaining
    head: bytes = orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
    return head[:-1] + b',"items":['


def partial(item: Item, version: str) -> dict[str, Any]:
    """PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"{TABLE_GROUP}/{version}", "metadata": meta.meta(item.obj)}


def frame(event: str, body: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"%b","object":%b}\n' % (event.encode(), body)


def chunks(parts: Sequence[bytes], most_bytes: int) -> Iterable[bytes]:
    """`parts` joined by commas into pieces of about `most_bytes`."""
    first, size = 0, 0
    for index, part in enumerate(parts):
        size += len(part) + 1
        if size >= most_bytes:
            yield b",".join(parts[first : index + 1]) + (b"," if index + 1 < len(parts) else b"")
            first, size = index + 1, 0
    if first < len(parts):
        yield b",".join(parts[first:])


def dumps(value: Any, form: Form) -> bytes:
    """Any JSON value in the client's media type."""
    return converted(plain(value), form)


def converted(content: bytes, form: Form) -> bytes:
    """JSON in the client's media type."""
    if form.media == PROTOBUF:
        return binary.encode(content)
    if form.media == YAML:
        from reconciler.api import writing_yaml  # 20 ms to import, and few clients ask for it

        return writing_yaml.dumps(orjson.loads(content))
    encoded: bytes = orjson.dumps(orjson.loads(content), option=orjson.OPT_INDENT_2) if form.pretty else content
    return encoded


def plain(value: Any) -> bytes:
    encoded: bytes = orjson.dumps(value)
    return encoded
