"""Why no node does: each node's first failing filter, counted the way kube-scheduler words it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reconciler.scheduler.columns import Indices, Mask
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
    retriable = np.zeros(table.size, dtype=np.bool_)
    left = np.flatnonzero(table.alive[: table.size])
    left = _narrow(case, profile, left, counts, failing)
    for rule in profile.filters:
        if not len(left):
            break
        verdict = rule.check(case, left)
        if verdict is None:
            continue
        failed = verdict.bits != 0
        if not failed.any():
            continue
        failing.add(rule.name)
        final = np.zeros(len(left), dtype=np.bool_)
        for bit, reason in enumerate(verdict.reasons):
            holds = (verdict.bits >> np.uint64(bit)) & np.uint64(1) != 0
            count = int(holds.sum())
            if count:
                counts[reason.text] += count
                if reason.is_final:
                    final |= holds
        retriable[left[failed & ~final]] = True
        left = left[~failed]
    return Diagnosis(table.live_nodes, tuple(counts.items()), retriable, frozenset(failing))


def _narrow(case: Case, profile: Profile, left: Indices, counts: Counter[str], failing: set[str]) -> Indices:
    """Rows that the filters care to look at; the others fail for the filters that ruled them out."""
    names = narrowed(case, profile)
    if names is None:
        return left
    inside = np.array(sorted(case.table.row_of[name] for name in names if name in case.table.row_of), dtype=np.intp)
    outside = len(left) - len(inside)
    if outside:
        narrowing = sorted(rule.name for rule in profile.filters if rule.narrow is not None and rule.narrow(case) is not None)
        counts[f"node(s) didn't satisfy plugin(s) [{' '.join(narrowing)}]"] += outside
        failing.update(narrowing)
    return inside
