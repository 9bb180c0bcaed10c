"""What every filter and score says of every node for one pod, and where pods would go: answers without writing.

`table_of` draws up a table from any view (the cache, a fork of it, an imagined cluster); `explain` and `what_if` work
on it with the very rules that the scheduler uses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from reconciler.model import meta, view
from reconciler.model.view import View
from reconciler.placement import pods as pod_facts
from reconciler.scheduler import plan as decisions
from reconciler.scheduler.around import Around
from reconciler.scheduler.config import Profile, default_profile
from reconciler.scheduler.rules import Case, Scope
from reconciler.scheduler.standing import narrowed
from reconciler.scheduler.table import Table


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node: the reasons of each filter that keeps the pod out, and each score, normalised and weighted.

    Scores are relative to the feasible nodes, so only those have any, unless no node is feasible: then all do.
    """

    node: str
    reasons: Mapping[str, tuple[str, ...]]  # filter -> why not
    scores: Mapping[str, int]

    @property
    def is_feasible(self) -> bool:
        return not self.reasons

    @property
    def total(self) -> int:
        return sum(self.scores.values())


@dataclass(frozen=True, slots=True)
class Explanation:
    """`rejections` turn the pod away before any node is looked at: filter -> message."""

    profile: str
    rejections: Mapping[str, str]
    nodes: tuple[NodeReport, ...]  # the best first

    def lines(self) -> list[str]:
        """As text, for `reconciler explain pod/NAME`."""
        found = [f"{name}: {message}" for name, message in self.rejections.items()]
        for report in self.nodes:
            if report.is_feasible:
                parts = ", ".join(f"{name} {score}" for name, score in sorted(report.scores.items()))
                found.append(f"{report.node}: fits, score {report.total} ({parts})")
            else:
                parts = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in report.reasons.items())
                found.append(f"{report.node}: {parts}")
        return found


def table_of(around: View) -> Table:
    table = Table()
    for namespace in around.by("namespaces", view.NAMESPACE, ""):
        table.set_namespace(meta.name(namespace), meta.labels(namespace))
    for node in around.by("nodes", view.NAMESPACE, ""):
        table.set_node(node)
        for pod in around.by("pods", view.NODE, meta.name(node)):
            table.set_pod(pod)
    return table


def explain(around: View, pod: meta.Obj, profile: Profile | None = None, table: Table | None = None) -> Explanation:
    """For a pod that is placed already: how the node it is on, and the others, look without it."""
    profile = profile or default_profile()
    table = table_of(around) if table is None else table
    held = table.held.get(meta.key(pod))
    here = [held] if held is not None and held.row >= 0 else []
    table.lift(here)
    try:
        case = Case(table, Around(around), table.shapes.of(pod), profile.arguments)
        return Explanation(profile.name, _rejections(case, profile), _reports(case, profile))
    finally:
        table.put_back(here)


def what_if(around: View, pods: Iterable[meta.Obj], profiles: Mapping[str, Profile] | None = None) -> list[decisions.Decision]:
    """What the scheduler would decide for `pods`, in its own order, on the cluster of `around`; nothing is written."""
    known = profiles or {pod_facts.DEFAULT_SCHEDULER: default_profile()}
    planner = decisions.Planner(table_of(around), Around(around), known)
    ordered = sorted(pods, key=lambda pod: -pod_facts.priority(pod))
    return [planner.place(pod) for pod in ordered]


def _rejections(case: Case, profile: Profile) -> dict[str, str]:
    return {rule.name: message for rule in profile.filters if rule.reject is not None and (message := rule.reject(case))}


def _reports(case: Case, profile: Profile) -> tuple[NodeReport, ...]:
    table = case.table
    rows = np.flatnonzero(table.alive[: table.size])
    reasons: dict[int, dict[str, tuple[str, ...]]] = {int(row): {} for row in rows}
    names = narrowed(case, profile)
    for rule in profile.filters:
        verdict = rule.check(case, rows)
        if verdict is None:
            continue
        for row, bits in zip(rows.tolist(), verdict.bits.tolist(), strict=True):
            texts = tuple(dict.fromkeys(reason.text for bit, reason in enumerate(verdict.reasons) if bits >> bit & 1))
            if texts:
                reasons[row][rule.name] = texts
    for row in rows.tolist():
        if names is not None and table.names[row] not in names and not reasons[row]:
            reasons[row]["NodeAffinity"] = ("node(s) didn't satisfy plugin(s) [NodeAffinity]",)
    feasible = [row for row in rows.tolist() if not reasons[row]]
    scores = _scores(case, profile, feasible or rows.tolist())
    reports = [NodeReport(table.names[row], reasons[row], scores.get(row, {})) for row in rows.tolist()]
    return tuple(sorted(reports, key=lambda report: (not report.is_feasible, -report.total, report.node)))


def _scores(case: Case, profile: Profile, rows: list[int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {row: {} for row in rows}
    if not rows:
        return found
    index = np.array(rows, dtype=np.intp)
    for score, weight in profile.scores:
        if score.scope is Scope.CLUSTER and score.applies is not None and not score.applies(case):
            continue
        raw = score.rate(case, index)
        if raw is None:
            continue
        values = raw if score.normalise is None else score.normalise(raw)
        for row, value in zip(rows, values.tolist(), strict=True):
            found[row][score.name] = weight * value
    return found
