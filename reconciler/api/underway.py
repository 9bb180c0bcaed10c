"""Writes that are decided and that the watch cache does not show yet.

Whoever counts objects to decide on one more (ResourceQuota) must count these too: a write is decided before its fsync
and visible after it, so two that are decided at one moment do not see each other in the cache.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.api.cache import Cache, Item, Step
from reconciler.api.calls import Call
from reconciler.model import meta


@dataclass(slots=True, eq=False)
class Pending:
    """`obj` is to take the place of `before` (None: of nothing); `revision` is 0 until it was committed."""

    place: tuple[str, str]  # Kind.storage_id, namespace
    key: str  # NAMESPACE/NAME
    obj: meta.Obj
    before: Item | None
    revision: int = 0


class Underway:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._writes: dict[tuple[str, str], dict[Pending, None]] = {}  # in the order they were decided
        self._committed: list[Pending] = []  # not yet in the cache
        cache.subscribe(self._advanced, lambda: self._advanced(cache.revision, ()))

    def begin(self, call: Call, obj: meta.Obj, before: Item | None) -> Pending:
        pending = Pending((call.kind.storage_id, call.namespace), f"{call.namespace}/{call.name}", obj, before)
        self._writes.setdefault(pending.place, {})[pending] = None
        return pending

    def end(self, pending: Pending) -> None:
        """The write failed, or was committed at its `revision`: then it counts until the cache shows it."""
        if pending.revision > self._cache.revision:
            self._committed.append(pending)
        else:
            self._drop(pending)

    def of(self, kind: str, namespace: str) -> Mapping[str, Pending]:
        """By key."""
        return {pending.key: pending for pending in self._writes.get((kind, namespace), ())}

    def _advanced(self, revision: int, _: Sequence[Step]) -> None:
        if self._committed:
            for pending in self._committed:
                if pending.revision <= revision:
                    self._drop(pending)
            self._committed = [pending for pending in self._committed if pending.revision > revision]

    def _drop(self, pending: Pending) -> None:
        writes = self._writes[pending.place]
        del writes[pending]
        if not writes:
            del self._writes[pending.place]
