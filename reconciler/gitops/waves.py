"""In which order changes are made: what others stand on first, and deleted last.

The order of kinds is in their records (Kind.order): namespaces, definitions, configuration, workloads; what documents
say of their turn (turns.py) counts before that. Within a group everything happens at once. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from reconciler.gitops import turns
from reconciler.gitops.identity import Identity
from reconciler.model import meta, plan
from reconciler.model.roster import Roster
from reconciler.model.view import View

Change = TypeVar("Change", plan.Patch, plan.Delete)

NAMESPACES = "namespaces"


def order(changes: Iterable[Change], roster: Roster, turn: Mapping[Identity, turns.Turn] = {}) -> tuple[tuple[Change, ...], ...]:
    """Groups of changes, each to be finished before the next begins."""
    waves: dict[tuple[turns.Rank, int], list[Change]] = {}
    for change in changes:
        rank = turn.get(Identity(*_place(change)), turns.AT_ONCE).rank
        waves.setdefault((rank, roster[change.kind].order), []).append(change)
    return tuple(tuple(sorted(waves[rank], key=_place)) for rank in sorted(waves))


def backwards(deletes: Mapping[Identity, plan.Delete], view: View, roster: Roster) -> tuple[tuple[plan.Delete, ...], ...]:
    """Groups of deletions: what stands on others, or said that its turn comes later, goes first."""
    said = {one: turns.said(view.get(*one) or meta.EMPTY, one.namespace or "default", roster) for one in deletes}
    return tuple(reversed(order(deletes.values(), roster, turns.deepened(said))))


def stands_on(change: plan.Patch, other: plan.Patch) -> bool:
    """Whether `change` cannot succeed unless `other` did: an object in a new namespace."""
    return other.kind == NAMESPACES and change.namespace == other.name


def _place(change: plan.Patch | plan.Delete) -> tuple[str, str, str]:
    return change.kind, change.namespace, change.name
