"""Why a text is no JSON, in the words of Go's encoding/json, which clients read in refusals.

`complaint` says it of any text; it decodes nothing. Texts that are fine cost one pass of the standard parser.
`as_written` reads a text whose numbers are to be quoted in a refusal.
"""

import json
from typing import Any

END = "unexpected end of JSON input"
_SPACE = " \t\r\n"
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_DIGITS = "0123456789"


class _Wrong(Exception):
    """Carries the complaint."""


def complaint(text: str) -> str:
    """ "" for good JSON."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except ValueError:
        return _scan(text)
    return ""


class Number(float):
    """One that prints as it was written: 1e3, not 1000.0."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "Number":
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text


def as_written(text: str) -> Any:
    """JSON, with floats as Number and integers of any size. Raises ValueError."""
    return json.loads(text, parse_float=Number)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _scan(text: str) -> str:
    try:
        rest = _skip(text, _value(text, _skip(text, 0)))
    except _Wrong as wrong:
        return str(wrong)
    return _unexpected(text, rest, "after top-level value") if rest < len(text) else END


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _unexpected(text: str, at: int, where: str) -> str:
    if at >= len(text):
        return END
    shown = {"'": "'\\''", '"': "'\"'"}.get(text[at], "'" + json.dumps(text[at], ensure_ascii=False)[1:-1] + "'")
    return f"invalid character {shown} {where}"


def _value(text: str, at: int) -> int:
    """The position behind the value at `at`."""
    start = text[at : at + 1]
    if start == "{":
        return _object(text, at + 1)
    if start == "[":
        return _array(text, at + 1)
    if start == '"':
        return _string(text, at + 1)
    if start in _LITERALS and start:
        return _literal(text, at, _LITERALS[start])
    if start and start in "-" + _DIGITS:
        return _number(text, at)
    raise _Wrong(_unexpected(text, at, "looking for beginning of value"))


def _object(text: str, at: int) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        return at + 1
    while True:
        if text[at : at + 1] != '"':
            raise _Wrong(_unexpected(text, at, "looking for beginning of object key string"))
        at = _skip(text, _string(text, at + 1))
        if text[at : at + 1] != ":":
            raise _Wrong(_unexpected(text, at, "after object key"))
        at = _skip(text, _value(text, _skip(text, at + 1)))
        if text[at : at + 1] == "}":
            return at + 1
        if text[at : at + 1] != ",":
            raise _Wrong(_unexpected(text, at, "after object key:value pair"))
        at = _skip(text, at + 1)


def _array(text: str, at: int) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        at = _skip(text, _value(text, _skip(text, at)))
        if text[at : at + 1] == "]":
            return at + 1
        if text[at : at + 1] != ",":
            raise _Wrong(_unexpected(text, at, "after array element"))
        at += 1


def _string(text: str, at: int) -> int:
    while at < len(text) and text[at] != '"':
        if text[at] < " ":
            raise _Wrong(_unexpected(text, at, "in string literal"))
        if text[at] == "\\":
            at = _escape(text, at + 1)
        at += 1
    if at >= len(text):
        raise _Wrong(END)
    return at + 1


def _escape(text: str, at: int) -> int:
    """The position of the escape's last character."""
    if text[at : at + 1] == "u":
        for position in range(at + 1, at + 5):
            if text[position : position + 1] not in tuple("0123456789abcdefABCDEF"):
                raise _Wrong(_unexpected(text, position, "in \\u hexadecimal character escape"))
        return at + 4
    if text[at : at + 1] not in tuple('bfnrt\\/"'):
        raise _Wrong(_unexpected(text, at, "in string escape code"))
    return at


def _literal(text: str, at: int, word: str) -> int:
    for offset, expected in enumerate(word):
        if text[at + offset : at + offset + 1] != expected:
            raise _Wrong(_unexpected(text, at + offset, f"in literal {word} (expecting '{expected}')"))
    return at + len(word)


def _number(text: str, at: int) -> int:
    if text[at] == "-":
        at += 1
        if text[at : at + 1] not in tuple(_DIGITS):
            raise _Wrong(_unexpected(text, at, "in numeric literal"))
    at = at + 1 if text[at] == "0" else _digits(text, at)
    if text[at : at + 1] == ".":
        if text[at + 1 : at + 2] not in tuple(_DIGITS):
            raise _Wrong(_unexpected(text, at + 1, "after decimal point in numeric literal"))
        at = _digits(text, at + 1)
    if text[at : at + 1] in ("e", "E"):
        at += 2 if text[at + 1 : at + 2] in ("+", "-") else 1
        if text[at : at + 1] not in tuple(_DIGITS):
            raise _Wrong(_unexpected(text, at, "in exponent of numeric literal"))
        at = _digits(text, at)
    return at


def _digits(text: str, at: int) -> int:
    while at < len(text) and text[at] in _DIGITS:
        at += 1
    return at
