"""YAML as kubectl reads it, with the place of every node.

The events come from libyaml; what they mean is decided here, after sigs.k8s.io/yaml, the reader of kubectl and of
the API server: YAML 1.1 booleans (yes, on), octal 0644, underscores in numbers, dates and 12:30:45 as strings,
merge keys applied in the order of writing, keys that are no strings turned into ones. It differs in one point on
purpose: a key written twice in one mapping is an error, where kubectl silently takes the last; a caller that must do
as kubectl does gets the repeated keys in a list instead.

A stream is cut at its `---` lines before anything is parsed, so that a broken document hides no other. Depth and
size, aliases expanded, are bounded. Places are found by parsing again (`locate`): whoever has no error to report
pays nothing for them. This module knows nothing of files and of Kubernetes' objects.
"""

import base64
import binascii
import functools
import io
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML, events
from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]  # it lists no names
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import ScannerError

MAX_DEPTH = 200
MAX_NODES = 200_000  # of one document, an alias counting as much as what it stands for

Step = str | int
Place = tuple[int, int]  # line and column, both from 1

_TAG = "tag:yaml.org,2002:"
_FIXED: dict[str, Any] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_WORDS = frozenset(text for text, value in _FIXED.items() if isinstance(value, bool) and text.lower() not in ("true", "false"))
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_COLON = "found unexpected ':'"
_SEPARATOR = re.compile(r"^---(.*)$", re.MULTILINE)
_SURROGATES = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


