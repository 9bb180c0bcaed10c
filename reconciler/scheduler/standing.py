"""What every node is worth to one shape of pod, kept and renewed only where something changed.

After one pod was placed only the row it went to differs, so the next pod of the shape costs one row to judge and a
look at the block maxima, whatever the number of nodes. Rules of scope CLUSTER are asked anew for every pod.
"""

import numpy as np

from reconciler.scheduler.columns import Indices, Ints, Mask, Rows
from reconciler.scheduler.config import Profile
from reconciler.scheduler.rules import Case, Scope, Score

BLOCK = 128  # rows per block of the maxima
NOISE_BITS = 16
INFEASIBLE = -1


class Standing:
    def __init__(self, case: Case, profile: Profile, random: np.random.Generator) -> None:
        self.case = case
        self.profile = profile
        self._random = random
        self._node_filters = [one for one in profile.filters if one.scope is Scope.NODE]
        self._pod_filters = [one for one in profile.filters if one.scope is Scope.PODS]
        self._cluster_filters = [one for one in profile.filters if one.scope is Scope.CLUSTER]
        self._pod_scores = [one for one in profile.scores if one[0].scope is Scope.PODS]
        self._cluster_scores = [one for one in profile.scores if one[0].scope is Scope.CLUSTER]
        self._facts = -1
        self._generation = 0
        self._open: Mask = np.zeros(0, dtype=np.bool_)  # rows that the nodes themselves leave open
        self._fixed: Ints = np.zeros(0, dtype=np.int64)  # weighted scores of the nodes themselves
        self._relative: list[tuple[Score, int, Ints]] = []  # raw scores that have to be normalised over the feasible
        self._feasible: Mask = np.zeros(0, dtype=np.bool_)
        self._worth: Ints = np.zeros(0, dtype=np.int64)
        self._keys: Ints = np.zeros(0, dtype=np.int64)  # worth and noise of the feasible, in whole blocks
        self._maxima: Ints = np.zeros(0, dtype=np.int64)

    def refresh(self) -> None:
        """Bring everything up to what the table says now."""
        table = self.case.table
        changed = table.changed_since(self._generation) if self._facts == table.facts_generation else None
        self._generation = table.generation
        if changed is None:
            self._facts = table.facts_generation
            self._judge_nodes()
        elif len(changed) == 1:
            self._judge_pods(slice(changed[0], changed[0] + 1))
        elif changed:
            self._judge_pods(np.array(changed, dtype=np.intp) if len(changed) < table.size // 2 else table.everything)

    def feasible(self) -> Mask:
        """Rows that every filter lets the pod on. Treat as read-only."""
        mask, everything = self._feasible, self.case.table.everything
        for rule in self._cluster_filters:
            verdict = rule.check(self.case, everything)
            if verdict is not None:
                mask = mask & (verdict.bits == 0)
        return mask

    def choose(self, among: Mask | None = None) -> int | None:
        """The row of the best node, one of the best by lot; None if none is feasible."""
        mask = self.feasible() if among is None else self.feasible() & among
        raw = self._cluster_raw(mask) if mask is not self._feasible or self._cluster_scores else []
        if mask is self._feasible and not raw and not self._relative:
            return self._top()
        rows = np.flatnonzero(mask)
        if len(rows) <= 1:
            return int(rows[0]) if len(rows) else None
        total = self._worth[rows]
        for score, weight, values in self._relative:
            total += weight * _normalised(score, values[rows])
        for score, weight, values in raw:
            total += weight * _normalised(score, values)
        best = rows[total == total.max()]
        return int(best[0] if len(best) == 1 else best[self._random.integers(len(best))])

    def _cluster_raw(self, mask: Mask) -> list[tuple[Score, int, Ints]]:
        rows: Indices | None = None
        found = []
        for score, weight in self._cluster_scores:
            if rows is None:
                rows = np.flatnonzero(mask)
            values = score.rate(self.case, rows) if len(rows) else None
            if values is not None:
                found.append((score, weight, values))
        return found

    def _top(self) -> int | None:
        if not len(self._maxima):
            return None
        block = int(self._maxima.argmax())
        if self._maxima[block] == INFEASIBLE:
            return None
        start = block * BLOCK
        return start + int(self._keys[start : start + BLOCK].argmax())

    def _judge_nodes(self) -> None:
        case, table = self.case, self.case.table
        everything, size = table.everything, table.size
        self._open = table.alive[:size].copy()
        names = narrowed(case, self.profile)
        if names is not None:
            inside = np.zeros(size, dtype=np.bool_)
            inside[[table.row_of[name] for name in names if name in table.row_of]] = True
            self._open &= inside
        for rule in self._node_filters:
            verdict = rule.check(case, everything)
            if verdict is not None:
                self._open &= verdict.bits == 0
        self._fixed = np.zeros(size, dtype=np.int64)
        self._relative = []
        for score, weight in self.profile.scores:
            values = score.rate(case, everything) if score.scope is Scope.NODE else None
            if values is None:
                continue
            if score.normalise is None:
                self._fixed += weight * values
            else:
                self._relative.append((score, weight, values))
        self._feasible = np.zeros(size, dtype=np.bool_)
        self._worth = np.zeros(size, dtype=np.int64)
        self._keys = np.full(-(-size // BLOCK) * BLOCK, INFEASIBLE, dtype=np.int64)
        self._maxima = np.full(-(-size // BLOCK), INFEASIBLE, dtype=np.int64)
        self._judge_pods(everything)

    def _judge_pods(self, rows: Rows) -> None:
        case = self.case
        passes = self._open[rows].copy()
        for rule in self._pod_filters:
            verdict = rule.check(case, rows)
            if verdict is not None:
                passes &= verdict.bits == 0
        worth = self._fixed[rows].copy()
        for score, weight in self._pod_scores:
            values = score.rate(case, rows)
            if values is not None:
                worth += values if weight == 1 else weight * values
        self._feasible[rows] = passes
        self._worth[rows] = worth
        noise = self._random.integers(1 << NOISE_BITS, size=len(worth))
        self._keys[rows] = np.where(passes, (worth << NOISE_BITS) + noise, INFEASIBLE)
        if isinstance(rows, slice) and rows.stop - rows.start == 1:
            block = rows.start // BLOCK
            self._maxima[block] = self._keys[block * BLOCK : (block + 1) * BLOCK].max()
        else:
            self._maxima[:] = self._keys.reshape(-1, BLOCK).max(axis=1)


def _normalised(score: Score, values: Ints) -> Ints:
    return values if score.normalise is None else score.normalise(values)


def narrowed(case: Case, profile: Profile) -> frozenset[str] | None:
    """The only nodes worth looking at, None for all."""
    names: frozenset[str] | None = None
    for rule in profile.filters:
        own = rule.narrow(case) if rule.narrow is not None else None
        if own is not None:
            names = own if names is None else names & own
    return names
