"""NodeAffinity: nodeSelector, required node affinity, and the addedAffinity of the profile.

Terms that all name nodes by metadata.name narrow the search to those, as DaemonSet pods have it.
"""

import numpy as np

from reconciler.model import meta
from reconciler.placement import affinity
from reconciler.scheduler import match
from reconciler.scheduler.columns import Mask, Rows
from reconciler.scheduler.rules import Case, Filter, Reason, Scope, Verdict, verdict
from reconciler.scheduler.shape import Shape

NAME = "NodeAffinity"
ADDED = Reason("node(s) didn't match scheduler-enforced node affinity", is_final=True)
OWN = Reason("node(s) didn't match Pod's node affinity/selector", is_final=True)


def added_affinity(case: Case) -> affinity.NodeSelector:
    added = case.args(NAME).get("addedAffinity") or {}
    return affinity.NodeSelector(terms=affinity.terms(added.get("requiredDuringSchedulingIgnoredDuringExecution")))


def check(case: Case, rows: Rows) -> Verdict | None:
    extra: Mask | None = case.once("added affinity", lambda: match.selected(case.table, added_affinity(case)))
    own = match.required_nodes(case)
    if extra is None:
        return None if own is None else verdict(~own[rows], OWN.text, is_final=True)
    bits = np.where(extra[rows], 0, 1).astype(np.uint64)
    if own is not None:
        bits[extra[rows] & ~own[rows]] = 2
    return Verdict(bits, (ADDED, OWN))


def reject(case: Case) -> str:
    return "pod affinity terms conflict" if case.shape.names == frozenset() else ""


def narrow(case: Case) -> frozenset[str] | None:
    return case.shape.names


def helped(shape: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """A node that the pod's own terms match is new or has new labels; whether addedAffinity matches the next try tells."""
    if new is None or not shape.nodes.matches(meta.labels(new), meta.name(new)):
        return False
    return old is None or meta.labels(old) != meta.labels(new)


FILTER = Filter(
    name=NAME,
    scope=Scope.NODE,
    check=check,
    reject=reject,
    narrow=narrow,
    helped_by={"nodes": helped},
)
