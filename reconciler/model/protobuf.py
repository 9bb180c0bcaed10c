"""Kubernetes' protobuf form of the built-in kinds: one transcoder over a table of field numbers.

The table is the shapes of the Go structs (kinds/schema/shapes.json), the types come from the schema. Codecs are
made on first use, one per definition. The form is that of Kubernetes' generated code, not of protobuf at large:
fields in order of their numbers; what is no pointer in Go is written even when empty; maps are sorted by key; a
field whose number is unknown is skipped. Objects come out as JSON mappings that may lack defaults; whether they
are valid is model/decode.py's question. Custom resources have no protobuf form.
"""

import base64
import binascii
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.model import rawjson
from reconciler.model.schema import Node, Schemas

MAGIC = b"k8s\x00"
MAX_DEPTH = 64
EMPTY: Mapping[str, Any] = {}  # what a struct that is no pointer holds when unset
VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5
CUT_SHORT = "unexpected EOF"
NO_MAGIC = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
_LIST_MESSAGES = ("Verbs",)  # Go's list types that are messages of their own
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."


class Malformed(ValueError):
    """The bytes are no message of the kind that they claim to be; in the words of Go's generated code."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How one value is written: its wire type, and its payload there and back. `zero` is what Go has when unset."""

    wire: int
    write: Callable[[Any], bytes]
    read: Callable[[Any, int], Any]  # (payload, depth); an integer for VARINT, else bytes
    zero: Any = None


@dataclass(frozen=True, slots=True)
class Field:
    number: int
    name: str  # in JSON; "" for the fields of an embedded struct
    presence: str  # "=", "-" or "*", as kinds/schema/shapes.py says
    codec: Codec
    is_list: bool = False
    is_map: bool = False


