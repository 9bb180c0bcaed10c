"""How many pods of which kind are on which node: what affinity and spreading ask.

Pods with the same namespace and labels form a group. A count is a vector over nodes of the pods that match some
terms; it is made when a rule first asks for it and kept up to date from then on, through the groups it matches.
Terms that pods on nodes hold themselves (anti-affinity works in both directions) are counted the same way.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np

from reconciler.scheduler import columns
from reconciler.scheduler.shape import LabelKey, OwnedTerm, PodTerm, Shape

MAX_COUNTS = 512  # the least recently asked is dropped, and made again when it is asked for
MAX_APPLYING = 10_000  # label sets for which the matching held terms are remembered

Asked = tuple[tuple[PodTerm, ...], bool]  # the terms that must all match; whether terminating pods are left out


class Group:
    """Pods alike in namespace, labels and whether they terminate: how many on which row."""

    __slots__ = ("counts", "labels", "namespace", "rows", "terminating")

    def __init__(self, namespace: str, labels: Mapping[str, str], terminating: bool) -> None:
        self.namespace = namespace
        self.labels = labels
        self.terminating = terminating
        self.rows: dict[int, int] = {}
        self.counts: list[Count] = []


class Count:
    __slots__ = ("asked", "values")

    def __init__(self, asked: Asked, capacity: int) -> None:
        self.asked = asked
        self.values: columns.Codes = np.zeros(capacity, dtype=np.int32)


class Census:
    def __init__(self, capacity: int, namespace_labels: Callable[[str], Mapping[str, str]]) -> None:
        self.capacity = capacity
        self._namespace_labels = namespace_labels
        self._groups: dict[tuple[LabelKey, bool], Group] = {}
        self._counts: OrderedDict[Asked, Count] = OrderedDict()
        self._owned: dict[OwnedTerm, columns.Codes] = {}
        self._owners: dict[OwnedTerm, int] = {}  # pods that hold the term, to know when nobody does
        self._applying: dict[LabelKey, tuple[OwnedTerm, ...]] = {}

    def add(self, shape: Shape, terminating: bool, row: int, step: int = 1) -> None:
        """`step` pods of `shape` came to `row` (or left it, below zero)."""
        group = self._group(shape, terminating)
        there = group.rows.get(row, 0) + step
        if there:
            group.rows[row] = there
        else:
            del group.rows[row]
            if not group.rows:
                del self._groups[shape.label_key, terminating]
        for count in group.counts:
            count.values[row] += step
        for owned in shape.owned:
            self._hold(owned, row, step)

    def count(self, terms: tuple[PodTerm, ...], live_only: bool = False) -> columns.Codes:
        """Pods per row that match all `terms`; the vector stays current, treat it as read-only."""
        asked = (terms, live_only)
        count = self._counts.get(asked)
        if count is None:
            count = self._make(asked)
        else:
            self._counts.move_to_end(asked)
        return count.values

    def applying(self, shape: Shape) -> tuple[OwnedTerm, ...]:
        """The terms held by pods on nodes that match `shape`, were it to come."""
        if not self._owned:
            return ()
        key = shape.label_key
        found = self._applying.get(key)
        if found is None:
            around = self._namespace_labels(shape.namespace)
            if len(self._applying) >= MAX_APPLYING:
                self._applying.clear()
            found = tuple(owned for owned in self._owned if owned.term.pods.matches(shape.namespace, around, shape.labels))
            self._applying[key] = found
        return found

    def holders(self, owned: OwnedTerm) -> columns.Codes:
        """Pods per row that hold `owned`."""
        return self._owned[owned]

    def grow(self, capacity: int) -> None:
        self.capacity = capacity
        for count in self._counts.values():
            count.values = columns.grown(count.values, capacity)
        self._owned = {owned: columns.grown(values, capacity) for owned, values in self._owned.items()}

    def forget_matches(self) -> None:
        """Namespaces changed their labels: what matches whom has to be found again."""
        self._counts.clear()
        self._applying.clear()
        for group in self._groups.values():
            group.counts.clear()

    def _group(self, shape: Shape, terminating: bool) -> Group:
        key = (shape.label_key, terminating)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(shape.namespace, shape.labels, terminating)
            group.counts = [count for count in self._counts.values() if self._matches(group, count.asked)]
        return group

    def _make(self, asked: Asked) -> Count:
        count = self._counts[asked] = Count(asked, self.capacity)
        for group in self._groups.values():
            if self._matches(group, asked):
                group.counts.append(count)
                for row, pods in group.rows.items():
                    count.values[row] += pods
        if len(self._counts) > MAX_COUNTS:
            _, dropped = self._counts.popitem(last=False)
            for group in self._groups.values():
                if dropped in group.counts:
                    group.counts.remove(dropped)
        return count

    def _matches(self, group: Group, asked: Asked) -> bool:
        terms, live_only = asked
        if live_only and group.terminating:
            return False
        around = self._namespace_labels(group.namespace)
        return all(term.matches(group.namespace, around, group.labels) for term in terms)

    def _hold(self, owned: OwnedTerm, row: int, step: int) -> None:
        values = self._owned.get(owned)
        if values is None:
            values = self._owned[owned] = np.zeros(self.capacity, dtype=np.int32)
            self._owners[owned] = 0
            self._applying.clear()
        values[row] += step
        self._owners[owned] += step
        if not self._owners[owned]:
            del self._owned[owned], self._owners[owned]
            self._applying.clear()
