"""Paths to a field of a schema, as x-kubernetes-validations and selectableFields write them: .spec.m['a.b'].x"""

import re
from collections.abc import Iterator

from reconciler.model.structural.schema import Structural

NO_FIELD = "does not refer to a valid field"
_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]']+|.", re.DOTALL)


class Malformed(ValueError):
    """The path leads nowhere."""


def resolve(path: str, schema: Structural, *, allow_brackets: bool = True) -> tuple[str, Structural]:
    """The path as field errors write it and the schema there. Raises Malformed."""
    tokens = iter(_TOKEN.findall(path))
    made = ""
    for piece in tokens:
        if piece == "[":
            if not allow_brackets:
                raise Malformed("array notation is not allowed")
            key = _quoted(_next(tokens))
            made, schema = _step(made, schema, key)
            if (closing := _next(tokens)) != "]":
                raise Malformed(f"expected ] but got {closing}")
        elif piece == ".":
            made, schema = _step(made, schema, _next(tokens))
        else:
            raise Malformed(f"expected [ or . but got: {piece}")
    return made, schema


def _next(tokens: Iterator[str]) -> str:
    token = next(tokens, None)
    if token is None:
        raise Malformed("unexpected end of JSON path")
    return token


def _quoted(token: str) -> str:
    if len(token) < 2 or token[0] != "'" or token[-1] != "'":
        raise Malformed(f"expected single quoted string but got {token}")
    return re.sub(r"\\(.)", r"\1", token[1:-1])


def _step(path: str, schema: Structural, key: str) -> tuple[str, Structural]:
    if schema.properties:
        if key not in schema.properties:
            raise Malformed(NO_FIELD)
        return (f"{path}.{key}" if path else key), schema.properties[key]
    if schema.additional is None:
        raise Malformed(NO_FIELD)
    return f"{path}[{key}]", schema.additional
