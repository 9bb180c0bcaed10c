"""What a filter and a score are: named pure functions over rows of the table, for one shape of pod.

A file in filters/ exports one FILTER, a file in scores/ one SCORE; roster.py collects them and what installed
packages add. A rule says by its scope what its answer depends on, and so when the answer has to be found again:
the node's own object, also what the pods on that node ask for in sum, anything about those pods, or anything in
the cluster.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from reconciler.model import meta
from reconciler.model.view import View
from reconciler.placement import pods, requests
from reconciler.scheduler.columns import Ints, Mask, Rows
from reconciler.scheduler.shape import Shape
from reconciler.scheduler.table import Table

MAX_SCORE = 100

Bits = npt.NDArray[np.uint64]
T = TypeVar("T")


class Scope(Enum):
    NODE = "node"
    SUMS = "sums"
    PODS = "pods"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a node does not do. `is_final`: taking pods off the node would not help."""

    text: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Per row a bit for each of `reasons` that holds; 0 lets the pod in."""

    bits: Bits
    reasons: tuple[Reason, ...]


@dataclass(slots=True)
class Case:
    """What rules look at: one shape of pod, the table, and the view for objects that are no columns."""

    table: Table
    view: View
    shape: Shape
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # plugin name -> its pluginConfig args
    node_name: str = ""  # spec.nodeName, which only pods that are looked at from outside the queue have
    _memo: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def args(self, name: str) -> Mapping[str, Any]:
        return self.arguments.get(name, meta.EMPTY)

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """`compute()`, kept until something other than pods changes."""
        kept = self._memo.get(name)
        if kept is None or kept[0] != self.table.facts_generation:
            kept = self._memo[name] = (self.table.facts_generation, compute())
        found: T = kept[1]
        return found


# Whether a change of another object can let a pod in that the filter kept out: (shape, old, new) -> bool.
Helps = Callable[[Shape, meta.Obj | None, meta.Obj | None], bool]


def every_shape(_: Shape) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which nodes a pod may go to. `check` answers None where it has nothing to say about the shape."""

    name: str  # the plugin's name in KubeSchedulerConfiguration
    scope: Scope
    check: Callable[[Case, Rows], Verdict | None]
    reject: Callable[[Case], str] | None = None  # a message that turns the pod away before nodes are looked at, or ""
    narrow: Callable[[Case], frozenset[str] | None] | None = None  # the only nodes worth looking at, None for all
    concerns: Callable[[Shape], bool] = every_shape  # False where it never has anything to say about the shape
    helped_by: Mapping[str, Helps] = field(default_factory=dict)  # Kind.id -> does the change help


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well nodes suit a pod. `rate` answers None where all nodes are alike to the shape.

    Scores of scope CLUSTER are asked for all feasible rows at once; the others for any rows. `normalise` gets the
    raw scores of all feasible rows and brings them to 0..MAX_SCORE; None means that they are there already.
    """

    name: str
    scope: Scope
    weight: int  # the default profile's
    rate: Callable[[Case, Rows], Ints | None]
    normalise: Callable[[Ints], Ints] | None = None
    applies: Callable[[Case], bool] | None = None  # a cheap look whether `rate` would answer None, where there is one


class RuleFailed(Exception):
    """A rule of an installed package raised; the message names the rule."""


def verdict(failed: Mask, text: str, *, is_final: bool = False) -> Verdict:
    """The verdict of a filter with a single reason."""
    return Verdict(failed.astype(np.uint64), (Reason(text, is_final),))


def by_maximum(raw: Ints) -> Ints:
    """Upstream's default: the best gets MAX_SCORE, the others their share of it."""
    highest = int(raw.max(initial=0))
    return raw if highest == 0 else MAX_SCORE * raw // highest


def by_maximum_reversed(raw: Ints) -> Ints:
    """The same for counts of what is bad."""
    return MAX_SCORE - by_maximum(raw)


def always(_: Shape, __: meta.Obj | None, ___: meta.Obj | None) -> bool:
    return True


def has_volumes(shape: Shape) -> bool:
    return bool(shape.volumes)


def added(_: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
    return old is None and new is not None


def node_differs(*paths: tuple[str, ...]) -> Helps:
    """A new node, or one whose value at one of `paths` changed."""

    def helps(_: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
        if new is None or old is None:
            return new is not None
        return any(_at(old, path) != _at(new, path) for path in paths)

    return helps


def node_admits(admits: Callable[[Shape, meta.Obj], bool]) -> Helps:
    """A node that now admits the shape: a new one, or one that did not before."""

    def helps(shape: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
        return new is not None and admits(shape, new) and not (old is not None and admits(shape, old))

    return helps


def frees(_: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """A pod left its node, ended or asks for less."""
    if old is None or not meta.spec(old).get("nodeName"):
        return False
    if new is None or pods.is_over(new):
        return not pods.is_over(old)
    if meta.spec(old) is meta.spec(new) and meta.status(old) is meta.status(new):
        return False
    before, after = requests.of_pod(old), requests.of_pod(new)
    return any(amount > after.get(resource, 0) for resource, amount in before.items())


def _at(obj: meta.Obj, path: tuple[str, ...]) -> Any:
    found: Any = obj
    for step in path:
        found = (found or meta.EMPTY).get(step)
    return found or None
