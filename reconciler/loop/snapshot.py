"""A view over tables: what the cache is, what a fork of it is, and what planners are tested on.

Reading a kind that has no table raises KeyError, so that a planner which reads what it did not declare fails.
A fork shares the objects and nothing else: foresight changes it at will and the cache does not notice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from reconciler.loop.table import Table
from reconciler.model import meta, selectors
from reconciler.model.roster import Roster
from reconciler.model.view import T


class Snapshot:
    """Implements model.view.View."""

    def __init__(self, roster: Roster, tables: Mapping[str, Table]) -> None:
        self._roster = roster
        self._tables = dict(tables)

    @classmethod
    def of(cls, roster: Roster, objects: Iterable[meta.Obj], kinds: Iterable[str] | None = None) -> "Snapshot":
        """A snapshot of `objects` with a table for each of `kinds` (all of the roster unless told)."""
        wanted = roster.kinds if kinds is None else kinds
        snapshot = cls(roster, {kind: Table() for kind in wanted})
        for obj in objects:
            kind = roster.of_object(str(obj.get("apiVersion")), str(obj.get("kind")))
            if kind is None:
                raise ValueError(f"no kind {obj.get('apiVersion')} {obj.get('kind')} in the roster")
            if kind.id in snapshot._tables:
                snapshot.put(kind.id, obj)
        return snapshot

    @property
    def roster(self) -> Roster:
        return self._roster

    def has(self, kind: str) -> bool:
        return kind in self._tables

    def kinds(self) -> Iterable[str]:
        return self._tables.keys()

    def get(self, kind: str, namespace: str, name: str) -> meta.Obj | None:
        return self._tables[kind].objects.get((namespace, name))

    def by(self, kind: str, index: str, value: str) -> Sequence[meta.Obj]:
        return self._tables[kind].by(index, value)

    def count(self, kind: str, index: str, value: str) -> int:
        return self._tables[kind].count(index, value)

    def facts(self, kind: str, index: str, value: str, fact: Callable[[meta.Obj], T]) -> Sequence[T]:
        return self._tables[kind].facts(index, value, fact)

    def select(self, kind: str, namespace: str, selector: selectors.Selector) -> Sequence[meta.Obj]:
        return self._tables[kind].select(namespace, selector)

    def orphans(self, kind: str, namespace: str, selector: selectors.Selector) -> Sequence[meta.Obj]:
        return self._tables[kind].orphans(namespace, selector)

    def revision(self, kind: str) -> int:
        return self._tables[kind].revision

    def every(self, kind: str) -> Sequence[meta.Obj]:
        """All objects of a kind, ordered by key: for agents that draw up their own tables, never for planners."""
        objects = self._tables[kind].objects
        return [objects[key] for key in sorted(objects)]

    def put(self, kind: str, obj: meta.Obj) -> meta.Obj | None:
        table = self._tables[kind]
        table.revision = max(table.revision, meta.revision(obj))
        return table.put(obj)

    def remove(self, kind: str, key: meta.Key) -> meta.Obj | None:
        return self._tables[kind].remove(key)

    def fork(self) -> "Snapshot":
        """An independent snapshot of this moment."""
        return Snapshot(self._roster, {kind: table.copy() for kind, table in self._tables.items()})
