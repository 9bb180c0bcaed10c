"""Label and field selectors of a query as predicates on stored objects.

The grammar is model/selectors.py's; which fields a kind has is its own (`Kind.selectable_fields`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.model import errors, meta, selectors
from reconciler.model.kind import Kind


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


def labels(text: str) -> selectors.Selector:
    """Raises StatusError 400."""
    if not text:
        return selectors.EVERYTHING
    try:
        return selectors.parse(text)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None


def fields(kind: Kind, text: str) -> Terms:
    """The terms of a field selector on objects in the hub version. Raises StatusError 400."""
    if not text:
        return ()
    try:
        terms = selectors.parse_fields(text)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    return tuple(Term(term.field, term.value, term.negated, _reader(kind, term.field)) for term in terms)


def _reader(kind: Kind, name: str) -> Callable[[meta.Obj], str]:
    if name == "metadata.name":
        return meta.name
    if name == "metadata.namespace" and kind.namespaced:
        return meta.namespace
    if name in kind.selectable_fields:
        return kind.selectable_fields[name]
    if kind.id == "jobs.batch":
        raise errors.bad_request(f'field label "{name}" not supported for Job')
    if kind.selectable_fields or kind.custom:
        raise errors.bad_request(f"field label not supported: {name}")
    raise errors.bad_request(f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"')
