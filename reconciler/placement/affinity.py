"""Which nodes a pod is confined to by nodeSelector and required node affinity, and which it prefers.

Terms are ORed, the requirements of one term ANDed; a term without requirements matches nothing. matchFields knows
one field, metadata.name. Selectors of volumes (PersistentVolume.spec.nodeAffinity) are the same structure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.model import meta
from reconciler.model.selectors import Requirement

NAME_FIELD = "metadata.name"


@dataclass(frozen=True, slots=True)
class Term:
    """One nodeSelectorTerm: requirements on labels and on the node's name."""

    labels: tuple[Requirement, ...]
    names: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        if not self.labels and not self.names:
            return False
        return all(one.matches(labels) for one in self.labels) and all(one.matches({one.key: name}) for one in self.names)


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """`exact` are labels that a node must have; `terms` None asks for nothing more, () can never match."""

    exact: tuple[tuple[str, str], ...] = ()
    terms: tuple[Term, ...] | None = None

    @property
    def is_empty(self) -> bool:
        return not self.exact and self.terms is None

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        if any(labels.get(key) != value for key, value in self.exact):
            return False
        return self.terms is None or any(term.matches(labels, name) for term in self.terms)

    def names(self) -> frozenset[str] | None:
        """The only nodes that can match, by name, where every term names some; None where any node might.

        An empty set means that the terms contradict themselves.
        """
        if not self.terms:
            return None
        found: set[str] = set()
        for term in self.terms:
            named = [set(one.values) for one in term.names if one.operator == "In"]
            if not named:
                return None
            found |= set.intersection(*named)
        return frozenset(found)


ANYWHERE = NodeSelector()


def required(pod: meta.Obj) -> NodeSelector:
    spec = meta.spec(pod)
    exact = tuple(sorted((spec.get("nodeSelector") or meta.EMPTY).items()))
    affinity = ((spec.get("affinity") or meta.EMPTY).get("nodeAffinity") or meta.EMPTY).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return NodeSelector(exact, terms(affinity))


def preferred(pod: meta.Obj) -> tuple[tuple[int, Term], ...]:
    """(weight, term) of each preference; a preference without requirements never counts."""
    affinity = (meta.spec(pod).get("affinity") or meta.EMPTY).get("nodeAffinity") or meta.EMPTY
    return preferences(affinity.get("preferredDuringSchedulingIgnoredDuringExecution"))


def preferences(preferred_terms: Sequence[Mapping[str, Any]] | None) -> tuple[tuple[int, Term], ...]:
    return tuple(
        (int(one["weight"]), term(one.get("preference") or meta.EMPTY))
        for one in preferred_terms or ()
        if one.get("weight") and one.get("preference")
    )


def terms(selector: Mapping[str, Any] | None) -> tuple[Term, ...] | None:
    """The terms of a core/v1 NodeSelector; None stays None."""
    if selector is None:
        return None
    return tuple(term(one) for one in selector.get("nodeSelectorTerms") or ())


def term(spec: Mapping[str, Any]) -> Term:
    return Term(_requirements(spec.get("matchExpressions")), _requirements(spec.get("matchFields")))


def _requirements(expressions: Sequence[Mapping[str, Any]] | None) -> tuple[Requirement, ...]:
    return tuple(Requirement(one["key"], one["operator"], tuple(one.get("values") or ())) for one in expressions or ())
