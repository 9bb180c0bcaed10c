"""NodeResourcesFit as a score: LeastAllocated (the default), MostAllocated or RequestedToCapacityRatio.

Containers without a request count with a usual one, so that pods that ask for nothing still spread.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reconciler.placement import requests
from reconciler.scheduler.columns import Ints, Rows
from reconciler.scheduler.rules import MAX_SCORE, Case, Scope, Score

NAME = "NodeResourcesFit"
DEFAULT_RESOURCES: Sequence[Mapping[str, Any]] = ({"name": requests.CPU, "weight": 1}, {"name": requests.MEMORY, "weight": 1})
MAX_UTILIZATION = 100
MAX_SHAPE_SCORE = 10  # what scores in requestedToCapacityRatio go up to


def rate(case: Case, rows: Rows) -> Ints | None:
    strategy = case.args(NAME).get("scoringStrategy") or {}
    kind = strategy.get("type") or "LeastAllocated"
    total: Ints | int = 0
    weights: Ints | int = 0
    for resource in strategy.get("resources") or DEFAULT_RESOURCES:
        amounts = usage(case, resource["name"], rows)
        if amounts is None:
            continue
        offered, used = amounts
        weight = int(resource.get("weight") or 1)
        rated = _rate(kind, strategy, offered, used)
        if kind == "RequestedToCapacityRatio":
            counts = (offered > 0) & (rated > 0)
        else:
            counts = offered > 0
        total = total + np.where(counts, rated * weight, 0)
        weights = weights + np.where(counts, weight, 0)
    if isinstance(total, int) or isinstance(weights, int):
        return None
    return _divide(total, weights, rounded=kind == "RequestedToCapacityRatio")


def usage(case: Case, name: str, rows: Rows, *, usual: bool = True) -> tuple[Ints, Ints] | None:
    """(what nodes offer, what would be used with the pod); None where only pods that ask for it care and it does not."""
    table = case.table
    asked = (case.shape.usual_requests if usual else case.shape.requests).get(name, 0)
    index = table.resources.get(name)
    if index is None or (asked == 0 and requests.is_extended(name)):
        return None
    if usual and name in (requests.CPU, requests.MEMORY):
        used = table.usual_requested[index, rows]
    else:
        used = table.requested[index, rows]
    return table.allocatable[index, rows], used + asked


def _rate(kind: str, strategy: Mapping[str, Any], offered: Ints, used: Ints) -> Ints:
    divisor = np.maximum(offered, 1)
    if kind == "LeastAllocated":
        rated: Ints = np.maximum(offered - used, 0) * MAX_SCORE // divisor
        return rated
    if kind == "MostAllocated":
        rated = np.minimum(used, offered) * MAX_SCORE // divisor
        return rated
    points = (strategy.get("requestedToCapacityRatio") or {}).get("shape") or ()
    utilization = np.where(used > offered, MAX_UTILIZATION, np.minimum(used, offered) * MAX_UTILIZATION // divisor)
    return _interpolate(points, utilization)


def _interpolate(points: Sequence[Mapping[str, Any]], at: Ints) -> Ints:
    """The broken line through `points`, in whole numbers that are cut towards zero."""
    line = [(int(point["utilization"]), int(point["score"]) * (MAX_SCORE // MAX_SHAPE_SCORE)) for point in points]
    found = np.full(len(at), line[-1][1], dtype=np.int64)
    for (x0, y0), (x1, y1) in reversed(list(itertools.pairwise(line))):
        rise = (y1 - y0) * (at - x0)
        found = np.where(at <= x1, y0 + np.sign(rise) * (np.abs(rise) // (x1 - x0)), found)
    return np.where(at <= line[0][0], line[0][1], found)


def _divide(total: Ints, weights: Ints, *, rounded: bool) -> Ints:
    divisor = np.maximum(weights, 1)
    if rounded:
        return np.floor(total / divisor + 0.5).astype(np.int64)
    return total // divisor


SCORE = Score(name=NAME, scope=Scope.SUMS, weight=1, rate=rate)
