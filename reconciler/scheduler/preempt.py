"""Preemption: which pods of lower priority to evict, and where, so that a pod fits that no node has room for.

victims.py says for one node whom that would take. The cheapest node wins: fewest broken budgets, least important most
important victim, smallest sum of priorities, fewest victims, and the one whose most important victims started last.

A search looks at rows until it has enough bids to choose from (DefaultPreemption's minCandidateNodes) or none are
left, CHECKS_A_TRY at a time, so that nobody waits long for it on large clusters. Bids are kept per shape, and where
only sums matter also from one search to the next but for rows that changed. What wins is looked at once more, for the
cluster goes on changing between the tries of a search.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from reconciler.model import meta
from reconciler.scheduler import victims
from reconciler.scheduler.columns import Indices, Mask
from reconciler.scheduler.config import Profile
from reconciler.scheduler.filters import node_resources_fit
from reconciler.scheduler.rules import Case, Scope
from reconciler.scheduler.shape import Shape
from reconciler.scheduler.table import Held

NAME = "DefaultPreemption"
CHECKS_A_TRY = 400  # questions whether the pod would fit
PERCENTAGE, ABSOLUTE = 10, 100  # of the rows in question, bids that are enough to choose from
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
BY_SCHEDULER = "PreemptionByScheduler"


def obstacle(shape: Shape, held_on_nominated: Iterable[Held], nominated_is_final: bool) -> str:
    """Why the pod may not preempt now, "" if it may."""
    if not shape.preempts:
        return NEVER
    if not nominated_is_final and any(_is_leaving(held, shape) for held in held_on_nominated):
        return TERMINATING
    return ""


def _is_leaving(held: Held, shape: Shape) -> bool:
    """A victim of an earlier try that has not gone yet."""
    if not held.terminating or held.shape.priority >= shape.priority:
        return False
    return any(
        one.get("type") == "DisruptionTarget" and one.get("status") == "True" and one.get("reason") == BY_SCHEDULER
        for one in meta.status(held.pod).get("conditions") or ()
    )


class Bids:
    """The bids of all rows for one shape, and a search for more."""

    def __init__(self, case: Case, profile: Profile) -> None:
        self._case = case
        self._profile = profile
        self._bids: dict[int, victims.Bid] = {}
        self._known: Mask = np.zeros(0, dtype=np.bool_)  # rows in `_bids`
        self._priced: Mask = np.zeros(0, dtype=np.bool_)  # those whose bid has a cost
        self._heap: list[tuple[victims.Cost, int]] = []
        self._todo: Indices = np.zeros(0, dtype=np.intp)  # rows that the search has still to look at
        self._wanted = 0
        self._found = 0
        self._local = False
        self._generation = 0
        self._facts = -1
        self._last = -1  # the row that was looked at last, after which the next search goes on

    def search(self, rows: Mask, budgets: Sequence[victims.Budget]) -> bool:
        """Look at some of `rows`, beginning a search where none is under way; whether it has come to its end."""
        if not len(self._todo):
            self._begin(rows, budgets)
        left, looked_at = CHECKS_A_TRY, 0
        while looked_at < len(self._todo) and left > 0 and self._found < self._wanted:
            row = self._last = int(self._todo[looked_at])
            looked_at += 1
            left -= (1 if self._local else victims.Rules.COST) * (1 + len(self._case.table.pods[row]))
            self._found += self._make(row, budgets).cost is not None
        self._todo = self._todo[looked_at:] if self._found < self._wanted else self._todo[:0]
        return not len(self._todo)

    def best(self, rows: Mask, budgets: Sequence[victims.Budget]) -> victims.Bid | None:
        """The cheapest bid among `rows` as things are now; None if there is none."""
        passed: list[tuple[victims.Cost, int]] = []
        found: victims.Bid | None = None
        while self._heap and found is None:
            cost, row = self._heap[0]
            bid = self._bids.get(row)
            if bid is None or bid.cost != cost:
                heapq.heappop(self._heap)
            elif not rows[row]:
                passed.append(heapq.heappop(self._heap))
            elif self._is_stale(bid):
                heapq.heappop(self._heap)
                self._make(row, budgets)
            else:
                found = bid
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return found

    def why_not(self, rows: Mask) -> Counter[str]:
        """The reasons of the rows without a bid, and how many rows have each."""
        idle = int(np.count_nonzero(rows & ~self._with_victims(rows)))
        found = Counter({victims.NO_VICTIMS: idle} if idle else {})
        for row in np.flatnonzero(self._with_victims(rows)).tolist():
            bid = self._bids.get(row)
            found.update(bid.why_not if bid is not None else ())
        return found

    def _begin(self, rows: Mask, budgets: Sequence[victims.Budget]) -> None:
        """Which rows to look at: from where the last search ended, without those whose bids still hold."""
        self._local = is_local(self._case, self._profile)
        self._forget_changed(keep=self._local and not budgets)
        new = np.flatnonzero(self._with_victims(rows) & ~self._known)
        start = int(np.searchsorted(new, self._last, side="right"))
        self._todo = np.concatenate((new[start:], new[:start]))
        args = self._profile.arguments.get(NAME, meta.EMPTY)
        share = int(rows.sum()) * int(args.get("minCandidateNodesPercentage", PERCENTAGE)) // 100
        self._wanted = max(share, int(args.get("minCandidateNodesAbsolute", ABSOLUTE)), 1)
        self._found = int(np.count_nonzero(rows & self._priced))

    def _with_victims(self, rows: Mask) -> Mask:
        """Those of `rows` with a pod of lower priority, nominated ones counted."""
        return rows & (self._case.table.lowest_priority[: len(rows)] < self._case.shape.priority)

    def _make(self, row: int, budgets: Sequence[victims.Budget]) -> victims.Bid:
        room = victims.Sums(self._case, row) if self._local else victims.Rules(self._case, self._profile, row)
        bid = self._bids[row] = victims.make_bid(self._case, row, room, budgets)
        self._known[row], self._priced[row] = True, bid.cost is not None
        if bid.cost is not None:
            heapq.heappush(self._heap, (bid.cost, row))
        return bid

    def _is_stale(self, bid: victims.Bid) -> bool:
        table = self._case.table
        if self._facts != table.facts_generation:
            return bid.generation != table.generation
        return bool(table.versions[bid.row] > bid.generation) if self._local else bid.generation != table.generation

    def _forget_changed(self, *, keep: bool) -> None:
        table = self._case.table
        changed = table.changed_since(self._generation) if keep and self._facts == table.facts_generation else None
        self._generation, self._facts = table.generation, table.facts_generation
        if changed is None:
            self._bids.clear()
            self._heap.clear()
            self._known = np.zeros(table.size, dtype=np.bool_)
            self._priced = np.zeros(table.size, dtype=np.bool_)
        else:
            for row in changed:
                self._bids.pop(row, None)
            self._known[changed] = self._priced[changed] = False


def is_local(case: Case, profile: Profile) -> bool:
    """Whether of all rules that read pods only NodeResourcesFit, which goes by sums, has a say for this shape."""
    others = (one for one in profile.filters if one.scope is not Scope.NODE and one.concerns(case.shape))
    return all(one.name == node_resources_fit.NAME or one.check(case, slice(0, 1)) is None for one in others)
