"""NodeResourcesBalancedAllocation: nodes whose resources would be used to a like share, by standard deviation.

Pods that ask for none of the resources are not scored, or they would pile up on one node.
"""

import numpy as np

from reconciler.scheduler.columns import Floats, Ints, Rows
from reconciler.scheduler.rules import MAX_SCORE, Case, Scope, Score
from reconciler.scheduler.scores.node_resources_fit import DEFAULT_RESOURCES, usage

NAME = "NodeResourcesBalancedAllocation"


def rate(case: Case, rows: Rows) -> Ints | None:
    names = [resource["name"] for resource in case.args(NAME).get("resources") or DEFAULT_RESOURCES]
    if not any(case.shape.requests.get(name) for name in names):
        return None
    fractions: list[Floats] = []
    present: list[Ints] = []
    for name in names:
        amounts = usage(case, name, rows, usual=False)
        if amounts is not None:
            offered, used = amounts
            present.append((offered > 0).astype(np.int64))
            fractions.append(np.where(offered > 0, np.minimum(used / np.maximum(offered, 1), 1.0), 0.0))
    deviation = _deviation(fractions, present)
    return ((1 - deviation) * float(MAX_SCORE)).astype(np.int64)


def _deviation(fractions: list[Floats], present: list[Ints]) -> Floats:
    """The standard deviation of the fractions that are present. Of two it is half their distance."""
    count = sum(present[1:], present[0])
    if len(fractions) == 2:
        return np.where(count == 2, np.abs((fractions[0] - fractions[1]) / 2), 0.0)
    mean = sum(fractions[1:], fractions[0]) / np.maximum(count, 1)
    squares = [np.where(there > 0, (fraction - mean) * (fraction - mean), 0.0) for fraction, there in zip(fractions, present, strict=True)]
    root = np.sqrt(sum(squares[1:], squares[0]) / np.maximum(count, 1))
    return np.where(count >= 2, root, 0.0)


SCORE = Score(name=NAME, scope=Scope.SUMS, weight=1, rate=rate)
