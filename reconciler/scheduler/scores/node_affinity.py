"""NodeAffinity as a score: the weights of the preferred terms that the node matches."""

import numpy as np

from reconciler.placement import affinity
from reconciler.scheduler import match
from reconciler.scheduler.columns import Ints, Rows
from reconciler.scheduler.rules import Case, Scope, Score, by_maximum

NAME = "NodeAffinity"


def rate(case: Case, rows: Rows) -> Ints | None:
    added = (case.args(NAME).get("addedAffinity") or {}).get("preferredDuringSchedulingIgnoredDuringExecution")
    preferences = (*case.shape.preferred_nodes, *affinity.preferences(added))
    if not preferences:
        return None
    total = np.zeros(case.table.size, dtype=np.int64)
    for weight, term in preferences:
        total += weight * match.matching(case.table, term)
    return total[rows]


SCORE = Score(name=NAME, scope=Scope.NODE, weight=2, rate=rate, normalise=by_maximum)