class Protobuf:
    """Transcodes messages by definition name."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._messages: dict[str, Message] = {}

    def encode(self, definition: str, value: Mapping[str, Any]) -> bytes:
        """The message alone, without an envelope. Raises KeyError for a definition that has no protobuf form."""
        return self._message(self._schemas.of(definition)).write(value)

    def decode(self, definition: str, data: bytes) -> dict[str, Any]:
        """Raises Malformed."""
        try:
            return self._message(self._schemas.of(definition)).read(data, 0)
        except IndexError:
            raise Malformed(CUT_SHORT) from None
        except RecursionError:
            raise Malformed("exceeded max depth") from None
        except (struct.error, binascii.Error, json.JSONDecodeError, OverflowError) as error:
            raise Malformed(str(error)) from error

    def has(self, definition: str) -> bool:
        return bool(self._schemas.shapes.get(definition))

    def _message(self, node: Node) -> "Message":
        message = self._messages.get(node.name)
        if message is None:
            if not node.shape:
                raise KeyError(f"{node.name} has no protobuf form")
            fields = tuple(self._fields(node, node.shape))
            message = self._messages[node.name] = Message(fields, node.name.rpartition(".")[2])  # whole: another thread may use it
        return message

    def _fields(self, node: Node, shape: Mapping[str, str]) -> Iterator[Field]:
        """Fields by number; those of an embedded struct are one field that has no name in JSON."""
        own: list[Field] = []
        embedded: dict[int, dict[str, str]] = {}
        for name, text in shape.items():
            number, presence, go_type, *outer = text.split(" ")
            if outer:
                inner = " ".join([number, presence, go_type, *outer[1:]])
                embedded.setdefault(int(outer[0].rpartition(":")[2]), {})[name] = inner
            elif (child := node.field(name)) is not None:
                own.append(self._field(int(number.rpartition(":")[2]), name, presence, child, go_type))
        for outer_number, inner_shape in embedded.items():
            message = Message(tuple(self._fields(node, inner_shape)))
            own.append(Field(outer_number, "", "=", Codec(BYTES, message.write, message.read)))
        return iter(sorted(own, key=lambda field: field.number))

    def _field(self, number: int, name: str, presence: str, node: Node, go_type: str) -> Field:
        if node.type == "array" and go_type in _LIST_MESSAGES:
            return Field(number, name, presence, self._list_message(node))
        if node.type == "array" and not _special(node):
            return Field(number, name, presence, self._codec(node.item, go_type), is_list=True)
        if node.is_map and node.values is not None and not node.shape and not _special(node):
            return Field(number, name, presence, self._entry(node.values), is_map=True)
        return Field(number, name, presence, self._codec(node, go_type))

    def _entry(self, values: Node) -> Codec:
        """A map entry: key 1, value 2. A list as a value is a message of its items, as ExtraValue is."""
        value = self._list_message(values) if values.type == "array" else self._codec(values, "")
        return Codec(
            BYTES, lambda pair: _tagged(1, _STRING, pair[0]) + _tagged(2, value, pair[1]), lambda data, depth: _pair(data, depth, value)
        )

    def _list_message(self, node: Node) -> Codec:
        items = Message((Field(1, "items", "-", self._codec(node.item, ""), is_list=True),))
        return Codec(BYTES, lambda found: items.write({"items": found}), lambda data, depth: items.read(data, depth).get("items", []))

    def _codec(self, node: Node, go_type: str) -> Codec:
        special = _special(node)
        if special is not None:
            return special
        union = _UNIONS.get(node.name)
        if union is not None:
            return union(self)
        if node.type == "string":
            return _BYTES if node.format == "byte" else _STRING
        if node.type == "integer":
            return _INTEGER
        if node.type == "boolean":
            return _BOOLEAN
        if node.type == "number":
            return _DOUBLE
        if not node.shape:
            return _RAW
        return Codec(
            BYTES, lambda value: self._message(node).write(value), lambda data, depth: self._message(node).read(data, depth), EMPTY
        )


class Message:
    """Writes and reads the fields of one struct."""

    def __init__(self, fields: tuple[Field, ...] = (), name: str = "") -> None:
        self.fields = fields
        self._name = name
        self._by_number: dict[int, Field] | None = None

    def write(self, value: Mapping[str, Any]) -> bytes:
        parts: list[bytes] = []
        for field in self.fields:
            if not field.name:
                parts.append(_tagged(field.number, field.codec, value))
                continue
            found = value.get(field.name)
            if field.is_list:
                parts.extend(_tagged(field.number, field.codec, item) for item in found or ())
            elif field.is_map:
                parts.extend(_tagged(field.number, field.codec, pair) for pair in sorted((found or {}).items()))
            elif found is not None:
                parts.append(_tagged(field.number, field.codec, found))
            elif field.presence != "*" and field.codec.zero is not None:
                parts.append(_tagged(field.number, field.codec, field.codec.zero))
        return b"".join(parts)

    def read(self, data: bytes, depth: int) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise Malformed(f"messages are nested deeper than {MAX_DEPTH}")
        if self._by_number is None:
            self._by_number = {field.number: field for field in self.fields}
        found: dict[str, Any] = {}
        for number, wire, payload in _split(data, self._name):
            field = self._by_number.get(number)
            if field is None:
                continue
            if wire != field.codec.wire:
                if not (field.is_list and wire == BYTES and field.codec.wire == VARINT):
                    raise Malformed(f"proto: wrong wireType = {wire} for field {field.name[:1].upper()}{field.name[1:]}")
                found.setdefault(field.name, []).extend(field.codec.read(each, depth) for each in _varints(payload))
                continue
            value = field.codec.read(payload, depth + 1)
            if not field.name:
                found |= value
            elif field.is_list:
                found.setdefault(field.name, []).append(value)
            elif field.is_map:
                found.setdefault(field.name, {})[value[0]] = value[1]
            elif value is not None and (field.presence != "-" or value not in ("", 0, False)):
                found[field.name] = value
        return found


# ---- envelopes --------------------------------------------------------------------------------------------------


def pack(api_version: str, kind: str, raw: bytes) -> bytes:
    """runtime.Unknown behind its magic number: what a body or an answer is."""
    type_meta = _tagged(1, _STRING, api_version) + _tagged(2, _STRING, kind)
    return MAGIC + length_delimited(1, type_meta) + length_delimited(2, raw) + _tagged(3, _STRING, "") + _tagged(4, _STRING, "")


def unpack(data: bytes) -> tuple[str, str, bytes]:
    """(apiVersion, kind, message). Raises Malformed."""
    if not data.startswith(MAGIC):
        raise Malformed(NO_MAGIC)
    api_version = kind = ""
    raw = b""
    try:
        for number, wire, payload in _split(data[len(MAGIC) :], "Unknown"):
            if wire != BYTES:
                continue
            if number == 1:
                texts = {inner: text.decode("utf-8", "replace") for inner, kind_of, text in _split(payload, "TypeMeta") if kind_of == BYTES}
                api_version, kind = texts.get(1, ""), texts.get(2, "")
            elif number == 2:
                raw = payload
    except IndexError:
        raise Malformed(CUT_SHORT) from None
    return api_version, kind, raw


def frame_event(event_type: str, envelope: bytes) -> bytes:
    """One watch event of a stream: its length in four bytes, then meta.v1.WatchEvent around the object."""
    message = _tagged(1, _STRING, event_type) + length_delimited(2, length_delimited(1, envelope))
    return struct.pack(">I", len(message)) + message


# ---- wire -----------------------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise Malformed("proto: integer overflow")


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _read_varint(data, at)
        yield value


def _split(data: bytes, name: str = "") -> Iterator[tuple[int, int, Any]]:
    """(field number, wire type, payload) of each field of a message of that name; a group, which Kubernetes never
    writes, has no payload. Raises Malformed, and IndexError at an end too early."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == GROUP_END:
            raise Malformed(f"proto: {name}: wiretype end group for non-group")
        if not 0 < number < 1 << 31:
            raise Malformed(f"proto: {name}: illegal tag {number} (wire type {wire})")
        payload, at = _payload(data, at, wire) if wire != GROUP else (None, _behind_group(data, at))
        yield number, wire, payload