class Invalid(Exception):
    """Text that cannot be read: what is wrong, and at which line and column, both from 1.

    `upstream` is how the API server's own reader says it, line included, which its clients compare.
    """

    def __init__(self, message: str, line: int, column: int, upstream: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.upstream = upstream or f"line {line}: {message}"
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Chunk:
    """The text of one document and the line of the file that it starts on, from 1.

    With `words_are_text` yes, no, on, off, y and n are strings, as kustomize's reader has it.
    """

    text: str
    line: int
    words_are_text: bool = False


def split(text: str, *, words_are_text: bool = False) -> Iterator[Chunk | Invalid]:
    """The documents of a stream, and an Invalid for each separator line that kubectl refuses."""
    line, start = 1, 0
    for separator in _SEPARATOR.finditer(text):
        yield Chunk(text[start : separator.start()], line, words_are_text)
        line += text.count("\n", start, separator.start())
        rest = separator.group(1).strip()
        if rest and not rest.startswith("#"):
            yield Invalid(f"{rest!r} cannot follow the separator ---: begin the document on the next line", line, 4)
        start = separator.end()
    yield Chunk(text[start:], line, words_are_text)


def build(chunk: Chunk, repeats: list[str] | None = None) -> Iterator[tuple[Place, Any]]:
    """The values of a chunk with their places: one, none where it holds only comments, more after a `...` line.

    With `repeats`, a key written twice counts with its last value and is told of there.
    """
    yield from _Builder(chunk, None, repeats).documents()


def locate(chunk: Chunk, path: Sequence[Step], skip: int = 0) -> Place:
    """Where the node at `path` begins, or the nearest one above it that exists, in value number `skip` of a chunk."""
    places = _places(chunk, skip)
    wanted = tuple(path)
    while wanted and wanted not in places:
        wanted = wanted[:-1]
    return places.get(wanted, (chunk.line, 1))


@functools.lru_cache(maxsize=2)  # a list of a thousand objects is asked a thousand times in a row
def _places(chunk: Chunk, skip: int) -> Mapping[tuple[Step, ...], Place]:
    places: dict[tuple[Step, ...], Place] = {}
    for number, _ in enumerate(_Builder(chunk, places).documents()):
        if number == skip:
            break
        places.clear()
    return places


@functools.lru_cache(maxsize=4096)
def scalar(text: str) -> Any:
    """The value of a plain scalar; infinities and NaN as floats, which JSON cannot carry."""
    if text in _FIXED:
        return _FIXED[text]
    if text[0] == ".":
        return _float(text.replace("_", "")) if text[1:2] != "_" else text
    if text[0] not in "+-0123456789":
        return text
    number = text.replace("_", "")
    if _INTEGER.match(number):
        value = _integer(number)
        if -(2**63) <= value < 2**63:
            return value
        if 0 <= value < 2**64:
            return float(value)
    found = _float(number)
    return text if found is number else found


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").lower()
    if digits[:2] in ("0x", "0b", "0o"):
        return sign * int(digits[2:], {"x": 16, "b": 2, "o": 8}[digits[1]])
    return sign * int(digits, 8 if digits[0] == "0" else 10)


def _float(text: str) -> Any:
    """A float, an int where it is a whole one as JSON writes it, or `text` itself where it is no number."""
    if not _FLOAT.match(text):
        return text
    value = float(text)
    if math.isinf(value):
        return text
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


class _Builder:
    """One pass over the events of a chunk. With `places`, the place of every node is kept under its path."""

    def __init__(self, chunk: Chunk, places: dict[tuple[Step, ...], Place] | None, repeats: list[str] | None = None) -> None:
        self._line = chunk.line
        self._texts = _WORDS if chunk.words_are_text else frozenset()
        self._places = places
        self._repeats = repeats
        self._text = _SURROGATES.sub(_joined, chunk.text)
        self._parser: Any = CParser(self._text)
        self._taken = 0  # events
        self._anchors: dict[str, tuple[Any, int] | None] = {}  # value and size; None while still being read
        self._nodes = 0

    def documents(self) -> Iterator[tuple[Place, Any]]:
        while True:
            event = self._next()
            if isinstance(event, events.StreamEndEvent):
                return
            if isinstance(event, events.DocumentStartEvent):
                self._anchors.clear()
                self._nodes = 0
                root = self._next()
                place = self._place(root)
                value = self._node(root, 0, ())
                if value is not None:  # a chunk of comments is a null to libyaml where a separator was left
                    yield place, value

    def _next_slowly(self) -> Any:
        """Go on with the parser in Python: this libyaml refuses {image: nginx:2}, which kubectl takes."""
        self._parser = YAML(typ="safe", pure=True)
        self._parser = self._parser.get_constructor_parser(io.StringIO(self._text))[1]
        skipped, self._taken = self._taken - 1, 0
        for _ in range(skipped):
            self._next()
        return self._next()

    def _next(self) -> Any:
        try:
            self._taken += 1
            return self._parser.get_event()
        except MarkedYAMLError as error:
            if error.problem == _COLON and isinstance(self._parser, CParser):
                return self._next_slowly()
            mark = error.problem_mark or error.context_mark
            message = " ".join(part for part in (error.context, error.problem) if part)
            hinted = _hinted(message, mark.line, mark.column, self._text)
            raise Invalid(hinted, self._line + mark.line, mark.column + 1, _upstream(error)) from None
        except ReaderError as error:
            before = self._text.encode()[: error.position].decode("utf-8", "replace")
            line, column = before.count("\n"), len(before) - before.rfind("\n")
            raise Invalid(f"the character #x{error.character:04x} is not allowed in YAML", self._line + line, column) from None

    def _place(self, event: Any) -> Place:
        mark = event.start_mark
        return self._line + mark.line, mark.column + 1

    def _refuse(self, event: Any, message: str, upstream: str = "") -> Invalid:
        return Invalid(message, *self._place(event), upstream)

    def _node(self, event: Any, depth: int, path: tuple[Step, ...]) -> Any:
        if self._places is not None:
            self._places.setdefault(path, self._place(event))
        if isinstance(event, events.AliasEvent):
            return self._alias(event)
        before = self._nodes
        self._count(event, 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, events.ScalarEvent):
            value = self._scalar(event)
        elif depth >= MAX_DEPTH:
            raise self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, events.MappingStartEvent):
            value = self._mapping(depth + 1, path)
        else:
            value = self._sequence(depth + 1, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _count(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._refuse(event, f"more than {MAX_NODES} nodes, aliases expanded: split the document or write aliases out")

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            hint = f"define it with &{event.anchor} earlier in the same document"
            raise self._refuse(event, f"unknown anchor {event.anchor!r}: {hint}", f"unknown anchor '{event.anchor}' referenced")
        known = self._anchors[event.anchor]
        if known is None:
            raise self._refuse(event, f"anchor {event.anchor!r} contains itself", f"anchor '{event.anchor}' value contains itself")
        value, size = known
        self._count(event, size)
        return value

    def _sequence(self, depth: int, path: tuple[Step, ...]) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), events.SequenceEndEvent):
            items.append(self._node(event, depth, path if self._places is None else (*path, len(items))))
        return items

    def _mapping(self, depth: int, path: tuple[Step, ...]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        written: set[str] = set()
        while not isinstance(event := self._next(), events.MappingEndEvent):
            if _is_merge(event):
                self._count(event, 1)
                self._merge(mapping, self._next(), depth)
                continue
            key = self._key(event, depth)
            if key in written and self._repeats is None:
                raise self._refuse(event, f"key {key!r} is written twice in this mapping: remove one")
            below = path if self._places is None else (*path, key)
            if self._places is not None:
                self._places[below] = self._place(event)
            event = self._next()
            mapping[key] = self._node(event, depth, below)
            if key in written and self._repeats is not None:
                self._repeats.append(f'line {self._place(event)[0]}: key "{key}" already set in map')
            written.add(key)
        return mapping

    def _key(self, event: Any, depth: int) -> str:
        key = self._node(event, depth, ("",)) if not isinstance(event, events.ScalarEvent) or event.anchor else self._scalar(event)
        if isinstance(key, str):
            return sys.intern(key)
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, int):
            return str(key)
        if isinstance(key, float):
            return _float_key(key)
        raise self._refuse(event, f"a key must be a string, not {'null' if key is None else 'a list or a mapping'}: quote it")

    def _merge(self, mapping: dict[str, Any], event: Any, depth: int) -> None:
        before = self._nodes
        source = self._node(event, depth, ("<<",))
        parts = source if isinstance(source, list) else [source]
        if not all(isinstance(part, dict) for part in parts):
            raise self._refuse(event, "<< takes a mapping or a list of mappings")
        for part in reversed(parts):
            mapping.update(part)
        self._count(event, self._nodes - before)

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        tag = event.tag
        if tag is None:
            value = scalar(text) if event.implicit[0] and text not in self._texts else text
        elif not tag.startswith(_TAG):
            return text
        else:
            value = self._tagged(event, tag.removeprefix(_TAG), text)
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refuse(event, f"{text} has no form in JSON: quote it if a string is meant")
        return value

    def _tagged(self, event: Any, tag: str, text: str) -> Any:
        if tag == "binary":
            try:
                return base64.b64decode(text.replace("\n", ""), validate=True).decode("utf-8", "replace")
            except binascii.Error:
                raise self._refuse(event, "!!binary takes base64") from None
        kinds = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}.get(tag)
        if kinds is None:
            return text
        value = scalar(text)
        if not isinstance(value, kinds) or (isinstance(value, bool) and tag != "bool"):
            raise self._refuse(event, f"cannot read {text!r} as !!{tag}")
        return value


