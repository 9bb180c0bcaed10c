"""The kinds that exist, as an immutable value.

Carried by the view and replaced as a whole when a CustomResourceDefinition changes. Nothing reads a global.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from reconciler.model.kind import Kind


@dataclass(frozen=True)
class Roster:
    kinds: Mapping[str, Kind] = field(default_factory=dict)  # Kind.id -> Kind

    @classmethod
    def of(cls, kinds: Iterable[Kind]) -> "Roster":
        return cls({kind.id: kind for kind in kinds})

    def __iter__(self) -> Iterator[Kind]:
        return iter(self.kinds.values())

    def __getitem__(self, kind_id: str) -> Kind:
        return self.kinds[kind_id]

    def get(self, kind_id: str) -> Kind | None:
        return self.kinds.get(kind_id)

    def with_kinds(self, kinds: Iterable[Kind]) -> "Roster":
        return Roster({**self.kinds, **{kind.id: kind for kind in kinds}})

    def without(self, kind_ids: Iterable[str]) -> "Roster":
        gone = set(kind_ids)
        return Roster({kind_id: kind for kind_id, kind in self.kinds.items() if kind_id not in gone})

    def of_object(self, api_version: str, kind: str) -> Kind | None:
        """The kind that an object's apiVersion and kind name, or None."""
        return self._by_object.get((api_version, kind))

    def of_resource(self, group: str, version: str, plural: str) -> Kind | None:
        return self._by_resource.get((group, version, plural))

    @cached_property
    def _by_object(self) -> dict[tuple[str, str], Kind]:
        return {(kind.api_version(version.name), kind.kind): kind for kind in self for version in kind.versions if version.served}

    @cached_property
    def _by_resource(self) -> dict[tuple[str, str, str], Kind]:
        return {
            (kind.group, version.name, kind.plural): replace(kind, **version.overrides) if version.overrides else kind
            for kind in self
            for version in kind.versions
            if version.served
        }
