"""NodeAffinity: nodeSelector, required node affinity, and the addedAffinity of the profile.

Terms that all name nodes by metadata.name narrow the search to those, as DaemonSet pods have it.
"""

from reconciler.placement import affinity
from reconciler.scheduler import match
from reconciler.scheduler.columns import Mask, Rows
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, node_differs, verdict

NAME = "NodeAffinity"


def added_affinity(case: Case) -> affinity.NodeSelector:
    added = case.args(NAME).get("addedAffinity") or {}
    return affinity.NodeSelector(terms=affinity.terms(added.get("requiredDuringSchedulingIgnoredDuringExecution")))


def check(case: Case, rows: Rows) -> Verdict | None:
    extra: Mask | None = case.once("added affinity", lambda: match.selected(case.table, added_affinity(case)))
    if extra is not None and not extra[rows].all():
        return verdict(~extra[rows], "node(s) didn't match scheduler-enforced node affinity", is_final=True)
    own = match.required_nodes(case)
    return None if own is None else verdict(~own[rows], "node(s) didn't match Pod's node affinity/selector", is_final=True)


def reject(case: Case) -> str:
    return "pod affinity terms conflict" if case.shape.names == frozenset() else ""


def narrow(case: Case) -> frozenset[str] | None:
    return case.shape.names


FILTER = Filter(
    name=NAME,
    scope=Scope.NODE,
    check=check,
    reject=reject,
    narrow=narrow,
    helped_by={"nodes": node_differs(("metadata", "labels"))},
)
