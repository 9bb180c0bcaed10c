"""What every filter and score says of every node for one pod, and where pods would go: answers without writing.

`table_of` draws up a table from any view (the cache, a fork of it, an imagined cluster); `explain` and `what_if` work
on it with the very rules that the scheduler uses. Rules are asked about all nodes at once, but only the best
MAX_NODES are told of one by one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from reconciler.model import meta, view
from reconciler.model.view import View
from reconciler.placement import pods as pod_facts
from reconciler.scheduler import diagnosis, rules
from reconciler.scheduler import plan as decisions
from reconciler.scheduler.around import Around
from reconciler.scheduler.columns import Ints, Mask, Rows
from reconciler.scheduler.config import Profile, default_profile
from reconciler.scheduler.rules import Case, Verdict
from reconciler.scheduler.table import Table

MAX_NODES = 50


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

    def __str__(self) -> str:
        scores = f"score {self.total} ({', '.join(f'{name} {score}' for name, score in sorted(self.scores.items()))})"
        if self.is_feasible:
            return f"{self.node}: fits, {scores}"
        reasons = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in self.reasons.items())
        return f"{self.node}: {reasons}" + (f"; it would have the {scores}" if self.scores else "")


@dataclass(frozen=True, slots=True)
class Explanation:
    """`rejections` turn the pod away before any node is looked at: filter -> message."""

    profile: str
    rejections: Mapping[str, str]
    nodes: tuple[NodeReport, ...]  # the best first, at most MAX_NODES
    others: int  # nodes that are not among them
    message: str  # why no node does, as the pod's condition says it; "" if one does

    def lines(self) -> list[str]:
        """As text, for `reconciler explain pod/NAME`."""
        found = [self.message] if self.message else []
        found += [f"{name} turns it away: {message}" for name, message in self.rejections.items()]
        found += map(str, self.nodes)
        return [*found, f"and {self.others} more nodes"] if self.others else found


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
        return _explained(Case(table, Around(around), table.shapes.of(pod), profile.arguments), profile)
    finally:
        table.put_back(here)


def what_if(around: View, pods: Iterable[meta.Obj], profiles: Mapping[str, Profile] | None = None) -> list[decisions.Decision]:
    """What the scheduler would decide for `pods`, in its own order, on the cluster of `around`; nothing is written."""
    known = profiles or {pod_facts.DEFAULT_SCHEDULER: default_profile()}
    planner = decisions.Planner(table_of(around), Around(around), known)
    ordered = sorted(pods, key=lambda pod: -pod_facts.priority(pod))
    return [planner.place(pod) for pod in ordered]


def _explained(case: Case, profile: Profile) -> Explanation:
    table = case.table
    rejections = {rule.name: message for rule in profile.filters if rule.reject is not None and (message := rule.reject(case))}
    verdicts = _verdicts(case, profile)
    feasible = table.alive[: table.size].copy()
    for _, verdict in verdicts:
        feasible &= verdict.bits == 0
    rows = np.flatnonzero(feasible if feasible.any() else table.alive[: table.size])
    scores = _scores(case, profile, rows)
    total = np.zeros(table.size, dtype=np.int64)
    total[rows] = sum(scores.values(), np.zeros(len(rows), dtype=np.int64))
    shown = _best(table, feasible, total)
    place = {int(row): index for index, row in enumerate(rows)}
    reports = tuple(
        NodeReport(
            table.names[row],
            {name: texts for name, verdict in verdicts if (texts := _texts(verdict, row))},
            {name: int(values[place[row]]) for name, values in scores.items()} if row in place else {},
        )
        for row in shown
    )
    message = "" if feasible.any() and not rejections else diagnosis.diagnose(case, profile).message
    return Explanation(profile.name, rejections, reports, table.live_nodes - len(reports), message)


def _best(table: Table, feasible: Mask, total: Ints) -> list[int]:
    """The rows that are told of: feasible ones first, each kind by score, equals by name."""
    rows = np.flatnonzero(table.alive[: table.size])
    order = rows[np.lexsort((-total[rows], ~feasible[rows]))][: MAX_NODES + 1].tolist()
    return sorted(order, key=lambda row: (not feasible[row], -total[row], table.names[row]))[:MAX_NODES]


def _verdicts(case: Case, profile: Profile) -> list[tuple[str, Verdict]]:
    """What each filter says of all rows; of nodes that a filter does not care to look at, that."""
    table = case.table
    found = [(rule.name, verdict) for rule in profile.filters if (verdict := rule.check(case, table.everything)) is not None]
    for rule in profile.filters:
        names = rule.narrow(case) if rule.narrow is not None else None
        if names is not None and rule.name not in [name for name, verdict in found if verdict.bits.any()]:
            outside = np.array([name not in names for name in table.names], dtype=np.bool_)
            found.append((rule.name, rules.verdict(outside, diagnosis.not_looked_at((rule.name,)))))
    return found


def _texts(verdict: Verdict, row: int) -> tuple[str, ...]:
    bits = int(verdict.bits[row])
    return tuple(dict.fromkeys(reason.text for bit, reason in enumerate(verdict.reasons) if bits >> bit & 1))


def _scores(case: Case, profile: Profile, rows: Rows) -> dict[str, Ints]:
    """Each score's points for `rows`, normalised over them and weighted."""
    found: dict[str, Ints] = {}
    for score, weight in profile.scores:
        if score.applies is not None and not score.applies(case):
            continue
        raw = score.rate(case, rows)
        if raw is not None:
            found[score.name] = weight * (raw if score.normalise is None else score.normalise(raw))
    return found
