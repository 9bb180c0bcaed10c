"""Label and field selectors, parsed once and matched often.

Semantics are Kubernetes': a nil LabelSelector matches nothing, an empty one everything; NotIn and != match
objects without the key. Wording of parse errors follows k8s.io/apimachinery/pkg/labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)

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


def _compares(value: str | None, operator: str, values: tuple[str, ...]) -> bool:
    try:
        left, right = int(value or ""), int(values[0])
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right
