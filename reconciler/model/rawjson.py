"""Raw extensions: fields that hold any JSON, which Kubernetes keeps as the text that was submitted.

Readers find JSON values, as everywhere; one that was read from a request remembers its text (`Raw`), which is written
into the journal and into the protobuf form, so that clients get back what they sent byte for byte, until the value is
written anew by the server. Which fields these are the schemas say. What was written over several lines is made
compact, for an object is one line of a watch.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from reconciler.model.schema import Node, Schemas

RAW_EXTENSION = "io.k8s.apimachinery.pkg.runtime.RawExtension"
GO_TYPE = "runtime.RawExtension"
MOST_DEPTH = 128  # of one that comes alone: with what is around it no deeper than a body in JSON may be

Tree = Mapping[str, "Tree"]  # the fields on the way to raw extensions, "*" for items and free keys; an extension has none
NO_FIELDS: Tree = {}

_SEPARATORS = re.compile(rb"[\s,]*")
_COLON = re.compile(rb"\s*:\s*")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(rb"[^\s,\]}]+")
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')


class Raw(dict[str, Any]):
    """A JSON object and its text."""

    __slots__ = ("text",)

    def __init__(self, value: Mapping[str, Any], text: bytes) -> None:
        super().__init__(value)
        self.text = text


def dumps(value: Any) -> bytes:
    """`value` as JSON with the texts that are remembered."""
    encoded: bytes = orjson.dumps(value, _native, orjson.OPT_PASSTHROUGH_SUBCLASS)
    return encoded


def loads(text: bytes) -> Any:
    """The raw extension of this text. Raises orjson.JSONDecodeError, also for nesting beyond MOST_DEPTH."""
    if _depth(text) > MOST_DEPTH:
        raise orjson.JSONDecodeError(f"exceeded max depth of {MOST_DEPTH}", "", 0)
    return _remembering(orjson.loads(text), text)


def _depth(text: bytes) -> int:
    depth = deepest = 0
    for found in _BRACKETS.finditer(text):
        depth += 1 if found[0] in b"{[" else -1 if found[0] in b"]}" else 0
        deepest = max(deepest, depth)
    return deepest


def _native(value: Any) -> Any:
    """What is no plain value, as orjson writes it."""
    if isinstance(value, Raw):
        return orjson.Fragment(value.text)
    return str(value) if isinstance(value, str) else list(value) if isinstance(value, list) else dict(value)


def _remembering(value: Any, text: bytes) -> Any:
    """`value` with its text, if it can be kept: on one line, and of characters only (or what was read is something else)."""
    if not isinstance(value, dict) or b"\n" in text or b"\r" in text:
        return value
    try:
        return Raw(value, text) if orjson.loads(text) == value else value
    except orjson.JSONDecodeError:
        return value


class Fields:
    """Where definitions have raw extensions. Only those are walked in whose Go packages such fields are."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._trees: dict[str, Tree] = {}
        self._packages = {_package(name) for name, shape in schemas.shapes.items() if any(GO_TYPE in field for field in shape.values())}

    def remember(self, definition: str, value: Any, text: bytes) -> None:
        """Have the raw extensions in `value`, which was just read from `text`, remember theirs."""
        if definition and isinstance(value, dict) and (tree := self._tree_of(definition)):
            _remember(value, text, _SEPARATORS.match(text).end(), tree)  # type: ignore[union-attr]

    def _tree_of(self, definition: str) -> Tree:
        if _package(definition) not in self._packages:
            return NO_FIELDS
        if definition not in self._trees:
            self._tree(self._schemas.of(definition))
        return self._trees[definition]

    def _tree(self, node: Node) -> Tree | None:
        """The tree below a node; None where there is no raw extension in it."""
        if node.name == RAW_EXTENSION:
            return NO_FIELDS
        if node.preserves_unknown:
            return None
        if node.name in self._trees:
            return self._trees[node.name] or None
        if node.name:
            self._trees[node.name] = NO_FIELDS  # a definition within itself adds nothing
        if node.type == "array":
            inner = {"*": self._tree(node.item)}
        elif node.properties:
            inner = {name: self._tree(child) for name, child in node.fields()}
        else:
            inner = {"*": self._tree(node.values)} if node.values is not None else {}
        tree = {name: below for name, below in inner.items() if below is not None}
        if node.name:
            self._trees[node.name] = tree
        return tree or None


def _package(definition: str) -> str:
    return definition.rpartition(".")[0]


def _remember(value: Any, text: bytes, at: int, tree: Tree) -> None:
    for key, begin, end in _members(text, at):
        below = tree.get("*") if isinstance(key, int) else tree.get(key, tree.get("*"))
        inner = value[key]
        if below:
            if isinstance(inner, dict | list):
                _remember(inner, text, begin, below)
        elif below is not None:
            value[key] = _remembering(inner, text[begin:end])


def _members(text: bytes, at: int) -> Iterator[tuple[Any, int, int]]:
    """Of the object or list that begins at `at`: each key or index, and where its value begins and ends.

    The text is known to be JSON: this only finds the way.
    """
    is_list, index = text[at : at + 1] == b"[", 0
    at = _after(_SEPARATORS, text, at + 1)
    while text[at : at + 1] not in (b"]", b"}"):
        key: int | str = index
        if not is_list:
            end = _after(_STRING, text, at)
            key, at = orjson.loads(text[at:end]), _after(_COLON, text, end)
        end = _end(text, at)
        yield key, at, end
        index, at = index + 1, _after(_SEPARATORS, text, end)


def _end(text: bytes, at: int) -> int:
    """Where the value that begins at `at` ends."""
    if text[at : at + 1] not in (b"{", b"["):
        return _after(_STRING if text[at : at + 1] == b'"' else _SCALAR, text, at)
    depth = 0
    for found in _BRACKETS.finditer(text, at):
        depth += 1 if found[0] in b"{[" else -1 if found[0] in b"]}" else 0
        if not depth:
            return found.end()
    return len(text)


def _after(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found is not None else len(text)
