"""JSON values as YAML text, the way kubectl prints them: sorted keys, two spaces, strings quoted only where needed.

Only writing, and only JSON's types, so that a verb need not load a YAML library.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

# Plain scalars that a YAML 1.1 reader would take for something other than this string.
_SPECIAL = re.compile(
    r"^(?:~|null|Null|NULL|true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|y|Y|n|N|=|<<"
    r"|[-+]?[0-9][0-9_.,:]*(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9]+|0[xo][0-9a-fA-F]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*)$"
)
_PLAIN = re.compile(r"^[A-Za-z0-9_./<($^+~\\;][^\x00-\x1f]*$")


def dump(value: Any) -> str:
    """A YAML document that ends in a newline."""
    if isinstance(value, dict | list) and value:
        return "".join(line + "\n" for line in _lines(value, 0))
    return _scalar(value, 0) + "\n"


def _lines(value: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _entry(f"{pad}{_inline(key)}:", value[key], indent)
        return
    for item in value:
        if isinstance(item, dict | list) and item:
            first, *rest = _lines(item, indent + 2)
            yield f"{pad}- {first[indent + 2 :]}"
            yield from rest
        else:
            yield f"{pad}- {_scalar(item, indent)}"


def _entry(head: str, value: Any, indent: int) -> Iterator[str]:
    if isinstance(value, dict) and value:
        yield head
        yield from _lines(value, indent + 2)
    elif isinstance(value, list) and value:
        yield head
        yield from _lines(value, indent)
    else:
        yield f"{head} {_scalar(value, indent)}"


def _scalar(value: Any, indent: int) -> str:
    if isinstance(value, str):
        return _string(value, indent)
    return json.dumps(value)


def _string(text: str, indent: int) -> str:
    if "\n" in text and not re.search(r"[\x00-\x09\x0b-\x1f]|[ \t]\n|^[ \n]", text):
        keep = "|" if text.endswith("\n") and not text.endswith("\n\n") else "|-" if not text.endswith("\n") else "|+"
        pad = " " * (indent + 2)
        return keep + "".join("\n" + (pad + line if line else "") for line in text.removesuffix("\n").split("\n"))
    return _inline(text)


def _inline(text: str) -> str:
    safe = _PLAIN.match(text) and not _SPECIAL.match(text) and ": " not in text and " #" not in text and not text.endswith((":", " "))
    return text if safe else json.dumps(text, ensure_ascii=False)
