"""Which tag a range of versions chooses: ">=1.2.0 <2.0.0", "1.x", "~1.4", "^2.1", "1.0 - 1.9", parts joined by "||".

As Masterminds' semver, which Flux uses: a pre-release is only chosen by a range that names one. Pure.
"""

import re
from collections.abc import Iterable

_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z")
_TERM = re.compile(r"(=|==|!=|>=|=>|<=|=<|>|<|~>|~|\^)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-([0-9A-Za-z.-]+))?\Z")
_SPAN = re.compile(r"(\S+)\s+-\s+(\S+)")
_JOINED = re.compile(r"(?<=[<>=~^!])\s+")

Key = tuple[int, int, int, tuple[object, ...]]


def highest(tags: Iterable[str], wanted: str) -> str | None:
    """The highest of `tags` that `wanted` takes; None where there is none. Raises ValueError for a range that is none."""
    parts = [_range(part) for part in wanted.split("||")]
    found = [(key, tag) for tag in tags if (key := _key(tag)) is not None and any(_takes(part, key) for part in parts)]
    return max(found)[1] if found else None


def _key(text: str) -> Key | None:
    match = _VERSION.match(text)
    if match is None:
        return None
    major, minor, patch = (int(part or 0) for part in match.groups()[:3])
    return major, minor, patch, _pre(match.group(4))


def _pre(text: str | None) -> tuple[object, ...]:
    """Orders pre-releases before the release itself, numbers before words."""
    if not text:
        return ((2,),)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in text.split("."))


Bound = tuple[str, Key]


def _range(text: str) -> list[Bound]:
    text = _SPAN.sub(r">=\1 <=\2", text.strip())
    terms = [term for part in text.split(",") for term in _JOINED.sub("", part.strip()).split()]
    if not terms:
        raise ValueError("the range of versions is empty: write one, such as 1.x")
    return [bound for term in terms for bound in _bounds(term)]


def _bounds(term: str) -> list[Bound]:
    match = _TERM.match(term)
    if match is None:
        raise ValueError(f"{term!r} is no range of versions: write one, such as >=1.2.0 or 1.x")
    operator, *written, pre = match.groups()
    given = [int(part) for part in written if part is not None and part.isdecimal()]
    low = _filled(given, _pre(pre))
    if operator in (">", "<", ">=", "=>", "<=", "=<", "!="):
        return [({"=>": ">=", "=<": "<="}.get(operator, operator), low)]
    if not given:
        return [(">=", low)]
    if operator == "^":
        place = next((place for place, part in enumerate(given) if part), len(given) - 1)
    elif operator in ("~", "~>"):
        place = min(1, len(given) - 1)
    else:
        place = len(given) - 1
    if len(given) == 3 and operator in (None, "=", "=="):
        return [("=", low)]
    return [(">=", low), ("<", _filled([*given[:place], given[place] + 1], ()))]


def _filled(given: list[int], pre: tuple[object, ...]) -> Key:
    major, minor, patch = [*given, 0, 0, 0][:3]
    return major, minor, patch, pre


def _takes(bounds: list[Bound], key: Key) -> bool:
    is_release = key[3] == _pre(None)
    if not is_release and all(bound[3] in (_pre(None), ()) for _, bound in bounds):
        return False
    tests = {"=": key.__eq__, "!=": key.__ne__, ">": key.__gt__, "<": key.__lt__, ">=": key.__ge__, "<=": key.__le__}
    return all(tests[operator](bound) for operator, bound in bounds)
