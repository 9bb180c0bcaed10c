"""What a planner may read: the cluster as one moment saw it, through indexes only.

A View offers no unindexed scan: a planner that needs one needs an index instead. In process a view is one
consistent snapshot (the journal has one global revision and plans never await); over HTTP it is one snapshot per
kind. Reading a kind that the controller did not declare raises KeyError, so that undeclared reads fail in tests.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from reconciler.model import meta
from reconciler.model.roster import Roster
from reconciler.model.selectors import Selector

T = TypeVar("T")

# The indexes that every cache keeps. The value an object is found under:
OWNER = "owner"  # uid of each of its ownerReferences
NODE = "node"  # spec.nodeName ("" while unscheduled)
NAMESPACE = "namespace"  # its namespace; "" finds all objects of a cluster-wide kind
ORPHAN = "orphan"  # its namespace, for objects without a controller reference; used through `orphans`
LABEL = "label"  # "NAMESPACE\0KEY\0VALUE" for each label; used through `select`


class View(Protocol):
    @property
    def roster(self) -> Roster:
        """The kinds that exist in this view."""

    def get(self, kind: str, namespace: str, name: str) -> meta.Obj | None:
        """One object, or None. `kind` is a Kind.id such as "pods" or "deployments.apps"."""

    def by(self, kind: str, index: str, value: str) -> Sequence[meta.Obj]:
        """Objects that `index` files under `value`, ordered by namespace and name."""

    def count(self, kind: str, index: str, value: str) -> int:
        """How many objects `by` finds, without looking at them."""

    def facts(self, kind: str, index: str, value: str, fact: Callable[[meta.Obj], T]) -> Sequence[T]:
        """`fact` of each object that `by` finds, in its order: for planners that look at thousands at a time.

        It is remembered until the object changes, so `fact` is a module's function of nothing but the object.
        """

    def select(self, kind: str, namespace: str, selector: Selector) -> Sequence[meta.Obj]:
        """Objects of one namespace whose labels match, ordered by name, through the label index where it can."""

    def orphans(self, kind: str, namespace: str, selector: Selector) -> Sequence[meta.Obj]:
        """What `select` finds that no controller owns: candidates for adoption."""

    def revision(self, kind: str) -> int:
        """The journal revision up to which this view is complete for `kind`."""
