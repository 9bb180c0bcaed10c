"""InterPodAffinity as a score: the weights of preferred terms, the pod's own and those that pods on nodes hold for it.

Required affinity of pods on nodes counts for the newcomer by hardPodAffinityWeight.
"""

import numpy as np

from reconciler.scheduler.columns import Ints, Rows
from reconciler.scheduler.rules import MAX_SCORE, Case, Scope, Score

NAME = "InterPodAffinity"
HARD_WEIGHT = 1


def rate(case: Case, rows: Rows) -> Ints | None:
    table, shape, args = case.table, case.shape, case.args(NAME)
    if args.get("ignorePreferredTermsOfExistingPods") and not shape.preferred_pods:
        return None
    hard = int(args.get("hardPodAffinityWeight", HARD_WEIGHT))
    parts = [(weight, term.topology_key, table.census.count((term.pods,))) for weight, term in shape.preferred_pods]
    for owned in table.census.applying(shape):
        weight = hard if owned.required else owned.weight
        if weight:
            parts.append((weight, owned.term.topology_key, table.census.holders(owned)))
    if not parts:
        return None
    total = np.zeros(table.size, dtype=np.float64)
    for weight, key, counts in parts:
        column = table.labels(key)
        total += weight * column.sums(counts)[column.codes[: table.size]]
    return total.astype(np.int64)[rows]


def normalise(raw: Ints) -> Ints:
    """From the lowest, 0, to the highest, MAX_SCORE."""
    if not len(raw):
        return raw
    lowest = raw.min()
    reach = raw.max() - lowest
    if reach == 0:
        return np.zeros_like(raw)
    scaled: Ints = (MAX_SCORE * ((raw - lowest) / reach)).astype(np.int64)
    return scaled


def applies(case: Case) -> bool:
    return bool(case.shape.preferred_pods or case.table.census.applying(case.shape))


SCORE = Score(name=NAME, scope=Scope.CLUSTER, weight=2, rate=rate, normalise=normalise, applies=applies)
