"""InterPodAffinity: pods that must, or must not, share a topology domain with others.

A pod on a node must match all required affinity terms to count for any of them. A pod that no other matches may
be the first of its kind if it matches its own terms. Anti-affinity of pods on nodes holds against newcomers too.
"""

import numpy as np

from reconciler.model import meta
from reconciler.scheduler.columns import MISSING, Mask, Rows
from reconciler.scheduler.rules import Case, Filter, Reason, Scope, Verdict, node_differs
from reconciler.scheduler.shape import AffinityTerm, Shape

REASONS = (
    Reason("node(s) didn't match pod affinity rules", is_final=True),
    Reason("node(s) didn't match pod anti-affinity rules"),
    Reason("node(s) didn't satisfy existing pods anti-affinity rules"),
)


def check(case: Case, rows: Rows) -> Verdict | None:
    shape = case.shape
    against = [owned.term for owned in case.table.census.applying(shape) if owned.weight == 0 and not owned.required]
    if not (shape.affinity or shape.anti_affinity or against):
        return None
    bits = np.zeros(case.table.size, dtype=np.uint64)
    if against:
        bits[_held_against(case)] = 4
    if shape.anti_affinity:
        bits[_unwanted(case)] = 2
    if shape.affinity:
        bits[~_wanted(case)] = 1
    return Verdict(bits[rows], REASONS)


def _wanted(case: Case) -> Mask:
    """Rows whose domains hold what every required affinity term asks for."""
    table, shape = case.table, case.shape
    counts = table.census.count(tuple(term.pods for term in shape.affinity))
    labelled = np.ones(table.size, dtype=np.bool_)
    found = np.ones(table.size, dtype=np.bool_)
    anywhere = False
    for term in shape.affinity:
        column = table.labels(term.topology_key)
        codes = column.codes[: table.size]
        sums = column.sums(counts)
        anywhere = anywhere or bool(sums.any())
        labelled &= codes != MISSING
        found &= sums[codes] > 0
    if not anywhere and all(matches(case, shape, term) for term in shape.affinity):
        return labelled
    return labelled & found


def _unwanted(case: Case) -> Mask:
    """Rows whose domains hold a pod that an anti-affinity term of the newcomer matches."""
    table = case.table
    found = np.zeros(table.size, dtype=np.bool_)
    for term in case.shape.anti_affinity:
        column = table.labels(term.topology_key)
        found |= column.sums(table.census.count((term.pods,)))[column.codes[: table.size]] > 0
    return found


def _held_against(case: Case) -> Mask:
    """Rows whose domains hold a pod with an anti-affinity term that matches the newcomer."""
    table = case.table
    found = np.zeros(table.size, dtype=np.bool_)
    for owned in table.census.applying(case.shape):
        if owned.weight == 0 and not owned.required:
            column = table.labels(owned.term.topology_key)
            found |= column.sums(table.census.holders(owned))[column.codes[: table.size]] > 0
    return found


def matches(case: Case, shape: Shape, term: AffinityTerm) -> bool:
    return term.pods.matches(shape.namespace, case.table.namespace_labels(shape.namespace), shape.labels)


def helped_by_pod(shape: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """A pod came to, left, or changed its labels on a node; on what it means for `shape` the next try decides."""
    if new is None or old is None:
        placed = old if new is None else new
        return placed is not None and bool(meta.spec(placed).get("nodeName"))
    if meta.spec(new).get("nodeName") != meta.spec(old).get("nodeName"):
        return True
    ended = meta.status(new).get("phase") in ("Succeeded", "Failed") and meta.status(old).get("phase") != meta.status(new).get("phase")
    return ended or meta.labels(new) != meta.labels(old)


FILTER = Filter(
    name="InterPodAffinity",
    scope=Scope.CLUSTER,
    check=check,
    helped_by={"nodes": node_differs(("metadata", "labels")), "pods": helped_by_pod},
)
