"""What the answer to a write depends on besides the object: the kinds that admission reads, and what looks at each object alone.

Whoever remembers answers asks here whether they still hold (twins.py, repeats.py).
"""

from reconciler.api.admission.chain import Chain
from reconciler.api.cache import Cache


class Surroundings:
    def __init__(self, admission: Chain, cache: Cache) -> None:
        self._admission = admission
        self._cache = cache
        self._kinds: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def seen(self, kind_id: str) -> tuple[int, ...]:
        """When the kinds that admission reads last changed: equal tuples are equal surroundings."""
        return tuple(self._cache.shelf(kind).changed for kind in self._of(kind_id)[0])

    def look_at_each(self, kind_id: str, namespace: str) -> bool:
        """Whether something is there (a quota, a policy, a webhook) that may answer differently each time."""
        shelves = map(self._cache.shelf, self._of(kind_id)[1])
        return any(shelf.items and any(next(shelf.in_order(place), None) for place in ("", namespace)) for shelf in shelves)

    def _of(self, kind_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = self._kinds.get(kind_id)
        if found is None:
            found = self._kinds[kind_id] = (self._admission.reads(kind_id), self._admission.looks_at_each_with(kind_id))
        return found