def _is_merge(event: Any) -> bool:
    if not isinstance(event, events.ScalarEvent) or event.value != "<<":
        return False
    return bool(event.tag == _TAG + "merge" or (event.tag is None and event.implicit[0]))


def _float_key(key: float) -> str:
    if not math.isfinite(key):
        return ".nan" if math.isnan(key) else ".inf" if key > 0 else "-.inf"
    short = format(key, "g")
    return short if float(short) == key else repr(key)


def _joined(pair: re.Match[str]) -> str:
    """JSON writes a character beyond U+FFFF as two escapes, YAML as one."""
    high, low = int(pair.group(1), 16), int(pair.group(2), 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _upstream(error: MarkedYAMLError) -> str:
    """As goyaml words it: no context, and no line for the first one, which its scanner counts from 0."""
    marks = (error.context_mark, error.problem_mark)
    line = next((mark.line for mark in marks if mark is not None and mark.line), 0)
    problem = error.problem or "unknown problem parsing YAML content"
    return f"line {line + isinstance(error, ScannerError)}: {problem}" if line else problem


def _hinted(message: str, line: int, column: int, text: str) -> str:
    """What libyaml says, and for the two commonest mistakes what to do."""
    if "cannot start any token" in message and text.split("\n")[line][column : column + 1] == "\t":
        return "a tab cannot indent YAML: use spaces"
    if "mapping values are not allowed" in message:
        return f"{message}: check the indentation, and quote a value that contains ': '"
    return message
