"""The functions that expressions may call: names, overloads and what they do.

A signature reads "ARGUMENTS -> RESULT"; one that begins with "." is called on its first argument. The functions get
plain arguments, the target first, and raise Failed. Kubernetes' own are in kubernetes.py.
"""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reconciler.model import regexp
from reconciler.model.cel import durations, formatting, types
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.types import Type
from reconciler.model.cel.values import NONE, Optional, UInt, equal, text, timestamp, type_of

INT_LEAST, INT_MOST, UINT_MOST = -(2**63), 2**63 - 1, 2**64 - 1
Implementation = Callable[..., Any]
_NAMES: Mapping[str, Type] = {
    "A": types.A, "B": types.B, "dyn": types.DYN, "null": types.NULL, "bool": types.BOOL, "int": types.INT, "uint": types.UINT,
    "double": types.DOUBLE, "string": types.STRING, "bytes": types.BYTES, "timestamp": types.TIMESTAMP,
    "duration": types.DURATION, "type": types.TYPE, "quantity": types.QUANTITY, "url": types.URL, "ip": types.IP,
    "cidr": types.CIDR, "format": types.FORMAT, "semver": types.SEMVER,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overload:
    is_member: bool
    arguments: tuple[Type, ...]
    result: Type


@dataclass(frozen=True, slots=True)
class Function:
    run: Implementation
    overloads: tuple[Overload, ...]


def declared(run: Implementation, *signatures: str) -> Function:
    return Function(run, tuple(map(_overload, signatures)))


def _overload(signature: str) -> Overload:
    given, result = signature.removeprefix(".").split(" -> ")
    arguments = tuple(map(_type, given.split(" "))) if given else ()
    return Overload(signature.startswith("."), arguments, _type(result))


def _type(name: str) -> Type:
    outer, _, inner = name.partition("<")
    if not inner:
        return _NAMES[name]
    parameters = tuple(map(_type, inner[:-1].split(",", 1) if outer == "map" else [inner[:-1]]))
    return Type("optional_type" if outer == "optional" else outer, parameters)


def no_overload() -> Failed:
    return Failed("no such overload")


def _ranged(value: int, like: Any) -> Any:
    if isinstance(like, UInt):
        if 0 <= value <= UINT_MOST:
            return UInt(value)
        raise Failed("unsigned integer overflow")
    if INT_LEAST <= value <= INT_MOST:
        return value
    raise Failed("integer overflow")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def add(left: Any, right: Any) -> Any:
    if _is_number(left) and type(left) is type(right):
        return left + right if isinstance(left, float) else _ranged(left + right, left)
    if isinstance(left, str | bytes | list | timedelta) and type(left) is type(right):
        return left + right  # type: ignore[operator]
    if isinstance(left, datetime) and isinstance(right, timedelta):
        return left + right
    if isinstance(left, timedelta) and isinstance(right, datetime):
        return right + left
    raise no_overload()


def subtract(left: Any, right: Any) -> Any:
    if _is_number(left) and type(left) is type(right):
        return left - right if isinstance(left, float) else _ranged(left - right, left)
    if isinstance(left, datetime | timedelta) and isinstance(right, datetime | timedelta):
        return left - right  # type: ignore[operator]
    raise no_overload()


def multiply(left: Any, right: Any) -> Any:
    if not _is_number(left) or type(left) is not type(right):
        raise no_overload()
    return left * right if isinstance(left, float) else _ranged(left * right, left)


def divide(left: Any, right: Any) -> Any:
    if not _is_number(left) or type(left) is not type(right):
        raise no_overload()
    if isinstance(left, float):
        return left / right if right else (math.nan if not left else math.copysign(math.inf, left))
    if right == 0:
        raise Failed("division by zero")
    quotient = abs(left) // abs(right)
    return _ranged(quotient if (left < 0) == (right < 0) else -quotient, left)


def modulo(left: Any, right: Any) -> Any:
    if not isinstance(left, int) or type(left) is not type(right) or isinstance(left, bool):
        raise no_overload()
    if right == 0:
        raise Failed("modulus by zero")
    rest = abs(left) % abs(right)
    return _ranged(rest if left >= 0 else -rest, left)


def negate(value: Any) -> Any:
    if isinstance(value, float):
        return -value
    if isinstance(value, int) and not isinstance(value, bool | UInt):
        return _ranged(-value, value)
    raise no_overload()


def invert(value: Any) -> Any:
    if not isinstance(value, bool):
        raise no_overload()
    return not value


def compared(check: Callable[[Any, Any], bool]) -> Implementation:
    def compare(left: Any, right: Any) -> bool:
        is_fine = (_is_number(left) and _is_number(right)) or (type(left) is type(right) and isinstance(left, _ORDERED))
        if not is_fine:
            raise no_overload()
        return check(left, right)

    return compare


_ORDERED = (str, bytes, bool, datetime, timedelta)


def contained(item: Any, container: Any) -> bool:
    if isinstance(container, dict):
        return isinstance(item, str | int | float) and item in container
    if isinstance(container, list):
        return any(equal(item, one) for one in container)
    raise no_overload()


def size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise no_overload()


def index(container: Any, key: Any) -> Any:
    if isinstance(container, Optional):
        return index_optional(container, key)
    if isinstance(container, list):
        if not _is_number(key) or (isinstance(key, float) and not key.is_integer()):
            raise Failed(f"unsupported index type '{type_of(key)}' in list")
        if not 0 <= key < len(container):
            raise Failed(f"index out of bounds: {text(key)}")
        return container[int(key)]
    if isinstance(container, dict):
        if key not in container:
            raise Failed(f"no such key: {text(key)}")
        return container[key]
    raise no_overload()


def index_optional(container: Any, key: Any) -> Any:
    if isinstance(container, Optional):
        if not container.is_there:
            return NONE
        container = container.value
    if isinstance(container, list):
        return Optional(container[int(key)], True) if _is_number(key) and 0 <= key < len(container) else NONE
    if isinstance(container, dict):
        return Optional(container[key], True) if key in container else NONE
    raise no_overload()


def to_int(value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, str):
        try:
            found = int(value)
        except ValueError:
            raise Failed(f"type conversion error from '{value}' to 'int'") from None
        return int(_ranged(found, 0))
    if _is_number(value) and not (isinstance(value, float) and not math.isfinite(value)):
        return int(_ranged(int(value), 0))
    raise no_overload()


def to_uint(value: Any) -> UInt:
    try:
        found = int(value)
    except (ValueError, TypeError, OverflowError):
        raise Failed(f"type conversion error from '{value}' to 'uint'") from None
    return UInt(_ranged(found, UInt(0)))


def to_double(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, TypeError):
        raise Failed(f"type conversion error from '{value}' to 'double'") from None


def to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if value in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise Failed(f"type conversion error from '{value}' to 'bool'")


def to_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def to_timestamp(value: Any) -> datetime:
    return value if isinstance(value, datetime) else timestamp(value) if isinstance(value, str) else durations.epoch(value)


def to_duration(value: Any) -> timedelta:
    return value if isinstance(value, timedelta) else durations.parse(value)


def matches(value: str, pattern: str) -> bool:
    try:
        return regexp.matches(pattern, value)
    except regexp.Invalid as error:
        raise Failed(str(error)) from None


def substring(value: str, start: int, end: int | None = None) -> str:
    end = len(value) if end is None else end
    if not 0 <= start <= len(value) or not start <= end <= len(value):
        raise Failed(f"index out of range: {start if not 0 <= start <= len(value) else end}")
    return value[start:end]


def char_at(value: str, at: int) -> str:
    if not 0 <= at <= len(value):
        raise Failed(f"index out of range: {at}")
    return value[at : at + 1]


def index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, str):
        if not 0 <= start <= len(value):
            raise Failed(f"index out of range: {start}")
        return value.find(wanted, start)
    return next((at for at, item in enumerate(value) if equal(item, wanted)), -1)


