"""InterPodAffinity: pods that must, or must not, share a topology domain with others.

A pod on a node must match all required affinity terms to count for any of them. A pod that no other matches may
be the first of its kind if it matches its own terms. Anti-affinity of pods on nodes holds against newcomers too.
"""

import numpy as np

from reconciler.model import meta
from reconciler.placement import pods
from reconciler.scheduler.columns import MISSING, Mask, Rows
from reconciler.scheduler.rules import Case, Filter, Reason, Scope, Verdict
from reconciler.scheduler.shape import AffinityTerm, PodTerm, Shape

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
    """A pod that a term speaks of, or that holds anti-affinity itself, came to, left, or changed its labels on a node."""
    if not moved(old, new):
        return False
    terms = [term.pods for term in (*shape.affinity, *shape.anti_affinity)]
    return any(pod is not None and (_keeps_others_away(pod) or any(may_match(term, pod) for term in terms)) for pod in (old, new))


def moved(old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """Whether a pod is on a node where it was not, or the other way round, or is so with other labels."""
    before = old is not None and bool(pods.node_name(old)) and not pods.is_over(old)
    after = new is not None and bool(pods.node_name(new)) and not pods.is_over(new)
    if before != after:
        return True
    return after and old is not None and new is not None and meta.labels(old) != meta.labels(new)


def may_match(term: PodTerm, pod: meta.Obj) -> bool:
    """Whether the term matches the pod, where its namespace's labels allow it: those are not at hand here."""
    here = meta.namespace(pod) in term.namespaces or term.namespace_selector is not None
    return here and term.selector.matches(meta.labels(pod))


def _keeps_others_away(pod: meta.Obj) -> bool:
    against = (meta.spec(pod).get("affinity") or meta.EMPTY).get("podAntiAffinity") or meta.EMPTY
    return bool(against.get("requiredDuringSchedulingIgnoredDuringExecution"))


def helped_by_node(shape: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """A node is new, or is in other domains of the terms."""
    if new is None or old is None:
        return new is not None
    keys = {term.topology_key for term in (*shape.affinity, *shape.anti_affinity)}
    if not keys:
        return meta.labels(old) != meta.labels(new)  # kept out by what others hold
    return any(meta.labels(old).get(key) != meta.labels(new).get(key) for key in keys)


FILTER = Filter(
    name="InterPodAffinity",
    scope=Scope.CLUSTER,
    check=check,
    helped_by={"nodes": helped_by_node, "pods": helped_by_pod},
)
