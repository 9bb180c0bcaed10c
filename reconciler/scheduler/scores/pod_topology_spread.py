"""PodTopologySpread as a score: constraints with ScheduleAnyway, or the defaults of the profile.

The system's defaults spread pods of one Service, ReplicaSet, StatefulSet or ReplicationController over zones and
nodes. A constraint weighs by the logarithm of how many domains it has, so that zones do not drown in nodes.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from reconciler.scheduler import spreading
from reconciler.scheduler.columns import MISSING, Codes, Floats, Ints, LabelColumn, Mask, Rows
from reconciler.scheduler.rules import MAX_SCORE, Case, Scope, Score
from reconciler.scheduler.shape import Spread

IGNORED = -1  # the raw score of a node that lacks a topology key


@dataclass(frozen=True, slots=True)
class _Part:
    """What of a constraint only nodes say; None where a mask would hold all rows."""

    spread: Spread
    codes: Codes
    present: Mask | None  # rows with the topology key
    counted: Mask | None  # rows whose pods count for their domain
    column: LabelColumn


def rate(case: Case, rows: Rows) -> Ints | None:
    parts, complete = case.once("spread score", lambda: _parts(case))
    if not parts:
        return None
    ignored = None if complete is None else ~complete[rows]
    total: Floats | None = None
    for part in parts:
        counts = case.table.census.count((part.spread.pods,), live_only=True)[: case.table.size]
        here = part.codes[rows]
        if part.spread.topology_key == spreading.HOSTNAME:
            found: Floats = counts[rows].astype(np.float64)
            domains = len(here) if ignored is None else len(here) - int(ignored.sum())
        else:
            found = part.column.sums(counts if part.counted is None else np.where(part.counted, counts, 0))[here]
            domains = int(np.count_nonzero(np.bincount(here if ignored is None else here[~ignored])))  # no key counts as one
        found = found * math.log(domains + 2) + (part.spread.max_skew - 1)
        if part.present is not None:
            found = np.where(part.present[rows], found, 0.0)
        total = found if total is None else total + found
    assert total is not None
    rounded = (total + 0.5).astype(np.int64)  # no count is below zero
    return rounded if ignored is None else np.where(ignored, IGNORED, rounded)


def _parts(case: Case) -> tuple[list[_Part], Mask | None]:
    """The constraints that can make a difference, and which rows have the keys of all, where they must; None for all rows."""
    table, size = case.table, case.table.size
    parts = []
    for one in spreading.constraints(case, spreading.PREFERRED):
        column = table.labels(one.topology_key)
        codes = column.codes[:size]
        present = codes != MISSING
        parts.append(_Part(one, codes, None if present.all() else present, spreading.included(case, one), column))
    if not case.shape.preferred_spread and spreading.uses_system_defaults(case):
        return [part for part in parts if part.present is None or part.present.any()], None
    masks = [part.present for part in parts if part.present is not None]
    if not masks:
        return parts, None
    complete: Mask = np.logical_and.reduce(masks)
    return [replace(part, counted=complete if part.counted is None else part.counted & complete) for part in parts], complete


def normalise(raw: Ints) -> Ints:
    """The emptiest domain gets the most; nodes without the keys get nothing."""
    if not len(raw):
        return raw
    lowest, highest = int(raw.min()), int(raw.max())
    if lowest != IGNORED:
        return _rated(raw, lowest, highest)
    counted = raw != IGNORED
    return np.where(counted, _rated(raw, int(raw[counted].min(initial=highest)), highest), 0)


def _rated(raw: Ints, lowest: int, highest: int) -> Ints:
    return MAX_SCORE * (highest + lowest - raw) // highest if highest > 0 else np.full_like(raw, MAX_SCORE)


def applies(case: Case) -> bool:
    return bool(case.once("spread score", lambda: _parts(case))[0])


SCORE = Score(name=spreading.NAME, scope=Scope.CLUSTER, weight=2, rate=rate, normalise=normalise, applies=applies)
