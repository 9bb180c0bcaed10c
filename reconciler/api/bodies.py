"""Request bodies: bytes to JSON values, bounded in size, depth and number of nodes.

JSON goes through orjson; only a body that seems to hold a key twice is read again by a slower parser that names the
duplicates, for Kubernetes warns of them. Error wording follows k8s.io/apimachinery's decoders.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.api import binary, envelope, wire
from reconciler.model import errors, protobuf

MOST_BYTES = 3 * 1024 * 1024
MOST_DEPTH = 200
SHOWN_BYTES = 30  # of a body that cannot be read, in the error

PATCH_TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
UNKNOWN_FORMAT = (
    "the body of the request was in an unknown format - accepted media types include:"
    " application/json, application/yaml, application/vnd.kubernetes.protobuf"
)


@dataclass(frozen=True, slots=True)
class Body:
    value: Any
    duplicates: tuple[str, ...] = ()  # complaints such as 'duplicate field "metadata.name"'


def media_type(content_type: str) -> str:
    return content_type.split(";", 1)[0].strip().lower()


def unsupported(message: str, details: Any = None) -> errors.StatusError:
    return errors.StatusError(415, "UnsupportedMediaType", message, details=details)


def too_large() -> errors.StatusError:
    return errors.StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MOST_BYTES}")


def parse(raw: bytes, content_type: str, kind: str) -> Body:
    """The object in a POST or PUT. Raises StatusError 400, 413, 415."""
    media = media_type(content_type) or wire.JSON
    if media not in (wire.JSON, wire.YAML, wire.PROTOBUF):
        raise unsupported(UNKNOWN_FORMAT)
    if media == wire.PROTOBUF:
        try:
            return Body(binary.decode(raw))
        except protobuf.Malformed as error:
            raise errors.bad_request(f"the object provided is unrecognized (must be of type {kind}): {error}") from None
    if media == wire.YAML:
        return parse_yaml(raw, kind)
    try:
        value = parse_json(raw)
    except ValueError as error:
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", raw) from None
    if fault := envelope.fault(value):
        raise _unrecognized(kind, fault, raw)
    return _with_duplicates(raw, value or {})


def _unrecognized(kind: str, fault: str, raw: bytes) -> errors.StatusError:
    start, more = raw[:SHOWN_BYTES], " ..." if len(raw) > SHOWN_BYTES else ""
    shown = (start.decode("utf-8", "replace") if raw.startswith(b"{") else start.hex()) + more
    return errors.bad_request(f"the object provided is unrecognized (must be of type {kind}): {fault} ({shown or '<empty>'})")


def parse_yaml(raw: bytes, kind: str) -> Body:
    """A YAML document: the first of a stream, as kubectl reads it."""
    from reconciler.kit import yaml  # its parser costs 20 ms to import

    try:
        value = _first_document(raw)
    except yaml.Invalid as error:
        raise _unrecognized(kind, f"yaml: line {error.line}: {error.message}", raw) from None
    if fault := envelope.fault(value):
        raise _unrecognized(kind, fault, raw)
    return Body(value or {})


def _first_document(raw: bytes) -> Any:
    """Raises yaml.Invalid."""
    from reconciler.kit import yaml

    for chunk in yaml.split(raw.decode("utf-8", "replace")):
        if isinstance(chunk, yaml.Invalid):
            raise chunk
        for _, value in yaml.build(chunk):
            return value
    return {}


def parse_patch(raw: bytes, patch_type: str) -> Body:
    """The body of a PATCH. Raises StatusError 400."""
    if patch_type == "apply":
        try:
            return Body(parse_json(raw) or {})
        except ValueError:
            return _parse_applied(raw)
    try:
        value = parse_json(raw)
    except ValueError as error:
        prefix = "" if patch_type == "strategic" else "error decoding patch: "
        raise errors.bad_request(f"{prefix}{error}") from None
    return Body(value, _duplicates(raw, value)) if patch_type != "json" else Body(value)


def _parse_applied(raw: bytes) -> Body:
    """An applied configuration that is YAML. Raises StatusError 400."""
    from reconciler.kit import yaml  # its parser costs 20 ms to import

    try:
        return Body(_first_document(raw))
    except yaml.Invalid as error:
        raise errors.bad_request(f"error decoding YAML: error converting YAML to JSON: yaml: line {error.line}: {error.message}") from None


def parse_json(raw: bytes) -> Any:
    """Raises ValueError in Go's words, also for nesting beyond MOST_DEPTH."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError(_go_words(raw, error)) from None
    if _is_deep(raw) and _depth_exceeds(value, MOST_DEPTH):
        raise ValueError(f"exceeded max depth of {MOST_DEPTH}")
    return value


def _is_deep(raw: bytes) -> bool:
    """Whether nesting could exceed the bound; almost no body has that many brackets in a row."""
    return raw.count(b"{") + raw.count(b"[") > MOST_DEPTH


def _depth_exceeds(value: Any, most: int) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        inside = (inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer))
        level = [inner for inner in inside if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _duplicates(raw: bytes, value: Any) -> tuple[str, ...]:
    """Complaints about keys written twice. Fewer keys than colons behind quotes is the cheap sign that there may be some."""
    if raw.count(b'":') == _keys(value):
        return ()
    found: list[str] = []
    _walk(json.loads(raw, object_pairs_hook=_Pairs), "", found)
    return tuple(f'duplicate field "{path}"' for path in dict.fromkeys(found))


def _keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_keys(inner) for inner in value.values() if isinstance(inner, dict | list))
    if isinstance(value, list):
        return sum(_keys(inner) for inner in value if isinstance(inner, dict | list))
    return 0


def _with_duplicates(raw: bytes, value: Any) -> Body:
    """A body whose keys may occur twice: the later one wins, and maps are merged, as Go decodes into a struct."""
    duplicates = _duplicates(raw, value)
    return Body(_merged(json.loads(raw, object_pairs_hook=_Pairs)), duplicates) if duplicates else Body(value)


def _merged(value: Any) -> Any:
    if isinstance(value, _Pairs):
        merged: dict[str, Any] = {}
        for key, inner in value:
            made, before = _merged(inner), merged.get(key)
            merged[key] = {**before, **made} if isinstance(before, dict) and isinstance(made, dict) else made
        return merged
    return [_merged(item) for item in value] if isinstance(value, list) else value


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs, in the order of writing."""


def _walk(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen = set()
        for key, inner in value:
            below = f"{path}.{key}" if path else key
            if key in seen:
                found.append(below)
            seen.add(key)
            _walk(inner, below, found)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _walk(inner, f"{path}[{index}]", found)


def _go_words(raw: bytes, error: orjson.JSONDecodeError) -> str:
    """encoding/json's message for the commonest mistakes."""
    text = raw.decode("utf-8", "replace")
    if error.pos >= len(text.rstrip()):
        return "unexpected end of JSON input"
    literal = re.match(r"[a-zA-Z]+", text[error.pos :])
    for word in ("null", "true", "false"):
        if literal and text[error.pos] == word[0]:
            at = next((i for i, (a, b) in enumerate(zip(literal[0], word, strict=False)) if a != b), len(word))
            return f"invalid character '{text[error.pos + at]}' in literal {word} (expecting '{word[at]}')"
    return f"invalid character '{text[error.pos]}' looking for beginning of value"