def last_index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, str):
        return value.rfind(wanted) if start is None else value.rfind(wanted, 0, start + len(wanted))
    return next((at for at in range(len(value) - 1, -1, -1) if equal(value[at], wanted)), -1)


def split(value: str, separator: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    parts = list(value) if not separator else value.split(separator)
    return parts if most < 0 or len(parts) <= most else [*parts[: most - 1], separator.join(parts[most - 1 :])]


def replace(value: str, old: str, new: str, most: int = -1) -> str:
    return value.replace(old, new, most)


def join(parts: Sequence[str], separator: str = "") -> str:
    return separator.join(parts)


def _ascii(value: str, change: Callable[[str], str]) -> str:
    return "".join(change(char) if char < "\x80" else char for char in value)


def value_of(optional: Optional) -> Any:
    if not optional.is_there:
        raise Failed("optional.none() dereference")
    return optional.value


def of_non_zero(value: Any) -> Optional:
    return Optional(value, True) if value not in (None, 0, "", False) and value != [] and value != {} else NONE


def contains_all(container: list[Any], wanted: list[Any]) -> bool:
    return all(contained(item, container) for item in wanted)


_COMPARABLE = tuple(
    f"{left} {right} -> bool"
    for left, right in [
        *((name, name) for name in ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")),
        *((a, b) for a in ("int", "uint", "double") for b in ("int", "uint", "double") if a != b),
    ]
)
OPERATORS: Mapping[str, Function] = {
    "_==_": declared(equal, "A A -> bool"),
    "_!=_": declared(lambda left, right: not equal(left, right), "A A -> bool"),
    "_<_": declared(compared(lambda left, right: left < right), *_COMPARABLE),
    "_<=_": declared(compared(lambda left, right: left <= right), *_COMPARABLE),
    "_>_": declared(compared(lambda left, right: left > right), *_COMPARABLE),
    "_>=_": declared(compared(lambda left, right: left >= right), *_COMPARABLE),
    "_+_": declared(
        add, "int int -> int", "uint uint -> uint", "double double -> double", "string string -> string", "bytes bytes -> bytes",
        "list<A> list<A> -> list<A>", "timestamp duration -> timestamp", "duration timestamp -> timestamp",
        "duration duration -> duration",
    ),
    "_-_": declared(
        subtract, "int int -> int", "uint uint -> uint", "double double -> double", "timestamp timestamp -> duration",
        "timestamp duration -> timestamp", "duration duration -> duration",
    ),
    "_*_": declared(multiply, "int int -> int", "uint uint -> uint", "double double -> double"),
    "_/_": declared(divide, "int int -> int", "uint uint -> uint", "double double -> double"),
    "_%_": declared(modulo, "int int -> int", "uint uint -> uint"),
    "-_": declared(negate, "int -> int", "double -> double"),
    "!_": declared(invert, "bool -> bool"),
    "@in": declared(contained, "A list<A> -> bool", "A map<A,B> -> bool"),
    "_[_]": declared(
        index, "list<A> int -> A", "map<A,B> A -> B", "optional<list<A>> int -> optional<A>", "optional<map<A,B>> A -> optional<B>"
    ),
    "_[?_]": declared(
        index_optional, "list<A> int -> optional<A>", "map<A,B> A -> optional<B>", "optional<list<A>> int -> optional<A>",
        "optional<map<A,B>> A -> optional<B>",
    ),
}  # fmt: skip
STANDARD: Mapping[str, Function] = {
    **OPERATORS,
    "size": declared(
        size, *(f"{dot}{name} -> int" for dot in (".", "") for name in ("string", "bytes", "list<A>", "map<A,B>"))
    ),
    "int": declared(to_int, *(f"{name} -> int" for name in ("int", "uint", "double", "string", "timestamp"))),
    "uint": declared(to_uint, *(f"{name} -> uint" for name in ("int", "uint", "double", "string"))),
    "double": declared(to_double, *(f"{name} -> double" for name in ("int", "uint", "double", "string"))),
    "bool": declared(to_bool, "bool -> bool", "string -> bool"),
    "string": declared(
        text, *(f"{name} -> string" for name in ("bool", "int", "uint", "double", "bytes", "string", "timestamp", "duration"))
    ),
    "bytes": declared(to_bytes, "bytes -> bytes", "string -> bytes"),
    "timestamp": declared(to_timestamp, "timestamp -> timestamp", "string -> timestamp", "int -> timestamp"),
    "duration": declared(to_duration, "duration -> duration", "string -> duration"),
    "type": declared(type_of, "A -> type"),
    "dyn": declared(lambda value: value, "A -> dyn"),
    "matches": declared(matches, ".string string -> bool", "string string -> bool"),
    "contains": declared(lambda value, part: part in value, ".string string -> bool"),
    "startsWith": declared(lambda value, part: value.startswith(part), ".string string -> bool"),
    "endsWith": declared(lambda value, part: value.endswith(part), ".string string -> bool"),
    "charAt": declared(char_at, ".string int -> string"),
    "indexOf": declared(index_of, ".string string -> int", ".string string int -> int", ".list<A> A -> int"),
    "lastIndexOf": declared(last_index_of, ".string string -> int", ".string string int -> int", ".list<A> A -> int"),
    "lowerAscii": declared(lambda value: _ascii(value, str.lower), ".string -> string"),
    "upperAscii": declared(lambda value: _ascii(value, str.upper), ".string -> string"),
    "replace": declared(replace, ".string string string -> string", ".string string string int -> string"),
    "split": declared(split, ".string string -> list<string>", ".string string int -> list<string>"),
    "substring": declared(substring, ".string int -> string", ".string int int -> string"),
    "trim": declared(lambda value: value.strip(), ".string -> string"),
    "join": declared(join, ".list<string> -> string", ".list<string> string -> string"),
    "format": declared(formatting.formatted, ".string list<dyn> -> string"),
    "strings.quote": declared(formatting.quoted, "string -> string"),
    "reverse": declared(lambda value: value[::-1], ".string -> string"),
    "sets.contains": declared(contains_all, "list<A> list<A> -> bool"),
    "sets.intersects": declared(lambda a, b: any(contained(item, b) for item in a), "list<A> list<A> -> bool"),
    "sets.equivalent": declared(lambda a, b: contains_all(a, b) and contains_all(b, a), "list<A> list<A> -> bool"),
    "optional.of": declared(lambda value: Optional(value, True), "A -> optional<A>"),
    "optional.none": declared(lambda: NONE, " -> optional<A>"),
    "optional.ofNonZeroValue": declared(of_non_zero, "A -> optional<A>"),
    "hasValue": declared(lambda value: value.is_there, ".optional<A> -> bool"),
    "value": declared(value_of, ".optional<A> -> A"),
    "orValue": declared(lambda value, other: value.value if value.is_there else other, ".optional<A> A -> A"),
    "or": declared(lambda value, other: value if value.is_there else other, ".optional<A> optional<A> -> optional<A>"),
    "base64.encode": declared(lambda value: base64.b64encode(value).decode(), "bytes -> string"),
    "base64.decode": declared(lambda value: base64.b64decode(value), "string -> bytes"),
    **{
        name: declared(get, ".timestamp -> int", ".timestamp string -> int", *([".duration -> int"] if has_duration else ()))
        for name, (get, has_duration) in durations.GETTERS.items()
    },
}  # fmt: skip
