"""JSON values as Go prints them: upstream's errors quote refused values that way, and clients compare the text.

`plain` is fmt's %v, `literal` is %#v, `type_name` is %T; `marshal` is json.Marshal of a map.
"""

import json
from typing import Any

_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


def plain(value: Any) -> str:
    """map[a:1 b:[x y]], with keys in order."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{plain(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(plain(item) for item in value) + "]"
    return str(value)


def literal(value: Any) -> str:
    """map[string]interface {}{"a":1}, with keys in order."""
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "map[string]interface {}{" + ", ".join(f"{quoted(key)}:{literal(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(literal(item) for item in value) + "}"
    return plain(value)


def type_name(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "int64"
    if isinstance(value, float):
        return "float64"
    return "[]interface {}" if isinstance(value, list) else "map[string]interface {}"


def quoted(text: str) -> str:
    """%q, which for printable text is a JSON string."""
    if text.isprintable():
        return json.dumps(text, ensure_ascii=False)
    return '"' + "".join(map(_escaped_rune, text)) + '"'


def _escaped_rune(rune: str) -> str:
    if rune in _ESCAPES or rune.isprintable():
        return _ESCAPES.get(rune, rune)
    code = ord(rune)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def marshal(value: Any) -> str:
    """Compact JSON with sorted keys, as Go's encoder would write it, byte for byte."""
    return escaped(json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False))


def escaped(text: str) -> str:
    """JSON text with what might be taken for HTML or a line's end in JavaScript as Go's encoder writes it."""
    return text.translate(_UNSAFE) if any(character in text for character in "<>&\u2028\u2029") else text


def number(value: float) -> str:
    """The shortest decimal; an exponent from 1e21 on and below 1e-4."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    return f"{mantissa.removesuffix('.0')}e{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-').zfill(2)}"
