"""Preemption: which pods of lower priority to evict, and where, so that a pod fits that no node has room for.

On each node that could help, all pods of lower priority are taken off in thought; if the pod fits then, they are put
back one by one, most important first and those whose disruption budget is used up before all others, as long as the
pod still fits. What cannot go back are the victims. The cheapest node wins: fewest broken budgets, least important
most important victim, smallest sum of priorities, fewest victims, and the one whose most important victims started
last. Nothing is evicted where that would not let the pod in.

A search looks at rows until it has enough bids to choose from (DefaultPreemption's minCandidateNodes) or none are
left, CHECKS_A_TRY at a time, so that nobody waits long for it on large clusters. Bids are kept per shape, and where
only sums matter also from one search to the next but for rows that changed. What wins is looked at once more, for the
cluster goes on changing between the tries of a search.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from reconciler.model import meta, selectors
from reconciler.scheduler.columns import Indices, Mask
from reconciler.scheduler.config import Profile
from reconciler.scheduler.filters import node_resources_fit
from reconciler.scheduler.rules import Case, Scope
from reconciler.scheduler.shape import Shape
from reconciler.scheduler.table import Held

NAME = "DefaultPreemption"
CHECKS_A_TRY = 400  # questions whether the pod would fit
PERCENTAGE, ABSOLUTE = 10, 100  # of the rows in question, bids that are enough to choose from
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
PRIORITY_OFFSET = 2**31  # makes every priority positive, so that more victims never cost less
NOT_STARTED = 10**18  # later than any time
BY_SCHEDULER = "PreemptionByScheduler"

Cost = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Bid:
    """Victims on one row and what they cost, cheaper is smaller; without victims the reason why there is no bid."""

    row: int
    cost: Cost | None = None
    victims: tuple[Held, ...] = ()
    why_not: tuple[str, ...] = ()
    generation: int = 0  # of the table that it was made from


@dataclass(frozen=True, slots=True)
class Budget:
    """One PodDisruptionBudget: how many more pods may go."""

    namespace: str
    selector: selectors.Selector
    allowed: int
    disrupted: frozenset[str]  # pods on their way out, which are counted already

    @classmethod
    def of(cls, budget: meta.Obj) -> "Budget":
        status = meta.status(budget)
        selector = selectors.from_label_selector(meta.spec(budget).get("selector"))
        return cls(
            meta.namespace(budget), selector, int(status.get("disruptionsAllowed") or 0), frozenset(status.get("disruptedPods") or ())
        )

    def covers(self, held: Held) -> bool:
        """An empty selector covers nothing here, as in kube-scheduler, though evictions by the API are held to it."""
        if not self.selector.requirements:
            return False
        return held.shape.namespace == self.namespace and bool(held.shape.labels) and self.selector.matches(held.shape.labels)


def obstacle(shape: Shape, held_on_nominated: Iterable[Held], nominated_is_final: bool) -> str:
    """Why the pod may not preempt now, "" if it may."""
    if not shape.preempts:
        return NEVER
    if not nominated_is_final and any(_is_leaving(held, shape) for held in held_on_nominated):
        return TERMINATING
    return ""


def _is_leaving(held: Held, shape: Shape) -> bool:
    """A victim of an earlier try that has not gone yet."""
    if not held.terminating or held.shape.priority >= shape.priority:
        return False
    return any(
        one.get("type") == "DisruptionTarget" and one.get("status") == "True" and one.get("reason") == BY_SCHEDULER
        for one in meta.status(held.pod).get("conditions") or ()
    )


class Bids:
    """The bids of all rows for one shape, and a search for more."""

    def __init__(self, case: Case, profile: Profile) -> None:
        self._case = case
        self._profile = profile
        self._bids: dict[int, Bid] = {}
        self._known: Mask = np.zeros(0, dtype=np.bool_)  # rows in `_bids`
        self._priced: Mask = np.zeros(0, dtype=np.bool_)  # those whose bid has a cost
        self._heap: list[tuple[Cost, int]] = []
        self._todo: Indices = np.zeros(0, dtype=np.intp)  # rows that the search has still to look at
        self._wanted = 0
        self._found = 0
        self._local = False
        self._generation = 0
        self._facts = -1
        self._last = -1  # the row that was looked at last, after which the next search goes on

    def search(self, rows: Mask, budgets: Sequence[Budget]) -> bool:
        """Look at some of `rows`, beginning a search where none is under way; whether it has come to its end."""
        if not len(self._todo):
            self._begin(rows, budgets)
        left, looked_at = CHECKS_A_TRY, 0
        while looked_at < len(self._todo) and left > 0 and self._found < self._wanted:
            row = self._last = int(self._todo[looked_at])
            looked_at += 1
            left -= (1 if self._local else Rules.COST) * (1 + len(self._case.table.pods[row]))
            self._found += self._make(row, budgets).cost is not None
        self._todo = self._todo[looked_at:] if self._found < self._wanted else self._todo[:0]
        return not len(self._todo)

    def best(self, rows: Mask, budgets: Sequence[Budget]) -> Bid | None:
        """The cheapest bid among `rows` as things are now; None if there is none."""
        passed: list[tuple[Cost, int]] = []
        found: Bid | None = None
        while self._heap and found is None:
            cost, row = self._heap[0]
            bid = self._bids.get(row)
            if bid is None or bid.cost != cost:
                heapq.heappop(self._heap)
            elif not rows[row]:
                passed.append(heapq.heappop(self._heap))
            elif self._is_stale(bid):
                heapq.heappop(self._heap)
                self._make(row, budgets)
            else:
                found = bid
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return found

    def why_not(self, rows: Mask) -> Counter[str]:
        """The reasons of the rows without a bid, and how many rows have each."""
        idle = int(np.count_nonzero(rows & ~self._with_victims(rows)))
        found = Counter({NO_VICTIMS: idle} if idle else {})
        for row in np.flatnonzero(self._with_victims(rows)).tolist():
            bid = self._bids.get(row)
            found.update(bid.why_not if bid is not None else ())
        return found

    def _begin(self, rows: Mask, budgets: Sequence[Budget]) -> None:
        """Which rows to look at: from where the last search ended, without those whose bids still hold."""
        self._local = is_local(self._case, self._profile)
        self._forget_changed(keep=self._local and not budgets)
        new = np.flatnonzero(self._with_victims(rows) & ~self._known)
        start = int(np.searchsorted(new, self._last, side="right"))
        self._todo = np.concatenate((new[start:], new[:start]))
        args = self._profile.arguments.get(NAME, meta.EMPTY)
        share = int(rows.sum()) * int(args.get("minCandidateNodesPercentage", PERCENTAGE)) // 100
        self._wanted = max(share, int(args.get("minCandidateNodesAbsolute", ABSOLUTE)), 1)
        self._found = int(np.count_nonzero(rows & self._priced))

    def _with_victims(self, rows: Mask) -> Mask:
        """Those of `rows` with a pod of lower priority, nominated ones counted."""
        return rows & (self._case.table.lowest_priority[: len(rows)] < self._case.shape.priority)

    def _make(self, row: int, budgets: Sequence[Budget]) -> Bid:
        room = Sums(self._case, row) if self._local else Rules(self._case, self._profile, row)
        found = make_bid(self._case, row, room, budgets)
        bid = self._bids[row] = replace(found, generation=self._case.table.generation)
        self._known[row], self._priced[row] = True, bid.cost is not None
        if bid.cost is not None:
            heapq.heappush(self._heap, (bid.cost, row))
        return bid

    def _is_stale(self, bid: Bid) -> bool:
        table = self._case.table
        if self._facts != table.facts_generation:
            return bid.generation != table.generation
        return bool(table.versions[bid.row] > bid.generation) if self._local else bid.generation != table.generation

    def _forget_changed(self, *, keep: bool) -> None:
        table = self._case.table
        changed = table.changed_since(self._generation) if keep and self._facts == table.facts_generation else None
        self._generation, self._facts = table.generation, table.facts_generation
        if changed is None:
            self._bids.clear()
            self._heap.clear()
            self._known = np.zeros(table.size, dtype=np.bool_)
            self._priced = np.zeros(table.size, dtype=np.bool_)
        else:
            for row in changed:
                self._bids.pop(row, None)
            self._known[changed] = self._priced[changed] = False


def is_local(case: Case, profile: Profile) -> bool:
    """Whether of all rules that read pods only NodeResourcesFit, which goes by sums, has a say for this shape."""
    others = (one for one in profile.filters if one.scope is not Scope.NODE and one.concerns(case.shape))
    return all(one.name == node_resources_fit.NAME or one.check(case, slice(0, 1)) is None for one in others)


def make_bid(case: Case, row: int, room: "Room", budgets: Sequence[Budget]) -> Bid:
    priority = case.shape.priority
    lower = [held for held in case.table.pods[row].values() if held.shape.priority < priority and not held.nominated]
    if not lower:
        return Bid(row, why_not=(NO_VICTIMS,))
    lower.sort(key=_importance)
    for held in lower:
        room.take(held)
    short = room.short()
    if short:
        room.restore()
        return Bid(row, why_not=short)
    breaking = _breaking(lower, budgets)
    victims: list[Held] = []
    broken = 0
    for held in (*(one for one in lower if one.key in breaking), *(one for one in lower if one.key not in breaking)):
        room.give_back(held)
        if room.short():
            room.take(held)
            victims.append(held)
            broken += held.key in breaking
    room.restore()
    victims.sort(key=_importance)
    return Bid(row, _cost(victims, broken), tuple(victims)) if victims else Bid(row, why_not=(NO_VICTIMS,))


class Room(Protocol):
    """One row from which pods are taken in thought."""

    def take(self, held: Held) -> None: ...

    def give_back(self, held: Held) -> None: ...

    def short(self) -> tuple[str, ...]:
        """Why the pod still does not fit; empty when it does."""

    def restore(self) -> None:
        """Everything as it was."""


class Sums:
    """By arithmetic on what the pod asks for, where nothing else matters."""

    def __init__(self, case: Case, row: int) -> None:
        table, args = case.table, case.args(node_resources_fit.NAME)
        self._asked = [
            (name, asked) for name, asked in case.shape.requests.items() if asked > 0 and not node_resources_fit.is_ignored(name, args)
        ]
        indexes = [table.resources[name] for name, _ in self._asked]
        self._left = [int(table.allocatable[index, row] - table.requested[index, row]) for index in indexes]
        self._places = int(table.pods_allowed[row] - table.pod_count[row])

    def take(self, held: Held) -> None:
        self._places += 1
        for index, (name, _) in enumerate(self._asked):
            self._left[index] += held.shape.requests.get(name, 0)

    def give_back(self, held: Held) -> None:
        self._places -= 1
        for index, (name, _) in enumerate(self._asked):
            self._left[index] -= held.shape.requests.get(name, 0)

    def short(self) -> tuple[str, ...]:
        found = [f"Insufficient {name}" for (name, asked), left in zip(self._asked, self._left, strict=True) if asked > left]
        return ("Too many pods", *found) if self._places < 1 else tuple(found)

    def restore(self) -> None:
        return


class Rules:
    """By asking every filter, with the pods really lifted from the table for the moment."""

    COST = 20  # of one question, in those that sums answer

    def __init__(self, case: Case, profile: Profile, row: int) -> None:
        self._case = case
        self._filters = [rule for rule in profile.filters if rule.concerns(case.shape)]
        self._rows = slice(row, row + 1)
        self._gone: dict[meta.Key, Held] = {}

    def take(self, held: Held) -> None:
        self._gone[held.key] = held
        self._case.table.lift((held,))

    def give_back(self, held: Held) -> None:
        del self._gone[held.key]
        self._case.table.put_back((held,))

    def short(self) -> tuple[str, ...]:
        for rule in self._filters:
            verdict = rule.check(self._case, self._rows)
            if verdict is not None and verdict.bits[0]:
                bits = int(verdict.bits[0])
                return tuple(dict.fromkeys(reason.text for bit, reason in enumerate(verdict.reasons) if bits >> bit & 1))
        return ()

    def restore(self) -> None:
        self._case.table.put_back(self._gone.values())
        self._gone.clear()  # the row has not changed, though its log says so


def _importance(held: Held) -> tuple[int, int]:
    """Smaller is more important: the higher priority, then the earlier start; one that has not started is the newest."""
    return -held.shape.priority, _started(held)


def _started(held: Held) -> int:
    """When the pod started, as a number that grows with time."""
    digits = "".join(filter(str.isdigit, meta.status(held.pod).get("startTime") or ""))
    return int(digits) if digits else NOT_STARTED


def _breaking(lower: Iterable[Held], budgets: Sequence[Budget]) -> set[meta.Key]:
    """Pods whose eviction would take a budget below what it allows, counted in order of importance."""
    left = [budget.allowed for budget in budgets]
    found = set()
    for held in lower:
        for index, budget in enumerate(budgets):
            if budget.covers(held) and held.key[1] not in budget.disrupted:
                left[index] -= 1
                if left[index] < 0:
                    found.add(held.key)
    return found


def _cost(victims: Sequence[Held], broken: int) -> Cost:
    highest = victims[0].shape.priority
    earliest = min(_started(held) for held in victims if held.shape.priority == highest)
    return broken, highest, sum(held.shape.priority + PRIORITY_OFFSET for held in victims), len(victims), -earliest
