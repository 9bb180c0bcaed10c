"""Label and field selectors, parsed once and matched often.

Semantics are Kubernetes': a nil LabelSelector matches nothing, an empty one everything; NotIn and != match
objects without the key. Grammar and wording of parse errors follow k8s.io/apimachinery/pkg/labels and .../fields.
Which fields a kind lets select is the kind's business (Kind.selectable_fields).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from reconciler.model import errors, names

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator == "In":
            return value is not None and value in self.values
        if self.operator == "NotIn":
            return value is None or value not in self.values
        if self.operator == "Exists":
            return value is not None
        if self.operator == "DoesNotExist":
            return value is None
        return _compares(value, self.operator, self.values)


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; `nothing` is the selector of a nil LabelSelector."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.nothing:
            return False
        for requirement in self.requirements:  # noqa: SIM110 - no generator, for this is asked of every pod of a set at once
            if not requirement.matches(labels):
                return False
        return True

    def equalities(self) -> tuple[tuple[str, str], ...]:
        """The (key, value) pairs that every match has, for use with an index."""
        return tuple((r.key, r.values[0]) for r in self.requirements if r.operator == "In" and len(r.values) == 1)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def from_labels(wanted: Mapping[str, str] | None) -> Selector:
    """A plain map, as Service and ReplicationController use it; None or empty matches nothing."""
    if not wanted:
        return NOTHING
    return Selector(tuple(Requirement(key, "In", (value,)) for key, value in sorted(wanted.items())))


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """A metav1.LabelSelector; None matches nothing, {} everything."""
    if selector is None:
        return NOTHING
    wanted = [Requirement(key, "In", (value,)) for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        wanted.append(Requirement(expression["key"], expression["operator"], tuple(expression.get("values") or ())))
    return Selector(tuple(wanted))


def shown(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as Go prints it."""
    if selector is None:
        return "nil"
    labels = "".join(f"{name}: {value}," for name, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one['key']},Operator:{one['operator']},Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"


def _compares(value: str | None, operator: str, values: tuple[str, ...]) -> bool:
    try:
        left, right = int(value or ""), int(values[0])
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right


class Unparsable(ValueError):
    """A text is no selector; the message is upstream's."""


_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+)")
_SYMBOLS = frozenset(("=", "==", "!=", "!", "(", ")", ",", "<", ">"))
_OPERATORS: Mapping[str, Operator] = {"in": "In", "notin": "NotIn", "=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}
_END = ""


@lru_cache(maxsize=1024)
def parse(text: str) -> Selector:
    """The label selector that a query spells: "app=web,tier in (a,b),!old". Raises Unparsable in upstream's words."""
    tokens = _Tokens(_TOKEN.findall(text))
    found: list[Requirement] = []
    while tokens.next != _END:
        if not (_is_word(tokens.next) or tokens.next == "!"):
            raise Unparsable(f"found '{tokens.next}', expected: !, identifier, or 'end of string'")
        try:
            found.append(_requirement(tokens))
        except Unparsable as problem:
            raise Unparsable(f"unable to parse requirement: {problem}") from None
        separator = tokens.take()
        if separator not in (",", _END):
            raise Unparsable(f"found '{separator}', expected: ',' or 'end of string'")
        if separator == "," and not (_is_word(tokens.next) or tokens.next == "!"):
            raise Unparsable(f"found '{tokens.next}', expected: identifier after ','")
    return Selector(tuple(sorted(found, key=lambda requirement: requirement.key)))


class _Tokens:
    def __init__(self, texts: list[str]) -> None:
        self._left = texts[::-1]

    @property
    def next(self) -> str:
        return self._left[-1] if self._left else _END

    def take(self) -> str:
        return self._left.pop() if self._left else _END

    def word(self) -> str:
        token = self.take()
        if not _is_word(token):
            raise Unparsable(f"found '{token}', expected: identifier")
        return token


def _is_word(token: str) -> bool:
    return token != _END and token not in _SYMBOLS


def _requirement(tokens: _Tokens) -> Requirement:
    negated = tokens.next == "!"
    if negated:
        tokens.take()
    key = tokens.word()
    if reasons := names.qualified(key):
        raise Unparsable(f"<nil>: {errors.invalid('', key, '; '.join(reasons)).message}")
    if negated:
        return Requirement(key, "DoesNotExist")
    if tokens.next in (",", _END):
        return Requirement(key, "Exists")
    operator = tokens.take()
    if operator not in _OPERATORS:
        raise Unparsable(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
    if operator in ("in", "notin"):
        values = _values(tokens)
    else:
        values = ("",) if tokens.next in (",", _END) else (tokens.word(),)
    return _checked(Requirement(key, _OPERATORS[operator], values))


def _values(tokens: _Tokens) -> tuple[str, ...]:
    """The words between parentheses, of which each may be empty."""
    opening = tokens.take()
    if opening != "(":
        raise Unparsable(f"found '{opening}' expected: '('")
    found: set[str] = set()
    while True:
        if _is_word(tokens.next):
            found.add(tokens.take())
        elif tokens.next in (",", ")"):
            found.add("")
        else:
            expected = "',', or identifier" if found else "',', ')' or identifier"
            raise Unparsable(f"found '{tokens.next}', expected: {expected}")
        closing = tokens.take()
        if closing == ")":
            return tuple(sorted(found))
        if closing != ",":
            raise Unparsable(f"found '{closing}', expected: ',' or ')'")


def _checked(requirement: Requirement) -> Requirement:
    found = []
    for index, value in enumerate(requirement.values):
        if requirement.operator in ("Gt", "Lt") and not re.fullmatch(r"[+-]?[0-9]+", value):
            found.append(errors.invalid(f"values[{index}]", value, "for 'Gt', 'Lt' operators, the value must be an integer"))
        if reasons := names.label_value(value):
            found.append(errors.invalid(f"values[{index}][{requirement.key}]", value, "; ".join(reasons)))
    if found:
        texts = [str(problem) for problem in found]
        raise Unparsable(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return requirement


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on a field: it is `value` or, negated, anything else."""

    field: str
    value: str
    negated: bool = False


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> tuple[FieldTerm, ...]:
    """The terms of a field selector: "spec.nodeName=n1,status.phase!=Running". Raises Unparsable in upstream's words."""
    return tuple(_term(text, part) for part in sorted(re.findall(r"(?:[^\\,]|\\.|\\$)+", text)))


def _term(text: str, part: str) -> FieldTerm:
    found = re.match(r"(.*?)(!=|==|=)(.*)", part, re.DOTALL)
    if found is None:
        raise Unparsable(f"invalid selector: '{text}'; can't understand '{part}'")
    return FieldTerm(found[1], _unescaped(found[3]), found[2] == "!=")


def _unescaped(value: str) -> str:
    for piece in re.findall(r"\\.?|[,=]", value):
        if piece in (",", "="):
            raise Unparsable(f"invalid field selector: unescaped character in value: {ord(piece)}")
        if piece not in ("\\\\", "\\,", "\\="):
            raise Unparsable(f"invalid field selector: invalid escape sequence: {piece}")
    return re.sub(r"\\(.)", r"\1", value)
