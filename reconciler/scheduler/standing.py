"""What every node is worth to one shape of pod, kept and renewed only where something changed.

After one pod was placed only the row it went to differs, so the next pod of the shape costs one row to judge and a
look at the block maxima, whatever the number of nodes. Where sums are all that matters of the pods on a node, all
rows are judged ahead together, as they will be with one more pod of the shape: for numpy a thousand rows cost hardly
more than one. Rules of scope CLUSTER are asked anew for every pod.
"""

import numpy as np

from reconciler.scheduler.columns import Ints, Mask, Rows
from reconciler.scheduler.config import Profile
from reconciler.scheduler.rules import Case, Scope, Score

BLOCK = 128  # rows per block of the maxima
MISSES = 16  # rows that had to be judged alone, beside one for each
ROWS_A_MISS = 64  # rows, before all are judged ahead again
LOT_BITS = 16
WORD_BITS = 64
WORD = (1 << WORD_BITS) - 1
STEP, MIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9  # of splitmix64
U_STEP, U_MIX, U_SHIFT = np.uint64(STEP), np.uint64(MIX), np.uint64(WORD_BITS - LOT_BITS)
INFEASIBLE = -1
UNKNOWN = -1


class Standing:
    def __init__(self, case: Case, profile: Profile, seed: int) -> None:
        self.case = case
        self.profile = profile
        self._seed = seed
        filters = [one for one in profile.filters if one.concerns(case.shape)]
        self._node_filters = [one for one in filters if one.scope is Scope.NODE]
        self._pod_filters = [one for one in filters if one.scope in (Scope.SUMS, Scope.PODS)]
        self._cluster_filters = [one for one in filters if one.scope is Scope.CLUSTER]
        self._pod_scores = [one for one in profile.scores if one[0].scope in (Scope.SUMS, Scope.PODS)]
        self._cluster_scores = [one for one in profile.scores if one[0].scope is Scope.CLUSTER]
        scopes = {one.scope for one in filters} | {score.scope for score, _ in profile.scores}
        self._by_sums = Scope.PODS not in scopes
        self._known_ahead: Mask = np.zeros(0, dtype=np.bool_)  # rows judged ahead, and what came out:
        self._feasible_ahead: Mask = np.zeros(0, dtype=np.bool_)
        self._worth_ahead: Ints = np.zeros(0, dtype=np.int64)
        self._expected = -1  # the row that the last pod was placed on
        self._misses = 0  # pods placed on rows that were not judged ahead
        self._facts = UNKNOWN
        self._generation = 0
        self._open: Mask = np.zeros(0, dtype=np.bool_)  # rows that the nodes themselves leave open
        self._fixed: Ints = np.zeros(0, dtype=np.int64)  # weighted scores of the nodes themselves
        self._relative: list[tuple[Score, int, Ints]] = []  # raw scores that have to be normalised over the feasible
        self._feasible: Mask = np.zeros(0, dtype=np.bool_)
        self._worth: Ints = np.zeros(0, dtype=np.int64)
        self._keys: Ints = np.zeros(0, dtype=np.int64)  # worth and lot of the feasible, in whole blocks
        self._maxima: Ints = np.zeros(0, dtype=np.int64)
        self._unkeyed: list[int] = []  # rows whose key is not what their worth says: only `_top` looks at keys
        self._rows: Rows | None = None  # the feasible ones, while they stay the same

    def refresh(self) -> None:
        """Bring everything up to what the table says now."""
        table = self.case.table
        since, self._generation = self._generation, table.generation
        changed = table.changed_since(since) if self._facts == table.facts_generation else None
        self._facts = UNKNOWN  # if a rule fails now, everything is found again
        if changed is None:
            self._judge_nodes()
        elif changed == [self._expected] and table.generation == since + 1 and self._known_ahead[self._expected]:
            self._take_ahead(self._expected)
        elif changed:
            self._known_ahead[changed] = False
            everything = len(changed) >= table.size // 2
            self._judge_pods(table.everything if everything else np.array(changed, dtype=np.intp))
        self._expected = -1
        self._facts = table.facts_generation

    def expect(self, row: int) -> None:
        """A pod of the shape was just placed on `row`."""
        self._expected = row
        if not self._by_sums or self._known_ahead[row]:
            return
        self._misses += 1
        if self._misses >= MISSES + len(self._known_ahead) // ROWS_A_MISS:
            self._look_ahead(row)

    def feasible(self) -> Mask:
        """Rows that every filter lets the pod on. Treat as read-only."""
        mask, everything = self._feasible, self.case.table.everything
        for rule in self._cluster_filters:
            verdict = rule.check(self.case, everything)
            if verdict is not None:
                mask = mask & (verdict.bits == 0)
        return mask

    @property
    def worth(self) -> Ints:
        """Weighted scores of the feasible rows, without those that are relative to each other."""
        return self._worth

    def choose(self, among: Mask | None = None) -> int | None:
        """The row of the best node, one of the best by lot; None if none is feasible."""
        mask = self.feasible() if among is None else self.feasible() & among
        scores = [one for one in self._cluster_scores if one[0].applies is None or one[0].applies(self.case)]
        if mask is self._feasible and not scores and not self._relative:
            return self._top()
        rows = self._rows_of(mask)
        total = self._worth[rows].copy()
        if not len(total):
            return None
        for score, weight, values in self._relative:
            total += weight * _normalised(score, values[rows])
        for score, weight in scores:
            rated = score.rate(self.case, rows)
            if rated is not None:
                total += weight * _normalised(score, rated)
        best = (total == total.max()).nonzero()[0]
        if not isinstance(rows, slice):
            best = rows[best]
        return int(best[0] if len(best) == 1 else best[self._lots(best).argmax()])

    def _rows_of(self, mask: Mask) -> Rows:
        """All rows as a slice, which costs no copy, or those of `mask`."""
        if mask is not self._feasible:
            return np.flatnonzero(mask)
        if self._rows is None:
            self._rows = self.case.table.everything if mask.all() else np.flatnonzero(mask)
        return self._rows

    def _top(self) -> int | None:
        self._enter_keys()
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
        self._known_ahead = np.zeros(size, dtype=np.bool_)
        self._misses = 0
        self._feasible = np.zeros(size, dtype=np.bool_)
        self._worth = np.zeros(size, dtype=np.int64)
        self._keys = np.full(-(-size // BLOCK) * BLOCK, INFEASIBLE, dtype=np.int64)
        self._maxima = np.full(-(-size // BLOCK), INFEASIBLE, dtype=np.int64)
        self._judge_pods(everything)

    def _judge_pods(self, rows: Rows) -> None:
        passes, worth = self._judged(rows)
        self._feasible[rows] = passes
        self._rows = None
        self._worth[rows] = worth
        self._unkeyed.clear()
        self._keys[rows] = np.where(passes, (worth << LOT_BITS) + self._lots(rows), INFEASIBLE)
        self._maxima[:] = self._keys.reshape(-1, BLOCK).max(axis=1)

    def _judged(self, rows: Rows) -> tuple[Mask, Ints]:
        """Whether rows are feasible, and their weighted scores, by what is on the nodes."""
        case = self.case
        passes = self._open[rows].copy()
        for rule in self._pod_filters:
            verdict = rule.check(case, rows)
            if verdict is not None:
                passes &= verdict.bits == 0
        worth = self._fixed[rows].copy()
        if not passes.any():
            return passes, worth  # nobody asks what they are worth
        for score, weight in self._pod_scores:
            values = score.rate(case, rows)
            if values is not None:
                worth += values if weight == 1 else weight * values
        return passes, worth

    def _take_ahead(self, row: int) -> None:
        self._known_ahead[row] = False
        passes = self._feasible_ahead[row]
        if passes != self._feasible[row]:
            self._feasible[row] = passes
            self._rows = None
        self._worth[row] = self._worth_ahead[row]
        self._unkeyed.append(row)

    def _enter_keys(self) -> None:
        for row in self._unkeyed:
            self._keys[row] = (int(self._worth[row]) << LOT_BITS) + self._lot(row) if self._feasible[row] else INFEASIBLE
            start = row // BLOCK * BLOCK
            self._maxima[row // BLOCK] = self._keys[start : start + BLOCK].max()
        self._unkeyed.clear()

    def _lots(self, rows: Rows) -> Ints:
        """Which of equal nodes comes first: by lot, but the same whenever a node of this name has as many pods.

        So what is forecast of a copy of the cluster is what the cluster does, and a pod more makes it another lot.
        """
        table = self.case.table
        counted = (table.pod_count[rows] + self._seed).view(np.uint64)
        mixed = (table.name_hashes[rows] + counted * U_STEP) * U_MIX
        return (mixed >> U_SHIFT).view(np.int64)

    def _lot(self, row: int) -> int:
        """The same for one row, which is quicker so."""
        table = self.case.table
        mixed = (int(table.name_hashes[row]) + (int(table.pod_count[row]) + self._seed) * STEP) * MIX & WORD
        return mixed >> (WORD_BITS - LOT_BITS)

    def _look_ahead(self, row: int) -> None:
        """Judge all rows as if the next pod were there already; `row` has just got one, and is judged as it is first."""
        everything = self.case.table.everything
        with self.case.table.supposing(self.case.shape, everything):
            self._feasible_ahead, self._worth_ahead = self._judged(everything)
        self._known_ahead[:] = True
        self._known_ahead[row] = False
        self._misses = 0


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
