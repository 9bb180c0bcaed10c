"""Request bodies: bytes to JSON values, bounded in size, depth and number of nodes.

JSON goes through orjson; only a body that seems to hold a key twice is read again by a slower parser that names the
duplicates, for Kubernetes warns of them, and only one that orjson refuses by one that is as lenient as Go's with
broken characters. Error wording follows k8s.io/apimachinery's decoders.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.api import binary, envelope, wire
from reconciler.model import errors, gojson, protobuf

MOST_BYTES = 3 * 1024 * 1024
MOST_DEPTH = 200
SHORT_DIGITS = 20  # of integers that may be those of 64 bits
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
CUSTOM_PATCHES = (
    "the body of the request was in an unknown format - accepted media types include:"
    " application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
)
REPEATS = "yaml: unmarshal errors:\n  "  # before what strict reading of YAML complains of, one a line
_TCHARS = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf'\s*({_TCHARS}/{_TCHARS})\s*(;\s*{_TCHARS}\s*=\s*({_TCHARS}|"[^"]*")\s*)*;?\s*')
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]')


@dataclass(frozen=True, slots=True)
class Body:
    value: Any
    duplicates: tuple[str, ...] = ()  # complaints such as 'duplicate field "metadata.name"'
    text: bytes = b""  # of an object in JSON


@dataclass(frozen=True, slots=True)
class Expected:
    """What a body is to be, and is where it does not say."""

    api_version: str
    kind: str


DELETE_OPTIONS = Expected("v1", "DeleteOptions")


def media_type(content_type: str) -> str:
    """Without parameters; "" for none and for what is no media type."""
    match = _MEDIA_TYPE.fullmatch(content_type)
    return match[1].lower() if match else ""


def patch_type_of(content_type: str, *, is_custom: bool = False) -> str:
    """ "json", "merge", "strategic" (of which custom resources know nothing) or "apply". Raises StatusError 415."""
    found = PATCH_TYPES.get(content_type.split(";", 1)[0])
    if is_custom and found in (None, "strategic"):
        raise unsupported(CUSTOM_PATCHES)
    if found is None:
        raise unsupported("415: Unsupported Media Type", {})
    return found


def unsupported(message: str, details: Any = None) -> errors.StatusError:
    return errors.StatusError(415, "UnsupportedMediaType", message, details=details)


def too_large() -> errors.StatusError:
    return errors.StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MOST_BYTES}")


def parse(raw: bytes, content_type: str, expected: Expected) -> Body:
    """The object in a POST or PUT. Raises StatusError 400, 413, 415."""
    media = _supported(content_type)
    if media == wire.PROTOBUF:
        return _parse_protobuf(raw, expected)
    if media == wire.YAML:
        return _parse_yaml(raw, expected.kind)
    try:
        value = parse_json(raw)
    except ValueError as error:
        raise _unrecognized(expected.kind, f"couldn't get version/kind; json parse error: {error}", raw) from None
    if fault := envelope.fault(value):
        raise _unrecognized(expected.kind, fault, raw)
    body = _with_duplicates(raw, value or {})
    binary.remember(expected.api_version, expected.kind, body.value, raw)
    return body


def parse_delete_options(raw: bytes, content_type: str) -> Any:
    """The options in a DELETE, None where there are none. Raises StatusError 400, 413, 415."""
    if not raw:
        return None
    media = _supported(content_type)
    if media == wire.YAML:
        return _parse_yaml(raw, DELETE_OPTIONS.kind).value
    if media == wire.PROTOBUF:
        try:
            api_version, kind, message = protobuf.unpack(raw)
            return binary.decode(api_version or DELETE_OPTIONS.api_version, kind or DELETE_OPTIONS.kind, message)
        except protobuf.Malformed as error:
            raise errors.bad_request(str(error)) from None
    try:
        return parse_json(raw)
    except ValueError as error:
        raise errors.bad_request(f"couldn't get version/kind; json parse error: {error}") from None


def _supported(content_type: str) -> str:
    """The media type of a body. Raises StatusError 415."""
    media = media_type(content_type) if content_type else wire.JSON
    if media not in (wire.JSON, wire.YAML, wire.PROTOBUF):
        raise unsupported(UNKNOWN_FORMAT)
    return media


def _parse_protobuf(raw: bytes, expected: Expected) -> Body:
    try:
        api_version, kind, message = protobuf.unpack(raw)
    except protobuf.Malformed as error:
        raise _unrecognized(expected.kind, str(error), raw) from None
    api_version, kind = api_version or expected.api_version, kind or expected.kind
    try:
        return Body(binary.decode(api_version, kind, message))
    except protobuf.Malformed as error:
        version = api_version.rpartition("/")[2]
        raise errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {expected.kind}: {error}') from None


def _unrecognized(kind: str, fault: str, raw: bytes) -> errors.StatusError:
    start, more = raw[:SHOWN_BYTES], " ..." if len(raw) > SHOWN_BYTES else ""
    shown = (start.decode("utf-8", "replace") if raw.startswith(b"{") else start.hex()) + more
    return errors.bad_request(f"the object provided is unrecognized (must be of type {kind}): {fault} ({shown or '<empty>'})")


def _parse_yaml(raw: bytes, kind: str) -> Body:
    from reconciler.kit import yaml  # its parser costs 20 ms to import

    try:
        body = _first_document(raw)
    except yaml.Invalid as error:
        raise _unrecognized(kind, f"yaml: {error.upstream}", raw) from None
    if fault := envelope.fault(body.value):
        raise _unrecognized(kind, fault, raw)
    return Body(_sorted(body.value or {}), body.duplicates)


def _sorted(value: Any) -> Any:
    """With sorted keys, as upstream turns YAML into JSON: the first of several faults is told of."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _first_document(raw: bytes) -> Body:
    """The first of a stream, as kubectl reads it. Raises yaml.Invalid."""
    from reconciler.kit import yaml

    repeats: list[str] = []
    for chunk in yaml.split(raw.decode("utf-8", "replace")):
        if isinstance(chunk, yaml.Invalid):
            raise chunk
        for _, value in yaml.build(chunk, repeats):
            return Body(value, (REPEATS + "\n  ".join(repeats),) if repeats else ())
    return Body({})


