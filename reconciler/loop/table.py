"""The objects of one kind, with the indexes of model/view.py kept up to date at every change.

Buckets of an index are sorted lists of keys, so that an ordered answer costs no sort and an update that moves an
object between no buckets costs none at all. Objects are shared, never copied. A table knows nothing of where its
objects come from (loop/cache.py).
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.model import meta, selectors, view
from reconciler.model.view import T

Place = tuple[str, str]  # (index, value)


class Table:
    """One kind at one revision."""

    __slots__ = ("_buckets", "_facts", "objects", "revision")

    def __init__(self, revision: int = 0) -> None:
        self.objects: dict[meta.Key, meta.Obj] = {}
        self.revision = revision
        self._buckets: dict[Place, list[meta.Key]] = {}
        self._facts: dict[Callable[[meta.Obj], Any], dict[meta.Key, Any]] = {}  # what is known of objects as they are now

    def get(self, key: meta.Key) -> meta.Obj | None:
        return self.objects.get(key)

    def put(self, obj: meta.Obj) -> meta.Obj | None:
        """File `obj` under its key and return what was there before."""
        key = meta.key(obj)
        old = self.objects.get(key)
        self.objects[key] = obj
        self._forget(key)
        if old is None:
            for place in _places(obj):
                self._insert(place, key)
        elif not _same_places(old, obj):
            before, after = _places(old), _places(obj)
            for place in before - after:
                self._discard(place, key)
            for place in after - before:
                self._insert(place, key)
        return old

    def remove(self, key: meta.Key) -> meta.Obj | None:
        old = self.objects.pop(key, None)
        self._forget(key)
        if old is not None:
            for place in _places(old):
                self._discard(place, key)
        return old

    def by(self, index: str, value: str) -> Sequence[meta.Obj]:
        objects = self.objects
        return [objects[key] for key in self._buckets.get((index, value), ())]

    def count(self, index: str, value: str) -> int:
        return len(self._buckets.get((index, value), ()))

    def facts(self, index: str, value: str, fact: Callable[[meta.Obj], T]) -> Sequence[T]:
        known, found = self._facts.setdefault(fact, {}), []
        for key in self._buckets.get((index, value), ()):
            if key not in known:
                known[key] = fact(self.objects[key])
            found.append(known[key])
        return found

    def _forget(self, key: meta.Key) -> None:
        for known in self._facts.values():
            known.pop(key, None)

    def select(self, namespace: str, selector: selectors.Selector) -> Sequence[meta.Obj]:
        if selector.nothing:
            return ()
        objects, matches = self.objects, selector.matches
        candidates = map(objects.__getitem__, self._narrowest(namespace, selector, view.NAMESPACE))
        return [obj for obj in candidates if matches(meta.labels(obj))]

    def orphans(self, namespace: str, selector: selectors.Selector) -> Sequence[meta.Obj]:
        if selector.nothing or (view.ORPHAN, namespace) not in self._buckets:
            return ()
        objects, matches = self.objects, selector.matches
        candidates = map(objects.__getitem__, self._narrowest(namespace, selector, view.ORPHAN))
        return [obj for obj in candidates if meta.controller(obj) is None and matches(meta.labels(obj))]

    def copy(self) -> "Table":
        """An independent table of the same objects."""
        twin = Table(self.revision)
        twin.objects = self.objects.copy()
        twin._buckets = {place: keys.copy() for place, keys in self._buckets.items()}
        return twin

    def _narrowest(self, namespace: str, selector: selectors.Selector, index: str) -> Sequence[meta.Key]:
        buckets = self._buckets
        narrowest: Sequence[meta.Key] = buckets.get((index, namespace), ())
        for name, value in selector.equalities():
            keys = buckets.get((view.LABEL, f"{namespace}\0{name}\0{value}"), ())
            if len(keys) < len(narrowest):
                narrowest = keys
        return narrowest

    def _insert(self, place: Place, key: meta.Key) -> None:
        keys = self._buckets.get(place)
        if keys is None:
            self._buckets[place] = [key]
        elif keys[-1] < key:  # lists arrive in order
            keys.append(key)
        else:
            insort(keys, key)

    def _discard(self, place: Place, key: meta.Key) -> None:
        keys = self._buckets[place]
        del keys[bisect_left(keys, key)]
        if not keys:
            del self._buckets[place]


def _places(obj: meta.Obj) -> set[Place]:
    namespace = meta.namespace(obj)
    places = {(view.NAMESPACE, namespace)}
    node = _node(obj)
    if node is not None:
        places.add((view.NODE, node))
    if meta.controller(obj) is None:
        places.add((view.ORPHAN, namespace))
    for owner in meta.owners(obj):
        places.add((view.OWNER, str(owner.get("uid", ""))))
    for name, value in meta.labels(obj).items():
        places.add((view.LABEL, f"{namespace}\0{name}\0{value}"))
    return places


def _same_places(old: meta.Obj, new: meta.Obj) -> bool:
    before, after = meta.meta(old), meta.meta(new)
    return (
        before.get("labels") == after.get("labels")
        and before.get("ownerReferences") == after.get("ownerReferences")
        and _node(old) == _node(new)
    )


def _node(obj: meta.Obj) -> str | None:
    """The node that a pod is on, "" while it is on none; None for kinds that are never on a node."""
    spec = obj.get("spec")
    node = spec.get("nodeName") if isinstance(spec, Mapping) else None
    return str(node) if node else "" if obj.get("kind") == "Pod" else None
