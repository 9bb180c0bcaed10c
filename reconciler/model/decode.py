"""Decoding as Kubernetes' Go structs decode: a JSON value in, the canonical wire form out, or the same refusal.

`decode(node, value)` checks types against the schema and brings the value into the form in which kube-apiserver
would answer it: unknown fields and nulls dropped, quantities and times in their canonical text, zero values left out
or filled in as each Go field's tag says. Canonical objects are what defaults, validation and every reader work on.

Unknown fields are reported, not refused: whether they are an error is the request's fieldValidation. Duplicate keys
are the JSON parser's business. Custom resources have no Go struct; they are pruned and defaulted elsewhere.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from reconciler.model import quantity
from reconciler.model.schema import Node

# The way to a value, innermost last: a field of a struct, a key of a map or an index of a list.
Trail = tuple["Trail | None", "Field | str | int"]
Decoder = Callable[[Any, "Trail | None", "Findings"], Any]

# Empty is something else than unset to the defaults of these: a list is never filled in that was sent, and then refused.
DEFAULTED_UNLESS_SENT = frozenset({"HPAScalingRules.policies"})
RFC3339 = "2006-01-02T15:04:05Z07:00"  # as Go's layouts say it
INTEGERS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
SCALARS = {"string": "", "boolean": False, "integer": 0, "number": 0}


class DecodeError(Exception):
    """What kube-apiserver appends to 'Pod in version "v1" cannot be handled as a Pod: '."""


@dataclass(frozen=True, slots=True)
class Emptied:
    """A list or map that was sent empty, which Go knows from an unset one and the canonical form does not."""

    path: tuple[str | int, ...]
    value: Any  # [] or {}
    is_null: bool  # a list for which the canonical form has null, rather than nothing


@dataclass(frozen=True, slots=True)
class Decoded:
    obj: Any
    unknown: tuple[str, ...] = ()  # paths of dropped fields, such as spec.containers[0].imagee
    emptied: tuple["Emptied", ...] = ()


@dataclass(slots=True)
class Findings:
    """What one decoding comes across."""

    unknown: list[str] = field(default_factory=list)
    emptied: list[Emptied] = field(default_factory=list)

    def note_emptied(self, trail: "Trail | None", known: "Field", value: Any) -> None:
        steps: tuple[str | int, ...] = (known.name,)
        while trail is not None:
            trail, step = trail
            steps = (step.name if isinstance(step, Field) else step, *steps)
        self.emptied.append(Emptied(steps, value, known.presence == "=" and value == []))


@dataclass(slots=True)
class Field:
    """One field of a Go struct. `presence` is '=', '-', '*' or '~' (kinds/schema/shapes.py)."""

    name: str
    owner: str  # the struct's short name, "Container"
    presence: str
    go_type: str  # as Go's errors say it, "[]v1.Container"
    embedded: str  # the embedded structs on the way, "VolumeSource"
    keeps_empty: bool = False  # whether a present zero value stays as it is
    zero: Any = None
    decode: Decoder = field(default=lambda value, trail, found: value)


def decode(node: Node, value: Any, live: Mapping[str, Any] | None = None) -> Decoded:
    """`value` as an object of `node`, a definition's root. Raises DecodeError.

    `live` was decoded before: what `value` and its metadata share with it, as a change of one field shares the rest, is not
    looked at again.
    """
    found = Findings()
    if live is None or type(value) is not dict:
        return Decoded(decoder(node)(value, None, found), tuple(found.unknown), tuple(found.emptied))
    known = _shared(value, live)
    metadata, before, described = value.get("metadata"), live.get("metadata"), _fields(node).get("metadata")
    if "metadata" not in known and described is not None and type(metadata) is dict and type(before) is dict:
        known["metadata"] = _rest(described.decode, metadata, _shared(metadata, before), (None, described), found)
    return Decoded(_rest(decoder(node), value, known, None, found), tuple(found.unknown), tuple(found.emptied))


def _shared(value: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if item is not None and live.get(name) is item}


def _rest(decode: Decoder, value: Mapping[str, Any], known: Mapping[str, Any], trail: Trail | None, found: Findings) -> dict[str, Any]:
    """A struct of which the fields `known` are decoded already."""
    return {**decode({name: item for name, item in value.items() if name not in known}, trail, found), **known}


def refilled(obj: Any, emptied: Iterable[Emptied]) -> Any:
    """`obj` with what was sent empty, wherever it still has the place for it."""
    for one in emptied:
        obj = _refilled(obj, one.path, one.value)
    return obj


def _refilled(obj: Any, path: tuple[str | int, ...], value: Any) -> Any:
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return [*obj[:step], _refilled(obj[step], rest, value), *obj[step + 1 :]] if isinstance(obj, list) and step < len(obj) else obj
    if not isinstance(obj, Mapping) or (rest and step not in obj) or (not rest and obj.get(step) is not None):
        return obj
    return {**obj, step: _refilled(obj[step], rest, value) if rest else value}


def decoder(node: Node) -> Decoder:
    """The decoder of a definition, made once and kept on the node."""
    if node.decoder is None:
        node.decoder = _decoder_of(node, _go_name(node))
    found: Decoder = node.decoder
    return found


def zero(node: Node) -> Any:
    """What Go writes for an unset field of this type that is always written."""
    if node.format in ("quantity", "int-or-string"):
        return "0" if node.format == "quantity" else 0
    if node.type == "object" and node.properties and node.name:
        return {f.name: f.zero for f in _fields(node).values() if f.presence in "=~"}
    return SCALARS.get(node.type) if node.format not in ("date-time", "micro-time", "byte") else None


def _fields(node: Node) -> Mapping[str, Field]:
    if node.struct is None:
        node.struct = made = {}
        package = node.name.split(".")[-2]
        for name, child in node.fields():
            shape = node.shape.get(name)
            if shape is None:  # kind and apiVersion
                made[name] = Field(name, node.name.rsplit(".", 1)[-1], "-", "string", "", decode=_decoder_of(child, "string"))
                continue
            _, presence, go_type, *embedded = shape.split(" ")
            steps = ".".join(one.split(":")[0] for one in embedded)
            keeps = presence in "*~" or (presence == "=" and (child.is_int_or_string or child.preserves_unknown or child.type == "string"))
            owner = node.name.rsplit(".", 1)[-1]
            keeps = keeps or f"{owner}.{name}" in DEFAULTED_UNLESS_SENT
            made[name] = Field(name, owner, presence, qualified(go_type, package), steps, keeps)
        for name, child in node.fields():
            if name in node.shape:
                made[name].decode = _lazily(child, made[name].go_type)
                made[name].zero = None if made[name].presence == "~" else zero(child)
    found: Mapping[str, Field] = node.struct
    return found


def _lazily(node: Node, go_type: str) -> Decoder:
    """Structs refer to each other in circles, so their decoders are made when first used."""
    if node.name and node.properties:
        return lambda value, trail, found: (node.decoder or decoder(node))(value, trail, found)
    return _decoder_of(node, go_type)


def _decoder_of(node: Node, go_type: str) -> Decoder:
    if special := SPECIAL.get(node.format):
        return special
    if node.preserves_unknown:
        return _raw
    if node.type == "array":
        return _list_of(node, go_type)
    if node.type == "object":
        return _struct_of(node, go_type) if node.properties else _map_of(node, go_type)
    if node.type == "integer":
        return _integer_of(node.format or "int64", go_type)
    return {"string": _string_of, "boolean": _boolean_of, "number": _number_of}.get(node.type, lambda _: _raw)(go_type)


def _struct_of(node: Node, go_type: str) -> Decoder:
    fields = _fields(node)
    always = tuple(f for f in fields.values() if f.presence in "=~")

    def struct(value: Any, trail: Trail | None, found: Findings) -> Any:
        if type(value) is not dict:
            raise _mismatch(value, trail, go_type)
        result: dict[str, Any] = {}
        for name, item in value.items():
            known = fields.get(name)
            if known is None:
                found.unknown.append(path(trail, name))
            elif item is not None:
                decoded = known.decode(item, (trail, known), found)
                if decoded or known.keeps_empty:
                    result[name] = decoded
                elif decoded == [] or (decoded == {} and known.go_type.startswith("map[")):
                    found.note_emptied(trail, known, decoded)
        for known in always:
            if known.name not in result:
                result[known.name] = known.zero
        return result

    return struct


def _list_of(node: Node, go_type: str) -> Decoder:
    item_type = go_type.removeprefix("[]")
    decode_item, nothing = _lazily(node.item, item_type), zero(node.item)

    def array(value: Any, trail: Trail | None, found: Findings) -> Any:
        if type(value) is not list:
            raise _mismatch(value, trail, go_type)
        return [nothing if item is None else decode_item(item, (trail, index), found) for index, item in enumerate(value)]

    return array


def _map_of(node: Node, go_type: str) -> Decoder:
    values = node.values
    if values is None:
        return _raw
    value_type = re.sub(r"^map\[\w+\]", "", go_type)
    decode_value, nothing = _lazily(values, value_type), zero(values)

    def mapping(value: Any, trail: Trail | None, found: Findings) -> Any:
        if type(value) is not dict:
            raise _mismatch(value, trail, go_type)
        return {key: nothing if item is None else decode_value(item, (trail, key), found) for key, item in value.items()}

    return mapping


def _string_of(go_type: str) -> Decoder:
    def string(value: Any, trail: Trail | None, _: Findings) -> Any:
        if type(value) is not str:
            raise _mismatch(value, trail, go_type)
        return value

    return string


def _boolean_of(go_type: str) -> Decoder:
    def boolean(value: Any, trail: Trail | None, _: Findings) -> Any:
        if type(value) is not bool:
            raise _mismatch(value, trail, go_type)
        return value

    return boolean


def _integer_of(form: str, go_type: str) -> Decoder:
    least, most = INTEGERS.get(form, INTEGERS["int64"])

    def integer(value: Any, trail: Trail | None, _: Findings) -> Any:
        if type(value) is int and least <= value <= most:
            return value
        raise _mismatch(value, trail, go_type, shown=type(value) is int or isinstance(value, float))

    return integer


def _number_of(go_type: str) -> Decoder:
    def number(value: Any, trail: Trail | None, _: Findings) -> Any:
        if type(value) is not int and not isinstance(value, float):
            raise _mismatch(value, trail, go_type)
        return value

    return number


def _raw(value: Any, _: Trail | None, __: Findings) -> Any:
    return value


def _quantity(value: Any, _: Trail | None, __: Findings) -> Any:
    if type(value) is str and (value.isdecimal() and (value[0] != "0" or value == "0") and len(value) < 4):
        return value
    try:
        return str(quantity.of(value if type(value) in (str, int) or isinstance(value, float) else ""))
    except ValueError as error:
        raise DecodeError(str(error)) from None


def _int_or_string(value: Any, trail: Trail | None, found: Findings) -> Any:
    return value if type(value) is str else _integer_of("int32", "int32")(value, trail, found)


def _time_of(zone_layout: str, form: str) -> Decoder:
    def time(value: Any, trail: Trail | None, _: Findings) -> Any:
        if type(value) is not str:
            raise _mismatch(value, trail, "string")
        return canonical(value)

    @lru_cache(maxsize=4096)  # the same moments come again and again: every write carries all of an object's
    def canonical(text: str) -> str:
        return parsed_time(text, zone_layout).strftime(form)

    return time


def parsed_time(text: str, layout: str = RFC3339) -> datetime:
    """RFC 3339 as Go's time.Parse reads it. Raises DecodeError with its words where it does not."""
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", text)
    if found is None:
        at, expected = _first_wrong(text)
        raise DecodeError(f'parsing time "{text}" as "{layout}": cannot parse "{at}" as "{expected}"')
    numbers = [int(part) for part in found.groups()[:6]]
    for number, name, least, most in zip(
        numbers[1:], ("month", "day", "hour", "minute", "second"), (1, 1, 0, 0, 0), (12, 31, 23, 59, 59), strict=True
    ):
        if not least <= number <= most:
            raise DecodeError(f'parsing time "{text}": {name} out of range')
    try:
        zone = "+00:00" if found[8] == "Z" else found[8]
        return datetime.fromisoformat(f"{text[:19]}.{(found[7] or '0')[:6]:0<6}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise DecodeError(f'parsing time "{text}": day out of range') from None


def _first_wrong(text: str) -> tuple[str, str]:
    """Where Go stops reading: the rest of the text and the part of the layout it wanted."""
    rest = text
    for pattern, expected in (
        (r"\d{4}", "2006"), (r"-", "-"), (r"\d\d", "01"), (r"-", "-"), (r"\d\d", "02"), (r"T", "T"),
        (r"\d\d", "15"), (r":", ":"), (r"\d\d", "04"), (r":", ":"), (r"\d\d(?:[.,]\d+)?", "05"), (r"Z|[+-]\d\d:\d\d", "Z07:00"),
    ):  # fmt: skip
        found = re.match(pattern, rest)
        if found is None:
            return rest, expected
        rest = rest[found.end() :]
    return rest, ""


def _bytes(value: Any, trail: Trail | None, _: Findings) -> Any:
    if type(value) is not str:
        raise _mismatch(value, trail, "[]uint8")
    packed = value.replace("\n", "").replace("\r", "")
    try:
        if len(packed) % 4 == 0 and base64.b64encode(base64.b64decode(packed, validate=True)).decode() == packed:
            return packed
    except binascii.Error:
        pass
    return _leniently_unpacked(packed)


def _leniently_unpacked(packed: str) -> str:
    """Go accepts stray bits in the last character; anything else is refused with the position of the first fault."""
    alphabet = re.match(r"[A-Za-z0-9+/]*", packed)
    assert alphabet is not None
    good, rest = alphabet.end(), packed[alphabet.end() :]
    if len(packed) % 4 == 0 and rest in ("", "=", "=="):
        return base64.b64encode(base64.b64decode(packed)).decode()
    if not rest:  # ends within a group of four
        fault = good - good % 4
    elif rest[0] != "=" or good % 4 < 2:
        fault = good
    else:  # after the padding
        fault = good + (1 if good % 4 == 3 or not rest.startswith("==") else 2)
    raise DecodeError(f"illegal base64 data at input byte {fault}")


def _schema_or(*allowed: type) -> Decoder:
    def either(value: Any, _: Trail | None, __: Findings) -> Any:
        if type(value) not in allowed:
            raise DecodeError("boolean or JSON schema expected" if bool in allowed else "array or JSON schema expected")
        return value

    return either


SPECIAL: dict[str, Decoder] = {
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "date-time": _time_of(RFC3339, "%Y-%m-%dT%H:%M:%SZ"),
    "micro-time": _time_of("2006-01-02T15:04:05.000000Z07:00", "%Y-%m-%dT%H:%M:%S.%fZ"),
    "byte": _bytes,
    "schema-or-bool": _schema_or(dict, bool),
    "schema-or-array": _schema_or(dict, list),
    "schema-or-strings": _schema_or(dict, list),
}


def path(trail: Trail | None, last: str = "") -> str:
    """A trail as field paths are written: spec.containers[0].image."""
    steps = [last] if last else []
    while trail is not None:
        trail, step = trail
        steps.append(f"[{step}]" if isinstance(step, int) else step if isinstance(step, str) else step.name)
    text = ""
    for name in reversed(steps):
        text += name if name.startswith("[") or not text else f".{name}"
    return text


def _mismatch(value: Any, trail: Trail | None, go_type: str, shown: bool = False) -> DecodeError:
    what = {str: "string", bool: "bool", list: "array", dict: "object"}.get(type(value), "number")
    if shown:
        what += f" {value}"
    names: list[str] = []
    owner = ""
    while trail is not None:
        trail, step = trail
        if isinstance(step, Field):
            owner = owner or step.owner
            names.append(f"{step.embedded}.{step.name}" if step.embedded else step.name)
    if not names:
        return DecodeError(f"json: cannot unmarshal {what} into Go value of type {go_type}")
    return DecodeError(f"json: cannot unmarshal {what} into Go struct field {owner}.{'.'.join(reversed(names))} of type {go_type}")


def _go_name(node: Node) -> str:
    return ".".join(node.name.split(".")[-2:])


def qualified(go_type: str, package: str) -> str:
    """A Go type as reflection names it, seen from outside its package."""
    prefix = re.match(r"(?:\[\]|map\[\w+\])*", go_type)
    assert prefix is not None
    short = go_type[prefix.end() :].replace("metav1.", "v1.").replace("corev1.", "v1.").lstrip("*")
    builtin = short in ("string", "bool", "int", "int32", "int64", "float64", "byte") or "." in short
    return prefix[0] + ("uint8" if short == "byte" else short if builtin else f"{package}.{short}")
