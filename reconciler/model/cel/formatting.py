"""string.format(list) and strings.quote(string), version 2 of cel-go's library of strings, which Kubernetes has.

A clause is %s, %d, %b, %o, %x, %X, %f or %e, the last two with a precision if one is wanted ("%.2f"), or %% for a percent
sign. Clauses take the list's items in order; items that are left over say nothing.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from reconciler.model.cel.errors import Failed
from reconciler.model.cel.types import Type
from reconciler.model.cel.values import Opaque, text, type_of

PRECISION, PRECISION_MOST = 6, 1000
_CLAUSE = re.compile(r"%(?:\.(\d{1,9}))?(.?)", re.DOTALL)
_RADIX = {"b": "b", "o": "o", "x": "x", "X": "X", "d": "d"}
_ESCAPES = str.maketrans(
    {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}
)


def quoted(value: str) -> str:
    return f'"{value.translate(_ESCAPES)}"'


def formatted(template: str, values: Sequence[Any]) -> str:
    """Raises Failed."""
    rest = enumerate(values)

    def shown(clause: re.Match[str]) -> str:
        precision, letter = clause.groups()
        if letter == "%":
            return "%"
        if not letter:
            raise Failed("unexpected end of string")
        if letter not in ("s", "f", "e", *_RADIX):
            raise Failed(f'unrecognized formatting clause "{letter}"')
        _, value = next(rest, (0, _MISSING))
        if value is _MISSING:
            raise Failed(f"index {len(values)} out of range")
        if letter == "s":
            return _text(value)
        if letter in _RADIX:
            return _whole(value, letter)
        return _real(value, letter, int(precision or PRECISION))

    return _CLAUSE.sub(shown, template)


_MISSING = object()


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        pairs = sorted((_text(key), _text(item)) for key, item in value.items())
        return f"{{{', '.join(f'{key}: {item}' for key, item in pairs)}}}"
    if isinstance(value, Type):
        return value.name
    if isinstance(value, float):
        return _special(value) or text(value)
    if isinstance(value, Opaque):
        raise Failed(f"string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, was given {value.type.name}")
    return text(value)


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else ""


def _whole(value: Any, letter: str) -> str:
    if letter == "b" and isinstance(value, bool):
        return "1" if value else "0"
    if letter in ("x", "X") and isinstance(value, str | bytes):
        digits = (value.encode() if isinstance(value, str) else value).hex()
        return digits.upper() if letter == "X" else digits
    if isinstance(value, int) and not isinstance(value, bool):
        return format(int(value), _RADIX[letter])
    if letter == "d" and isinstance(value, float) and (special := _special(value)):
        return special
    given = type_of(value).name
    match letter:
        case "b":
            raise Failed(f"only integers and bools can be formatted as binary, was given {given}")
        case "d":
            raise Failed(f"decimal clause can only be used on integers, was given {given}")
        case "o":
            raise Failed(f"octal clause can only be used on integers, was given {given}")
    raise Failed(f"only integers, byte buffers, and strings can be formatted as hex, was given {given}")


def _real(value: Any, letter: str, precision: int) -> str:
    if not isinstance(value, float):
        clause = "fixed-point" if letter == "f" else "scientific"
        raise Failed(f"{clause} clause can only be used on doubles, was given {type_of(value).name}")
    if precision > PRECISION_MOST:
        raise Failed(f"precision {precision} is larger than {PRECISION_MOST}")
    return _special(value) or format(value, f".{precision}{letter}")
