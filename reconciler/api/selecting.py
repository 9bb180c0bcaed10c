"""Label and field selectors as a query spells them, parsed into predicates.

The grammar and the wording of its errors follow k8s.io/apimachinery/pkg/labels and .../pkg/fields. What a label
selector matches is model/selectors.py's business; fields are the kind's own (`Kind.selectable_fields`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from reconciler.model import errors, meta, names, selectors
from reconciler.model.kind import Kind

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SPECIAL = frozenset({"=", "==", "!=", "!", "(", ")", ",", "<", ">"})
_OPERATORS: dict[str, selectors.Operator] = {
    "in": "In", "notin": "NotIn", "=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt",
}  # fmt: skip


class _Unparsable(ValueError):
    pass


@lru_cache(maxsize=1024)
def labels(text: str) -> selectors.Selector:
    """The selector that `text` spells. Raises StatusError 400 with Kubernetes' wording."""
    if not text.strip():
        return selectors.EVERYTHING
    try:
        return selectors.Selector(tuple(_Labels(text).requirements()))
    except _Unparsable as error:
        raise errors.bad_request(str(error)) from None


class _Labels:
    """A recursive-descent parser over the tokens; "" is the end of the string."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = [*_TOKEN.findall(text), ""]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at]

    def take(self) -> str:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def requirements(self) -> list[selectors.Requirement]:
        found: list[selectors.Requirement] = []
        while self.peek():
            if not (_is_word(self.peek()) or self.peek() == "!"):
                raise _Unparsable(f"found '{self.peek()}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.requirement())
            except _Unparsable as error:
                raise _Unparsable(f"unable to parse requirement: {error}") from None
            separator = self.take()
            if separator not in ("", ","):
                raise _Unparsable(f"found '{separator}', expected: ',' or 'end of string'")
            if separator == "," and not (_is_word(self.peek()) or self.peek() == "!"):
                raise _Unparsable(f"found '{self.peek()}', expected: identifier after ','")
        return found

    def requirement(self) -> selectors.Requirement:
        negated = self.peek() == "!"
        if negated:
            self.take()
        key = self.word()
        for reason in names.qualified(key):
            raise _Unparsable(f"<nil>: {errors.invalid('', key, reason).message}")
        if negated:
            return selectors.Requirement(key, "DoesNotExist")
        if self.peek() in ("", ","):
            return selectors.Requirement(key, "Exists")
        operator = self.take()
        if operator not in _OPERATORS:
            raise _Unparsable(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        values = self.many() if operator in ("in", "notin") else (self.exact(),)
        return _checked(selectors.Requirement(key, _OPERATORS[operator], values))

    def word(self) -> str:
        token = self.take()
        if not _is_word(token):
            raise _Unparsable(f"found '{token}', expected: identifier")
        return token

    def exact(self) -> str:
        return "" if self.peek() in ("", ",") else self.word()

    def many(self) -> tuple[str, ...]:
        opening = self.take()
        if opening != "(":
            raise _Unparsable(f"found '{opening}' expected: '('")
        values, expect_value = set[str](), True
        while True:
            token = self.take()
            if _is_word(token) and expect_value:
                values.add(token)
                expect_value = False
            elif token in (",", ")"):
                if expect_value:
                    values.add("")
                if token == ")":  # noqa: S105 - a token of the grammar
                    return tuple(sorted(values))
                expect_value = True
            else:
                expected = "identifier" if expect_value else "',' or ')'"
                raise _Unparsable(f"found '{token}', expected: {expected}")


def _is_word(token: str) -> bool:
    return bool(token) and token not in _SPECIAL


def _checked(requirement: selectors.Requirement) -> selectors.Requirement:
    for index, value in enumerate(requirement.values):
        if requirement.operator in ("Gt", "Lt") and not re.fullmatch(r"[+-]?\d+", value):
            raise _Unparsable(str(errors.invalid(f"values[{index}]", value, "for 'Gt', 'Lt' operators, the value must be an integer")))
        for reason in names.label_value(value):
            raise _Unparsable(str(errors.invalid(f"values[{index}][{requirement.key}]", value, reason)))
    return requirement


@dataclass(frozen=True, slots=True)
class Term:
    """One condition on a field: equal to `value`, or (negated) anything else."""

    field: str
    value: str
    negated: bool
    read: Callable[[meta.Obj], str]

    def holds(self, obj: meta.Obj) -> bool:
        return (self.read(obj) == self.value) != self.negated


Terms = tuple[Term, ...]


def fields(kind: Kind, text: str) -> Terms:
    """The terms of a field selector on objects in the hub version. Raises StatusError 400."""
    return tuple(_term(kind, part) for part in _split(text) if part)


def _term(kind: Kind, part: str) -> Term:
    for operator in ("!=", "==", "="):
        name, found, value = part.partition(operator)
        if found:
            return Term(name, _unescaped(value), operator == "!=", _reader(kind, name))
    raise errors.bad_request(f"invalid selector: '{part}'; can't understand '{part}'")


def _reader(kind: Kind, name: str) -> Callable[[meta.Obj], str]:
    if name == "metadata.name":
        return meta.name
    if name == "metadata.namespace" and kind.namespaced:
        return meta.namespace
    if name in kind.selectable_fields:
        return kind.selectable_fields[name]
    if kind.selectable_fields:
        raise errors.bad_request(f"field label not supported: {name}")
    raise errors.bad_request(f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _split(text: str) -> list[str]:
    return re.split(r"(?<!\\),", text)


def _unescaped(value: str) -> str:
    return re.sub(r"\\([\\,=])", r"\1", value)
