"""The part of kubectl's JSONPath that definitions use: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.

`parse` takes a path apart once, `find` follows it. Keys, quoted keys, indexes, slices, wildcards, recursive descent
and filters with one comparison; a missing key finds nothing.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_STEP = re.compile(
    r"""\.\.(?P<deep>[\w-]*)
      | \.(?P<key>(?:[^.\[\]\\'"]|\\.)+)
      | \[\s*'(?P<quoted>[^']*)'\s*\]
      | \[\s*"(?P<double>[^"]*)"\s*\]
      | \[\s*\?\((?P<filter>.+?)\)\s*\]
      | \[\s*(?P<index>-?\d+|\*|-?\d*:-?\d*(?::-?\d*)?)\s*\]
      | (?P<root>\.$|^\.)
    """,
    re.VERBOSE,
)
_FILTER = re.compile(r"""\s*@(?P<left>[^=!<>]*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>.+?))?\s*""")

Step = Callable[[Any], Iterable[Any]]


class Malformed(ValueError):
    """The path is none."""


def parse(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises Malformed."""
    steps = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or found.end() == at:
            raise Malformed(f"unexpected text at {path[at:]!r} in JSONPath {path!r}")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def find(steps: Iterable[Step], value: Any) -> list[Any]:
    """Everything that the path leads to, in order."""
    values = [value]
    for step in steps:
        values = [below for one in values for below in step(one)]
    return values


def _step(found: re.Match[str]) -> Step:
    if found["root"] is not None:
        return lambda value: [value]
    if found["deep"] is not None:
        name = found["deep"]
        return lambda value: [below for one in _descendants(value) for below in _key(name)(one)]
    if found["filter"] is not None:
        return _filtered(found["filter"])
    if found["index"] is not None:
        return _indexed(found["index"])
    if found["key"] is not None:
        return _key(re.sub(r"\\(.)", r"\1", found["key"]))
    return _key(found["quoted"] if found["quoted"] is not None else found["double"])


def _key(name: str) -> Step:
    if name == "*":
        return lambda value: list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return lambda value: [value[name]] if isinstance(value, Mapping) and name in value else ()


def _indexed(text: str) -> Step:
    if text == "*":
        return _key("*")
    if ":" in text:
        bounds = slice(*(int(part) if part else None for part in text.split(":")))
        return lambda value: value[bounds] if isinstance(value, list) else ()
    index = int(text)
    return lambda value: [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else ()


def _filtered(text: str) -> Step:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise Malformed(f"the filter {text!r} is no comparison")
    left, operator, right = parse(found["left"]), found["op"], _literal(found["right"])

    def matching(value: Any) -> Iterable[Any]:
        items = value if isinstance(value, list) else list(value.values()) if isinstance(value, Mapping) else ()
        return [item for item in items if any(_compare(one, operator, right) for one in find(left, item))]

    return matching


def _literal(text: str | None) -> Any:
    if text is None:
        return None
    if text[0] == "'" and text[-1] == "'":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        raise Malformed(f"unrecognized value {text!r} in a filter") from None


def _compare(left: Any, operator: str | None, right: Any) -> bool:
    if operator is None:
        return True
    if operator in ("==", "!="):
        return bool((left == right) == (operator == "=="))
    if type(left) is not type(right) and not {type(left), type(right)} <= {int, float}:
        return False
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator])


def _descendants(value: Any) -> list[Any]:
    below = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [value, *(deeper for one in below for deeper in _descendants(one))]
