"""A view for rules that may ask for kinds that are not served (yet): those have no objects.

Rules read volumes, classes and budgets only where a pod calls for them; a server without some of these kinds, or a
small view made for a test or a what-if, is no error.
"""

from collections.abc import Callable, Sequence

from reconciler.model import meta
from reconciler.model.roster import Roster
from reconciler.model.selectors import Selector
from reconciler.model.view import T, View


class Around:
    """Implements model.view.View."""

    def __init__(self, inner: View) -> None:
        self._inner = inner

    @property
    def roster(self) -> Roster:
        return self._inner.roster

    def get(self, kind: str, namespace: str, name: str) -> meta.Obj | None:
        try:
            return self._inner.get(kind, namespace, name)
        except KeyError:
            return None

    def by(self, kind: str, index: str, value: str) -> Sequence[meta.Obj]:
        try:
            return self._inner.by(kind, index, value)
        except KeyError:
            return ()

    def count(self, kind: str, index: str, value: str) -> int:
        return len(self.by(kind, index, value))

    def facts(self, kind: str, index: str, value: str, fact: Callable[[meta.Obj], T]) -> Sequence[T]:
        return [fact(obj) for obj in self.by(kind, index, value)]

    def select(self, kind: str, namespace: str, selector: Selector) -> Sequence[meta.Obj]:
        try:
            return self._inner.select(kind, namespace, selector)
        except KeyError:
            return ()

    def orphans(self, kind: str, namespace: str, selector: Selector) -> Sequence[meta.Obj]:
        try:
            return self._inner.orphans(kind, namespace, selector)
        except KeyError:
            return ()

    def revision(self, kind: str) -> int:
        return self._inner.revision(kind)
