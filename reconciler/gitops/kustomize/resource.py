"""A resource on its way through kustomize: its body, what it was called before, and where it was written.

Resources of one build are changed in place by the transformers; nobody outside the build ever sees one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reconciler import kinds
from reconciler.gitops import load
from reconciler.gitops.kustomize import spec
from reconciler.model import selectors

NOWHERE = "\0"  # the namespace of what has none


class Refused(Exception):
    """Why a kustomization cannot be built, and where."""

    def __init__(self, problem: load.Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Identity(NamedTuple):
    group: str
    version: str
    kind: str
    namespace: str  # effective: "default" where none is given, NOWHERE for a cluster-wide object
    name: str

    def __str__(self) -> str:
        where = "" if self.namespace == NOWHERE else f"{self.namespace}/"
        return f"{self.kind} {where}{self.name}"

    def is_of(self, chosen: spec.FieldSpec | spec.Reference | spec.Source) -> bool:
        """Whether group, version and kind are those of `chosen`, where it gives them."""
        return all(
            not want or want == have
            for want, have in ((chosen.group, self.group), (chosen.version, self.version), (chosen.kind, self.kind))
        )


@dataclass(eq=False, slots=True)
class Resource:
    body: dict[str, Any]
    document: load.Document  # as it was written: only for its place
    previous: list[Identity] = field(default_factory=list)  # oldest first
    prefixes: list[str] = field(default_factory=list)
    suffixes: list[str] = field(default_factory=list)
    needs_hash: bool = False

    @property
    def identity(self) -> Identity:
        return identity(self.body)

    @property
    def original(self) -> Identity:
        return self.previous[0] if self.previous else self.identity

    @property
    def identities(self) -> list[Identity]:
        """All that it was called and is."""
        return [*self.previous, self.identity]

    def remember(self) -> None:
        """Keep the present name before it changes."""
        self.previous.append(self.identity)

    def is_called(self, wanted: Identity) -> bool:
        return wanted in self.identities

    @property
    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body["metadata"]
        return found


def identity(body: Mapping[str, Any]) -> Identity:
    group, _, version = str(body.get("apiVersion", "")).rpartition("/")
    kind = str(body.get("kind", ""))
    metadata = body.get("metadata") or {}
    known = kinds.builtin().of_object(f"{group}/{version}" if group else version, kind)
    namespace = NOWHERE if known is not None and not known.namespaced else str(metadata.get("namespace") or "default")
    return Identity(group, version, kind, namespace, str(metadata.get("name", "")))


def the_one(resources: Iterable[Resource], wanted: Identity) -> Resource | None:
    """The only resource that is or was called so; None where there is none. Raises LookupError where there are more."""
    found = [resource for resource in resources if resource.is_called(wanted)]
    if len(found) > 1:
        raise LookupError(f"{wanted} is ambiguous: {len(found)} resources are or were called so")
    return found[0] if found else None


class Selection:
    """A selector with its expressions compiled. Raises ValueError for one that is none."""

    def __init__(self, selector: spec.Selector) -> None:
        self._fields = {name: getattr(selector, name) for name in ("group", "version", "kind", "name", "namespace")}
        self._expressions = {name: _compiled(text) for name, text in self._fields.items()}
        self._labels = _parsed(selector.label_selector)
        self._annotations = _parsed(selector.annotation_selector)

    @property
    def is_empty(self) -> bool:
        """Whether it names no field of an identity."""
        return not any(self._fields.values())

    def takes(self, one: Identity) -> bool:
        return all(self._matches(name, getattr(one, name)) for name in self._fields)

    def takes_resource(self, resource: Resource) -> bool:
        """As patches select: by the first or the present name and namespace, by labels and annotations."""
        old, new = resource.original, resource.identity
        either = all(self._matches(name, getattr(old, name)) or self._matches(name, getattr(new, name)) for name in ("namespace", "name"))
        return (
            either and all(self._matches(name, getattr(new, name)) for name in ("group", "version", "kind")) and self.takes_marks(resource)
        )

    def takes_marks(self, resource: Resource) -> bool:
        labels, annotations = (resource.metadata.get(group) or {} for group in ("labels", "annotations"))
        return self._labels.matches(labels) and self._annotations.matches(annotations)

    @property
    def has_marks(self) -> bool:
        return bool(self._labels.requirements or self._annotations.requirements)

    def _matches(self, name: str, value: str) -> bool:
        expression = self._expressions[name]
        return expression is None or expression.fullmatch("" if value == NOWHERE else value) is not None


def _compiled(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None


def _parsed(text: str) -> selectors.Selector:
    try:
        return selectors.parse(text)
    except selectors.Unparsable as error:
        raise ValueError(f"{text!r} is not a selector: {error}") from None
