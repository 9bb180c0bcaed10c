"""PodTopologySpread as a score: constraints with ScheduleAnyway, or the defaults of the profile.

The system's defaults spread pods of one Service, ReplicaSet, StatefulSet or ReplicationController over zones and
nodes. A constraint weighs by the logarithm of how many domains it has, so that zones do not drown in nodes.
"""

import math
from typing import Any

import numpy as np

from reconciler.scheduler import spreading
from reconciler.scheduler.columns import MISSING, Floats, Ints, Mask, Rows
from reconciler.scheduler.rules import MAX_SCORE, Case, Scope, Score
from reconciler.scheduler.shape import Spread

IGNORED = -1  # the raw score of a node that lacks a topology key


def rate(case: Case, rows: Rows) -> Ints | None:
    constraints = spreading.constraints(case, spreading.PREFERRED)
    if not constraints:
        return None
    needs_all = bool(case.shape.preferred_spread) or not spreading.uses_system_defaults(case)
    table = case.table
    feasible = np.arange(table.size)[rows]
    codes_of = [table.labels(one.topology_key).codes[: table.size] for one in constraints]
    complete = np.logical_and.reduce([codes != MISSING for codes in codes_of]) if needs_all else None
    ignored = np.zeros(len(feasible), dtype=np.bool_) if complete is None else ~complete[feasible]
    total: Floats = np.zeros(len(feasible), dtype=np.float64)
    for one, codes in zip(constraints, codes_of, strict=True):
        here = codes[feasible]
        counts = table.census.count((one.pods,), live_only=True)[: table.size]
        if one.topology_key == spreading.HOSTNAME:
            found: Floats = counts[feasible].astype(np.float64)
            domains = len(feasible) - int(ignored.sum())
        else:
            found = table.labels(one.topology_key).sums(_counted(case, one, counts, complete))[here]
            domains = int(np.count_nonzero(np.bincount(here[~ignored])))  # nodes without the key count as one
        total += np.where(here != MISSING, found * math.log(domains + 2) + (one.max_skew - 1), 0.0)
    return np.where(ignored, IGNORED, np.floor(total + 0.5)).astype(np.int64)


def _counted(case: Case, one: Spread, counts: Any, complete: Mask | None) -> Any:
    eligible = spreading.included(case, one)
    if complete is not None:
        eligible = complete if eligible is None else eligible & complete
    return counts if eligible is None else np.where(eligible, counts, 0)


def normalise(raw: Ints) -> Ints:
    """The emptiest domain gets the most; nodes without the keys get nothing."""
    counted = raw[raw != IGNORED]
    if not len(counted):
        return np.zeros_like(raw)
    lowest, highest = int(counted.min()), int(counted.max())
    if highest == 0:
        return np.where(raw == IGNORED, 0, MAX_SCORE)
    return np.where(raw == IGNORED, 0, MAX_SCORE * (highest + lowest - raw) // highest)


def applies(case: Case) -> bool:
    return bool(spreading.constraints(case, spreading.PREFERRED))


SCORE = Score(name=spreading.NAME, scope=Scope.CLUSTER, weight=2, rate=rate, normalise=normalise, applies=applies)
