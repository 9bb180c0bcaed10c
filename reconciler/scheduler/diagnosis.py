"""Why no node does: each node's first failing filter, counted the way kube-scheduler words it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reconciler.scheduler.columns import Mask, Rows
from reconciler.scheduler.config import Profile
from reconciler.scheduler.rules import Case
from reconciler.scheduler.standing import narrowed


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`retriable` are rows where taking pods off the node could help. `rejection` turned the pod away as such."""

    nodes: int
    reasons: tuple[tuple[str, int], ...] = ()
    retriable: Mask | None = None
    filters: frozenset[str] = frozenset()  # those that kept the pod out somewhere
    rejection: str = ""

    @property
    def message(self) -> str:
        if not self.nodes:
            return "no nodes available to schedule pods"
        if self.rejection:
            return f"0/{self.nodes} nodes are available: {self.rejection}."
        return unavailable(self.nodes, self.reasons)


def unavailable(nodes: int, reasons: Iterable[tuple[str, int]]) -> str:
    """ "0/5 nodes are available: 2 Insufficient cpu, 3 node(s) were unschedulable." """
    counted = sorted(f"{count} {text}" for text, count in reasons)
    return f"0/{nodes} nodes are available:" + (f" {', '.join(counted)}." if counted else "")


def not_looked_at(names: Iterable[str]) -> str:
    """The reason of nodes that these filters ruled out for all others to look at."""
    return f"node(s) didn't satisfy plugin(s) [{' '.join(names)}]"


def diagnose(case: Case, profile: Profile) -> Diagnosis:
    table = case.table
    if not table.live_nodes:
        return Diagnosis(0)
    for rule in profile.filters:
        rejection = rule.reject(case) if rule.reject is not None else ""
        if rejection:
            return Diagnosis(table.live_nodes, filters=frozenset((rule.name,)), rejection=rejection)
    counts: Counter[str] = Counter()
    failing: set[str] = set()
    rows = _looked_at(case, profile, counts, failing)
    open_ = table.alive[: table.size][rows].copy()  # rows that no filter has ruled out yet
    retriable = np.zeros(table.size, dtype=np.bool_)
    for rule in profile.filters:
        verdict = rule.check(case, rows) if rule.concerns(case.shape) else None
        if verdict is None:
            continue
        bits = np.where(open_, verdict.bits, np.uint64(0))
        if not bits.any():
            continue
        failing.add(rule.name)
        final = np.uint64(0)
        for bit, reason in enumerate(verdict.reasons):
            mask = np.uint64(1 << bit)
            counts[reason.text] += int(np.count_nonzero(bits & mask))
            if reason.is_final:
                final |= mask
        failed = bits != 0
        retriable[rows] |= failed & (bits & final == 0)
        open_ &= ~failed
        if not open_.any():
            break
    return Diagnosis(table.live_nodes, tuple((+counts).items()), retriable, frozenset(failing))


def _looked_at(case: Case, profile: Profile, counts: Counter[str], failing: set[str]) -> Rows:
    """Rows that the filters care to look at; the others fail for the filters that ruled them out."""
    table = case.table
    names = narrowed(case, profile)
    if names is None:
        return table.everything
    inside = np.array(sorted(table.row_of[name] for name in names if name in table.row_of), dtype=np.intp)
    outside = table.live_nodes - len(inside)
    if outside:
        narrowing = sorted(rule.name for rule in profile.filters if rule.narrow is not None and rule.narrow(case) is not None)
        counts[not_looked_at(narrowing)] += outside
        failing.update(narrowing)
    return inside
