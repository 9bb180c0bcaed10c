"""Everything wrong with one document, without a server: every field that does not fit, each in its place.

The judge of a document is the API; this gives its refusals a line and column, and all of them instead of the first.
It uses the kind's own record: schema, defaults, validation. What depends on other objects (admission, allocation,
immutable fields) is not known here. Pure.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.gitops import load
from reconciler.model import decode, meta, metadata
from reconciler.model.apply import form
from reconciler.model.kind import Kind, Version
from reconciler.model.schema import Node, Schemas

_NAMES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "a list", dict: "a mapping", type(None): "null"}
_FITS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
_ANY_SCALAR = ("quantity", "int-or-string")


def review(document: load.Document, kind: Kind, schemas: Schemas, namespace: str = "default") -> tuple[load.Problem, ...]:
    """The problems of a document whose kind is known."""
    if found := misfits(document, kind, schemas):
        return found
    version = version_of(kind, document.body)
    try:
        body = document.body if kind.custom else decode.decode(schemas.of(version.schema), document.body).obj
    except decode.DecodeError as error:
        return (document.problem(str(error)),)
    if kind.namespaced and not meta.namespace(body):
        body = meta.put(body, ("metadata", "namespace"), namespace)
    own = version.default(body)
    obj = kind.prepare(version.to_hub(own), None)
    refused = [*metadata.refused(kind, obj), *kind.validate(obj, None)]
    if version.validate is not None:
        refused += version.validate(own, None, "")[0]
    return tuple(document.problem(error.message, error.path) for error in refused)


def misfits(document: load.Document, kind: Kind, schemas: Schemas) -> tuple[load.Problem, ...]:
    """Fields of a wrong type and fields that do not exist: with any of these a document cannot even be converted."""
    version = version_of(kind, document.body)
    node = form.of(kind, version.name, schemas).node if kind.custom else schemas.of(version.schema)
    return tuple(document.problem(message, field) for field, message in _misfits(node, document.body, ""))


def version_of(kind: Kind, body: meta.Obj) -> Version:
    """The version of its kind that an object is written in."""
    return next(version for version in kind.versions if kind.api_version(version.name) == body["apiVersion"])


def _misfits(node: Node, value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(field path, what is wrong) for each value of a wrong type and each field that the schema does not know."""
    if value is None:
        return
    if wrong := _wrong_type(node, value):
        yield path, wrong
    elif isinstance(value, dict):
        for name, child in value.items():
            below = f"{path}.{name}" if path else name
            known = node.field(name)
            if known is not None:
                yield from _misfits(known, child, below if known is not node.values else f"{path}[{name}]")
            elif node.properties and not node.preserves_unknown:
                yield below, _unknown(name, node.properties)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _misfits(node.item, item, f"{path}[{index}]")


def _wrong_type(node: Node, value: Any) -> str:
    if node.is_int_or_string or node.format in _ANY_SCALAR:
        return "" if isinstance(value, str | int | float) and not isinstance(value, bool) else _wanted("a string or a number", value)
    fitting = _FITS.get(node.type)
    if fitting is None or (isinstance(value, fitting) and not (isinstance(value, bool) and bool not in fitting)):
        return ""
    return _wanted(_NAMES[fitting[0]] if node.type != "number" else "a number", value)


def _wanted(name: str, value: Any) -> str:
    given = _NAMES[type(value)]
    shown = "" if isinstance(value, list | dict) else f" {json.dumps(value, ensure_ascii=False)}"
    hint = ": quote it" if name == "a string" and shown else ""
    hint = ": remove the quotes" if isinstance(value, str) and name in ("an integer", "a boolean") and not _is_text(value, name) else hint
    return f"must be {name}, not {given}{shown}{hint}"


def _is_text(value: str, name: str) -> bool:
    """Whether quotes are not the mistake."""
    return not (value.lstrip("-").isdecimal() if name == "an integer" else value in ("true", "false"))


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1) or [other for other in known if other.lower() == name.lower()]
    return f"there is no such field{f': did you mean {close[0]}?' if close else ''}"
