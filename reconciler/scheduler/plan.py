"""The scheduler's decision for one pod at a time: a node, or why none, and whom to evict.

`Planner.try_place` counts a placed pod on its node at once (the table assumes it), so that the next decision sees it;
whoever carries decisions out tells the table what became of them. Given the same table, view and order of pods the
decisions are the same: of equal nodes one is taken by a lot that follows from a fixed seed, the node's name and the
number of its pods. It writes nothing and reads no clock; actions.py turns decisions into actions.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reconciler.model import meta, view
from reconciler.model.view import View
from reconciler.placement import pods as pod_facts
from reconciler.scheduler import diagnosis, preempt, victims, volumes
from reconciler.scheduler.columns import Mask
from reconciler.scheduler.config import Profile
from reconciler.scheduler.rules import Case
from reconciler.scheduler.shape import Shape
from reconciler.scheduler.standing import Standing
from reconciler.scheduler.table import Held, Table

MAX_STANDINGS = 64  # shapes whose verdicts are kept between pods
SEED = 1

BUDGETS = "poddisruptionbudgets.policy"
NO_CLAIMS = "no new claims to deallocate"  # what upstream's DynamicResources adds when no resource claims are in play


@dataclass(frozen=True, slots=True)
class Placed:
    """The pod goes to `node`; the volumes of `choice` have to be bound or provisioned before."""

    pod: meta.Obj
    node: str
    choice: volumes.Choice = volumes.NOTHING


@dataclass(frozen=True, slots=True)
class Refused:
    """No node does now. `filters` are those whose reasons a change may take away.

    `nominated` is the node that `victims` make room on; "" takes an earlier nomination back, None leaves it.
    `displaced` are pods of lower priority that had been nominated for that node and are no longer.
    """

    pod: meta.Obj
    message: str
    filters: frozenset[str]
    nominated: str | None = ""
    victims: tuple[meta.Obj, ...] = ()
    displaced: tuple[meta.Obj, ...] = ()
    reason: str = "Unschedulable"  # of the pod's condition


@dataclass(frozen=True, slots=True)
class Searching:
    """No node does now, and whom to evict is not found out yet: try again, when others have had their turn."""

    pod: meta.Obj


Decision = Placed | Refused


class Planner:
    def __init__(self, table: Table, around: View, profiles: Mapping[str, Profile], seed: int = SEED) -> None:
        self.table = table
        self.view = around
        self.profiles = profiles
        self._seed = seed
        self._standings: OrderedDict[tuple[int, str], tuple[Standing, preempt.Bids]] = OrderedDict()

    def place(self, pod: meta.Obj, shape: Shape | None = None) -> Decision:
        """A decision, however many tries it takes. Raises KeyError if no profile has the pod's schedulerName."""
        while True:
            decision = self.try_place(pod, shape)
            if not isinstance(decision, Searching):
                return decision

    def try_place(self, pod: meta.Obj, shape: Shape | None = None) -> Decision | Searching:
        """One try, which takes a few milliseconds at most; `shape` is the pod's, where the caller knows it."""
        key = meta.key(pod)
        shape = shape or self.table.shapes.of(pod)
        profile = self.profiles[shape.scheduler_name]
        nomination = self.table.nominations.get(key)
        if nomination is not None:
            self.table.forget(key)
        less = self.table.nominated_below(shape.priority)  # they do not keep room against this one
        self.table.lift(less)
        try:
            decision = self._decide(pod, shape, profile, nomination)
        finally:
            self.table.put_back(less)
        return self._displace(decision, less) if less and isinstance(decision, Refused) and decision.nominated else decision

    def _decide(self, pod: meta.Obj, shape: Shape, profile: Profile, nomination: Held | None) -> Decision | Searching:
        standing, bids = self._standing(shape, profile)
        if not _rejected(standing.case, profile):
            row = self._choose(standing, shape, nomination.node if nomination is not None else "")
            if row is not None:
                placed = self._assume(pod, row, standing.case)
                standing.expect(row)
                return placed
        return self._refuse(pod, standing.case, profile, bids, nomination)

    def _assume(self, pod: meta.Obj, row: int, case: Case) -> Placed:
        node = self.table.names[row]
        choice = volumes.NOTHING
        if case.shape.claims:
            delayed = volumes.claims_of(case).delayed
            choice = volumes.Search(case, delayed).choose(row) or volumes.NOTHING
            for volume, claim in choice.bindings:
                self.table.assumed_volumes[meta.name(volume)] = meta.key(claim)
            for claim in choice.provisions:
                self.table.assumed_claims[meta.key(claim)] = node
        self.table.assume(pod, case.shape, node)
        return Placed(pod, node, choice)

    def take_back(self, placed: Placed) -> None:
        """The pod did not get to its node after all."""
        self.table.forget(meta.key(placed.pod))
        for volume, _ in placed.choice.bindings:
            self.table.assumed_volumes.pop(meta.name(volume), None)
        for claim in placed.choice.provisions:
            self.table.assumed_claims.pop(meta.key(claim), None)

    def _displace(self, refused: Refused, less: Sequence[Held]) -> Refused:
        """Take back the nominations of lower rank on the node that `refused` was nominated for."""
        gone = [held for held in less if held.node == refused.nominated]
        for held in gone:
            self.table.forget(held.key)
        return replace(refused, displaced=tuple(held.pod for held in gone))

    def _standing(self, shape: Shape, profile: Profile) -> tuple[Standing, preempt.Bids]:
        key = (id(shape), profile.name)
        kept = self._standings.get(key)
        if kept is None or kept[0].case.shape is not shape:
            case = Case(self.table, self.view, shape, profile.arguments)
            kept = self._standings[key] = (Standing(case, profile, self._seed), preempt.Bids(case, profile))
            if len(self._standings) > MAX_STANDINGS:
                self._standings.popitem(last=False)
        else:
            self._standings.move_to_end(key)
        return kept

    def _choose(self, standing: Standing, shape: Shape, nominated: str) -> int | None:
        """The best row; the one that the pod was nominated for if that is feasible."""
        among = self._without_nominations(standing, shape)
        standing.refresh()
        row = self.table.row_of.get(nominated)
        if row is not None and standing.feasible()[row] and (among is None or among[row]):
            return row
        return standing.choose(among)

    def _without_nominations(self, standing: Standing, shape: Shape) -> Mask | None:
        """Rows that are feasible even if no nominated pod arrives; None where their arrival could not help."""
        if not shape.names_pods or not self.table.nominations:
            return None
        arriving = [held for held in self.table.nominations.values() if held.row >= 0]
        self.table.lift(arriving)
        try:
            standing.refresh()
            return standing.feasible().copy()
        finally:
            self.table.put_back(arriving)

    def _refuse(self, pod: meta.Obj, case: Case, profile: Profile, bids: preempt.Bids, nomination: Held | None) -> Refused | Searching:
        found = diagnosis.diagnose(case, profile)
        if not found.nodes:
            return Refused(pod, found.message, found.filters)
        if found.rejection:
            return Refused(pod, f"{found.message} not found", found.filters)  # as upstream, whose PostFilter lacks its state then
        if not profile.preempts:
            return Refused(pod, f"{found.message} {NO_CLAIMS}", found.filters)
        nominated = nomination.node if nomination is not None else pod_facts.nominated_node(pod)
        obstacle = self._obstacle(case.shape, nominated, found)
        if obstacle:
            if nomination is not None and obstacle == preempt.TERMINATING:
                self.table.nominate(pod, case.shape, nomination.node)
            return Refused(pod, _with_preemption(found.message, obstacle), found.filters, nominated=None)
        assert found.retriable is not None
        bid = None
        if found.retriable.any():
            budgets = self._budgets()
            if not bids.search(found.retriable, budgets):
                if nomination is not None:
                    self.table.nominate(pod, case.shape, nomination.node)
                return Searching(pod)
            bid = bids.best(found.retriable, budgets)
        if bid is None:
            return Refused(pod, _with_preemption(found.message, _no_candidates(found, bids)), found.filters)
        node = self.table.names[bid.row]
        self.table.nominate(pod, case.shape, node)
        return Refused(pod, found.message, found.filters, nominated=node, victims=tuple(held.pod for held in bid.victims))

    def _obstacle(self, shape: Shape, nominated: str, found: diagnosis.Diagnosis) -> str:
        row = self.table.row_of.get(nominated)
        if row is None or found.retriable is None:
            return preempt.obstacle(shape, (), nominated_is_final=True)
        return preempt.obstacle(shape, self.table.pods[row].values(), nominated_is_final=not found.retriable[row])

    def _budgets(self) -> Sequence[victims.Budget]:
        return [
            victims.Budget.of(budget) for namespace in self.table.namespaces for budget in self.view.by(BUDGETS, view.NAMESPACE, namespace)
        ]


def _rejected(case: Case, profile: Profile) -> bool:
    return any(rule.reject is not None and rule.reject(case) for rule in profile.filters)


def _no_candidates(found: diagnosis.Diagnosis, bids: preempt.Bids) -> str:
    """The outcome of a search for victims that found none, in the words of an unplaceable pod."""
    assert found.retriable is not None
    helpful = int(np.count_nonzero(found.retriable))
    counts = bids.why_not(found.retriable) if helpful else Counter[str]()
    hopeless = found.nodes - helpful
    if hopeless:
        counts[preempt.NOT_HELPFUL] += hopeless
    return diagnosis.unavailable(found.nodes, counts.items())


def _with_preemption(message: str, outcome: str) -> str:
    return f"{message} {NO_CLAIMS}, preemption: {outcome}"


def failed(pod: meta.Obj, message: str) -> Refused:
    """The attempt ended in an error, which says nothing of the nodes."""
    return Refused(pod, message, frozenset(), nominated=None, reason="SchedulerError")