def _payload(data: bytes, at: int, wire: int) -> tuple[Any, int]:
    """(what a field holds, where the next begins)."""
    if wire == VARINT:
        return _read_varint(data, at)
    if wire == BYTES:
        size, at = _read_varint(data, at)
    elif wire in (FIXED64, FIXED32):
        size = 8 if wire == FIXED64 else 4
    else:
        raise Malformed(f"proto: illegal wireType {wire}")
    if at + size > len(data):
        raise Malformed(CUT_SHORT)
    return data[at : at + size], at + size


def _behind_group(data: bytes, at: int) -> int:
    depth = 1
    while depth:
        tag, at = _read_varint(data, at)
        if tag & 7 in (GROUP, GROUP_END):
            depth += 1 if tag & 7 == GROUP else -1
        else:
            _, at = _payload(data, at, tag & 7)
    return at


def _tagged(number: int, codec: Codec, value: Any) -> bytes:
    payload = codec.write(value)
    if codec.wire == BYTES:
        return length_delimited(number, payload)
    return _varint(number << 3 | codec.wire) + payload


def length_delimited(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(payload)) + payload


def _pair(data: bytes, depth: int, value: Codec) -> tuple[str, Any]:
    key, found = "", value.read(b"", depth) if value.wire == BYTES else value.zero
    for number, _, payload in _split(data):
        if number == 1:
            key = payload.decode("utf-8", "replace")
        elif number == 2:
            found = value.read(payload, depth)
    return key, found


# ---- values -----------------------------------------------------------------------------------------------------


def _signed(value: int, _: int) -> int:
    return value - (1 << 64) if value >> 63 else value


_STRING = Codec(BYTES, lambda value: str(value).encode(), lambda data, _: data.decode("utf-8", "replace"), "")
_BYTES = Codec(BYTES, lambda value: base64.b64decode(value), lambda data, _: base64.b64encode(data).decode())
_INTEGER = Codec(VARINT, lambda value: _varint(int(value)), _signed, 0)
_BOOLEAN = Codec(VARINT, lambda value: b"\x01" if value else b"\x00", lambda value, _: bool(value), False)
_DOUBLE = Codec(FIXED64, lambda value: struct.pack("<d", value), lambda data, _: struct.unpack("<d", data)[0], 0.0)


def _write_raw(value: Any) -> bytes:
    return length_delimited(1, rawjson.dumps(value))


def _write_sorted(value: Any) -> bytes:
    return length_delimited(1, json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode())


def _read_raw(data: bytes, _: int) -> Any:
    return next((rawjson.loads(payload) for number, _, payload in _split(data) if number == 1 and payload), None)


