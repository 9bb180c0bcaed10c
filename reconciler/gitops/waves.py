"""In which order changes are made: what others stand on first, and deleted last.

The order of kinds is in their records (Kind.order): namespaces, definitions, configuration, workloads. Within a wave
everything happens at once. Pure.
"""

from collections.abc import Iterable
from typing import TypeVar

from reconciler.model import plan
from reconciler.model.roster import Roster

Change = TypeVar("Change", plan.Patch, plan.Delete)

NAMESPACES = "namespaces"


def order(changes: Iterable[Change], roster: Roster) -> tuple[tuple[Change, ...], ...]:
    """Groups of changes, each to be finished before the next begins."""
    waves: dict[int, list[Change]] = {}
    for change in changes:
        waves.setdefault(roster[change.kind].order, []).append(change)
    return tuple(tuple(sorted(waves[rank], key=_place)) for rank in sorted(waves))


def backwards(changes: Iterable[Change], roster: Roster) -> tuple[tuple[Change, ...], ...]:
    """The same for deletions: what stands on others goes first."""
    return tuple(reversed(order(changes, roster)))


def stands_on(change: plan.Patch, other: plan.Patch) -> bool:
    """Whether `change` cannot succeed unless `other` did: an object in a new namespace."""
    return other.kind == NAMESPACES and change.namespace == other.name


def _place(change: plan.Patch | plan.Delete) -> tuple[str, str, str]:
    return change.kind, change.namespace, change.name
