"""NodeResourcesBalancedAllocation: nodes whose resources would be used to a like share, by standard deviation.

Pods that ask for none of the resources are not scored, or they would pile up on one node.
"""

import numpy as np

from reconciler.scheduler.columns import Floats, Ints, Mask, Rows
from reconciler.scheduler.rules import MAX_SCORE, Case, Scope, Score
from reconciler.scheduler.scores.node_resources_fit import DEFAULT_RESOURCES, usage

NAME = "NodeResourcesBalancedAllocation"


def rate(case: Case, rows: Rows) -> Ints | None:
    names = [resource["name"] for resource in case.args(NAME).get("resources") or DEFAULT_RESOURCES]
    if not any(case.shape.requests.get(name) for name in names):
        return None
    fractions: list[Floats] = []
    present: list[Mask] = []
    for name in names:
        amounts = usage(case, name, rows, usual=False)
        if amounts is not None:
            offered, used = amounts
            present.append(offered > 0)
            fractions.append(np.where(offered > 0, np.minimum(used / np.maximum(offered, 1), 1.0), 0.0))
    if len(fractions) < 2:
        return None
    deviation = _of_two(fractions, present) if len(fractions) == 2 else _of_many(fractions, present)
    return ((1 - deviation) * float(MAX_SCORE)).astype(np.int64)


def _of_two(fractions: list[Floats], present: list[Mask]) -> Floats:
    """The standard deviation of two numbers is half their distance."""
    return np.where(present[0] & present[1], np.abs((fractions[0] - fractions[1]) / 2), 0.0)


def _of_many(fractions: list[Floats], present: list[Mask]) -> Floats:
    """Of those that are present; where two are, by the same formula as for two, to the last bit."""
    there, values = np.stack(present), np.stack(fractions)
    count = there.sum(axis=0)
    mean = values.sum(axis=0) / np.maximum(count, 1)
    root = np.sqrt(np.where(there, (values - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count, 1))
    distance = np.where(there, values, 0.0).max(axis=0) - np.where(there, values, 1.0).min(axis=0)
    return np.where(count > 2, root, np.where(count == 2, distance / 2, 0.0))


SCORE = Score(name=NAME, scope=Scope.SUMS, weight=1, rate=rate)