def _read_value(data: bytes, depth: int) -> Any:
    """JSON without its text."""
    found = _read_raw(data, depth)
    return dict(found) if isinstance(found, dict) else found


_RAW = Codec(BYTES, _write_raw, _read_raw)  # any JSON as bytes in field 1
_SORTED = Codec(BYTES, _write_sorted, _read_value)  # the same, which Kubernetes reads and writes anew


def _write_time(value: str) -> bytes:
    if not value:
        return b""
    moment = datetime.fromisoformat(value)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return _tagged(1, _INTEGER, seconds) + _tagged(2, _INTEGER, moment.microsecond * 1000)


def _time_reader(timespec: str) -> Callable[[bytes, int], str | None]:
    def read(data: bytes, _: int) -> str | None:
        numbers = {number: _signed(payload, 0) for number, wire, payload in _split(data) if wire == VARINT}
        if not numbers:
            return None
        moment = datetime.fromtimestamp(numbers.get(1, 0), UTC).replace(microsecond=numbers.get(2, 0) // 1000)
        return moment.isoformat(timespec=timespec).replace("+00:00", "Z")

    return read


def _write_int_or_string(value: int | str) -> bytes:
    is_text = isinstance(value, str)
    return (
        _tagged(1, _INTEGER, int(is_text)) + _tagged(2, _INTEGER, 0 if is_text else value) + _tagged(3, _STRING, value if is_text else "")
    )


def _read_int_or_string(data: bytes, _: int) -> int | str:
    found = {number: payload for number, _, payload in _split(data)}
    return found.get(3, b"").decode("utf-8", "replace") if found.get(1) else _signed(found.get(2, 0), 0)


def _read_quantity(data: bytes, _: int) -> str:
    return next((payload.decode("utf-8", "replace") for number, _, payload in _split(data) if number == 1), "0")


_SPECIAL: Mapping[str, Codec] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Codec(BYTES, lambda value: _tagged(1, _STRING, value), _read_quantity, "0"),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Codec(BYTES, _write_int_or_string, _read_int_or_string, 0),
    rawjson.RAW_EXTENSION: _RAW,
    _META + "Time": Codec(BYTES, _write_time, _time_reader("seconds"), ""),
    _META + "MicroTime": Codec(BYTES, _write_time, _time_reader("microseconds"), ""),
    _META + "FieldsV1": _SORTED,
    _CRD + "JSON": _SORTED,
}


def _special(node: Node) -> Codec | None:
    return _SPECIAL.get(node.name)


def _schema_or_array(protobuf: Protobuf) -> Codec:
    def write(value: Any) -> bytes:
        name = _CRD + "JSONSchemaProps"
        if isinstance(value, list):
            return b"".join(length_delimited(2, protobuf.encode(name, item)) for item in value)
        return length_delimited(1, protobuf.encode(name, value))

    def read(data: bytes, depth: int) -> Any:
        message = protobuf._message(protobuf._schemas.of(_CRD + "JSONSchemaProps"))
        found = [(number, message.read(payload, depth + 1)) for number, _, payload in _split(data)]
        single = next((value for number, value in found if number == 1), None)
        return single if single is not None else [value for _, value in found]

    return Codec(BYTES, write, read)


def _schema_or_bool(protobuf: Protobuf) -> Codec:
    def write(value: Any) -> bytes:
        if isinstance(value, bool):
            return _tagged(1, _BOOLEAN, value)
        return _tagged(1, _BOOLEAN, True) + length_delimited(2, protobuf.encode(_CRD + "JSONSchemaProps", value))

    def read(data: bytes, depth: int) -> Any:
        found = {number: payload for number, _, payload in _split(data)}
        if 2 in found:
            return protobuf._message(protobuf._schemas.of(_CRD + "JSONSchemaProps")).read(found[2], depth + 1)
        return bool(found.get(1))

    return Codec(BYTES, write, read)


_UNIONS: Mapping[str, Callable[[Protobuf], Codec]] = {
    _CRD + "JSONSchemaPropsOrArray": _schema_or_array,
    _CRD + "JSONSchemaPropsOrBool": _schema_or_bool,
}
