"""The values that JSON does not have, and what every value is asked: its type, equality, text."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.model.cel import types
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.types import Type


class UInt(int):
    """An unsigned integer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be absent."""

    value: Any = None
    is_there: bool = False


NONE = Optional()


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value of a Kubernetes library: a quantity, an address, a URL, ..."""

    type: Type
    value: Any


@dataclass(frozen=True, slots=True)
class Message:
    """A struct literal: Object{...} or JSONPatch{...} of a MutatingAdmissionPolicy."""

    name: str
    fields: Mapping[str, Any]


_TYPES: Mapping[type, Type] = {
    bool: types.BOOL,
    int: types.INT,
    UInt: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    list: Type("list"),
    dict: Type("map"),
    datetime: types.TIMESTAMP,
    timedelta: types.DURATION,
    type(None): types.NULL,
    Optional: Type("optional_type"),
    Type: types.TYPE,
}


def type_of(value: Any) -> Type:
    if isinstance(value, Opaque):
        return value.type
    if isinstance(value, Message):
        return Type(value.name)
    return _TYPES[type(value)]


def equal(left: Any, right: Any) -> bool:
    """CEL's ==: numbers by value whatever their type, everything else only within its type."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, Type) and isinstance(right, Type):
        return left.name == right.name
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(item, right[key]) for key, item in left.items())
    if isinstance(left, Optional):
        return left.is_there == right.is_there and (not left.is_there or equal(left.value, right.value))
    same: bool = left == right
    return same


def text(value: Any) -> str:
    """string(value)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime):
        return timestamp_text(value)
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Opaque):
        return str(value.value)
    raise Failed("no such overload")


def timestamp_text(value: datetime) -> str:
    whole = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return whole + (f".{value.microsecond:06d}".rstrip("0") if value.microsecond else "") + "Z"


def duration_text(value: timedelta) -> str:
    seconds = value.total_seconds()
    return f"{int(seconds)}s" if seconds.is_integer() else f"{seconds}s"


def timestamp(given: str) -> datetime:
    """An RFC 3339 time. Raises Failed."""
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise Failed(f'parsing time "{given}" as "2006-01-02T15:04:05Z07:00": cannot parse') from None
    if found.tzinfo is None:
        raise Failed(f'parsing time "{given}" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"')
    return found.astimezone(UTC)
