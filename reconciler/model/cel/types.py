"""CEL's types: what an expression may be, how a type is written in errors, and which type fits where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNBOUNDED = 2**63


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """`name` is the type's, "list" and "map" have parameters; `fields` are an object's.

    `size` is the most elements, entries or characters a value can have, `min_bytes` what one takes at least: both are
    for the cost estimate only.
    """

    name: str
    parameters: tuple["Type", ...] = ()
    fields: Mapping[str, "Type"] | None = None
    size: int | None = None

    def __str__(self) -> str:
        if self.name == "optional_type":
            return f"optional_type({self.parameters[0]})"
        if self.parameters:
            return f"{self.name}({', '.join(map(str, self.parameters))})"
        return self.name

    @property
    def is_dyn(self) -> bool:
        return self.name in ("dyn", "error")


DYN = Type("dyn")
ERROR = Type("error")
NULL = Type("null_type")
BOOL = Type("bool")
INT = Type("int")
UINT = Type("uint")
DOUBLE = Type("double")
STRING = Type("string")
BYTES = Type("bytes")
TIMESTAMP = Type("google.protobuf.Timestamp")
DURATION = Type("google.protobuf.Duration")
TYPE = Type("type")
QUANTITY = Type("kubernetes.Quantity")
URL = Type("kubernetes.URL")
IP = Type("net.IP")
CIDR = Type("net.CIDR")
FORMAT = Type("kubernetes.NamedFormat")
SEMVER = Type("kubernetes.Semver")
A, B = Type("<A>"), Type("<B>")
_SHORT = {TIMESTAMP.name: "timestamp", DURATION.name: "duration"}


def list_of(item: Type, size: int | None = None) -> Type:
    return Type("list", (item,), size=size)


def map_of(key: Type, value: Type, size: int | None = None) -> Type:
    return Type("map", (key, value), size=size)


def optional_of(inner: Type) -> Type:
    return Type("optional_type", (inner,))


def type_of_type(inner: Type) -> Type:
    return Type("type", (inner,))


def object_of(name: str, fields: Mapping[str, Type]) -> Type:
    return Type(name, fields=fields)


def shown(type: Type) -> str:
    """A type in an error, where timestamps and durations have short names and parameters stay open."""
    if type.name in _SHORT:
        return _SHORT[type.name]
    if type.name == "null_type":
        return "null"
    if type.name in ("list", "map", "optional_type", "type") and type.parameters:
        return f"{type.name}({', '.join(map(shown, type.parameters))})"
    return type.name


@dataclass(slots=True)
class Bindings:
    """What the type parameters of one overload stand for so far."""

    found: dict[str, Type] = field(default_factory=dict)

    def resolved(self, type: Type) -> Type:
        if type.name in ("<A>", "<B>"):
            return self.found.get(type.name, DYN)
        if not type.parameters:
            return type
        return Type(type.name, tuple(map(self.resolved, type.parameters)), type.fields, type.size)


def fits(wanted: Type, given: Type, bindings: Bindings) -> bool:
    """Whether a value of type `given` can stand where `wanted` is asked for."""
    if wanted.name in ("<A>", "<B>"):
        bound = bindings.found.get(wanted.name)
        if bound is None or (bound.is_dyn and not given.is_dyn):
            bindings.found[wanted.name] = given
            return True
        return fits(bound, given, bindings)
    if wanted.is_dyn or given.is_dyn:
        return True
    if given.name == "null_type" and wanted.name != "null_type":
        return wanted.fields is not None or wanted.name in _SHORT or wanted.name == "optional_type" or "." in wanted.name
    if wanted.name == "null_type":
        return given.fields is not None or given.name in _SHORT or given.name == "null_type"
    if wanted.name != given.name:
        return False
    return all(fits(one, other, bindings) for one, other in zip(wanted.parameters, given.parameters, strict=False))


def joined(types: Sequence[Type]) -> Type:
    """The type of a list's items: theirs where they agree, else dyn."""
    if not types:
        return DYN
    first = types[0]
    return first if all(fits(first, one, Bindings()) and fits(one, first, Bindings()) for one in types[1:]) else DYN


def entry(type: Type) -> Any:
    """What iterating over a value of this type yields: items of lists, keys of maps; None where it cannot be done."""
    if type.name == "list":
        return type.parameters[0]
    if type.name == "map":
        return type.parameters[0]
    return DYN if type.is_dyn else None