def parse_patch(raw: bytes, patch_type: str) -> Body:
    """The body of a PATCH. Raises StatusError 400."""
    if patch_type == "apply":
        try:
            value = parse_json(raw)
        except ValueError:
            return _parse_applied(raw)
        return Body({} if value is None else value)
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
        return _first_document(raw)
    except yaml.Invalid as error:
        raise errors.bad_request(f"error decoding YAML: error converting YAML to JSON: yaml: {error.upstream}") from None


def parse_json(raw: bytes) -> Any:
    """Raises ValueError in Go's words, also for nesting beyond MOST_DEPTH."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _parse_leniently(raw)
    if _is_deep(raw) and _depth_exceeds(value, MOST_DEPTH):
        raise ValueError(f"exceeded max depth of {MOST_DEPTH}")
    return value


def _parse_leniently(raw: bytes) -> Any:
    """JSON with bytes that are no characters, which Go replaces. Raises ValueError where it is no JSON at all."""
    depth = deepest = 0
    for found in _BRACKETS.finditer(raw):
        depth += 1 if found[0] in b"[{" else -1 if found[0] in b"]}" else 0
        deepest = max(deepest, depth)
    if deepest > MOST_DEPTH:
        raise ValueError(f"exceeded max depth of {MOST_DEPTH}")
    if complaint := gojson.complaint(raw.decode("latin-1")):  # Go's scanner looks at bytes
        raise ValueError(complaint)
    return _well_formed(json.loads(raw.decode("utf-8", "replace"), parse_int=_number, parse_float=_number))


def _number(text: str) -> float:
    """Raises ValueError for one beyond what any field holds."""
    number = int(text) if text.lstrip("-").isdecimal() and len(text) < SHORT_DIGITS else float(text)
    if math.isinf(number):
        raise ValueError(f"json: cannot unmarshal number {text} into Go value of type float64")
    return number


def _well_formed(value: Any) -> Any:
    """`value` with U+FFFD for halves of surrogate pairs."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return orjson.loads(text)


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
    _walk(_pairs(raw), "", found)
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
    return Body(_well_formed(_merged(_pairs(raw))), duplicates, raw) if duplicates else Body(value, (), raw)


def _pairs(raw: bytes) -> Any:
    return json.loads(raw.decode("utf-8", "replace"), object_pairs_hook=_Pairs)


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
