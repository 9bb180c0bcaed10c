"""TaintToleration as a score: the fewer PreferNoSchedule taints the pod does not tolerate, the better."""

import numpy as np

from reconciler.placement import taints
from reconciler.scheduler.columns import Ints, Rows
from reconciler.scheduler.rules import Case, Scope, Score, by_maximum_reversed


def rate(case: Case, rows: Rows) -> Ints | None:
    tolerations = [one for one in case.shape.tolerations if one.effect in ("", taints.PREFER_NO_SCHEDULE)]
    counts = np.array([_intolerable(each, tolerations) for each in case.table.taint_sets], dtype=np.int64)
    return counts[case.table.taint_codes[rows]] if counts.any() else None


def _intolerable(each: tuple[taints.Taint, ...], tolerations: list[taints.Toleration]) -> int:
    return sum(taint.effect == taints.PREFER_NO_SCHEDULE and not taints.is_tolerated(taint, tolerations) for taint in each)


SCORE = Score(name="TaintToleration", scope=Scope.NODE, weight=3, rate=rate, normalise=by_maximum_reversed)
