"""Whom to evict from one node so that a pod fits there, and what that costs.

All pods of lower priority are taken off in thought; if the pod fits then, they are put back one by one, most important
first and those whose disruption budget is used up before all others, as long as the pod still fits. What cannot go
back are the victims. Nothing is evicted where that would not let the pod in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from reconciler.model import meta, selectors
from reconciler.scheduler.config import Profile
from reconciler.scheduler.filters import node_resources_fit
from reconciler.scheduler.rules import Case
from reconciler.scheduler.table import Held

NO_VICTIMS = "No preemption victims found for incoming pod"
PRIORITY_OFFSET = 2**31  # makes every priority positive, so that more victims never cost less
NOT_STARTED = "9999-12-31T23:59:59Z"

Cost = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Bid:
    """Victims on one row and what they cost, cheaper is smaller; without victims the reason why there is no bid."""

    row: int
    generation: int  # of the table that it was made from
    cost: Cost | None = None
    victims: tuple[Held, ...] = ()
    why_not: tuple[str, ...] = ()


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


def make_bid(case: Case, row: int, room: "Room", budgets: Sequence[Budget]) -> Bid:
    table, priority = case.table, case.shape.priority
    lower = [held for held in table.pods[row].values() if held.shape.priority < priority and not held.nominated]
    lower.sort(key=_importance)
    breaking = _breaking(lower, budgets) if budgets else set()
    try:
        short, victims = _without(lower, breaking, room)
    finally:
        room.restore()
    if not victims:
        return Bid(row, table.generation, why_not=short or (NO_VICTIMS,))
    victims.sort(key=_importance)
    broken = sum(held.key in breaking for held in victims)
    return Bid(row, table.generation, _cost(victims, broken), tuple(victims))


def _without(lower: Sequence[Held], breaking: set[meta.Key], room: "Room") -> tuple[tuple[str, ...], list[Held]]:
    """Why the pod does not fit even without all of `lower`, or else those that it does not fit beside."""
    for held in lower:
        room.take(held)
    short = room.short() if lower else ()
    if short:
        return short, []
    victims: list[Held] = []
    for held in (*(one for one in lower if one.key in breaking), *(one for one in lower if one.key not in breaking)):
        room.give_back(held)
        if room.short():
            room.take(held)
            victims.append(held)
    return (), victims


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


def _importance(held: Held) -> tuple[int, str]:
    """Smaller is more important: the higher priority, then the earlier start; one that has not started is the newest."""
    return -held.shape.priority, meta.status(held.pod).get("startTime") or NOT_STARTED


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
    """Of victims in order of importance."""
    highest, earliest = _importance(victims[0])
    seconds = int("".join(filter(str.isdigit, earliest)))  # a number that grows with time
    return broken, -highest, sum(held.shape.priority + PRIORITY_OFFSET for held in victims), len(victims), -seconds
