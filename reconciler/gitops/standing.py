"""How the objects of a Sync stand: which are not as they should be, and since when anything was changed.

Kept up to date object by object, so asking costs nothing however many there are. Tells what holds up a wave: whatever
is not healthy in the waves before it.
"""

from collections.abc import Iterable, Sequence

from reconciler.gitops import health, sync
from reconciler.gitops.identity import Identity, title
from reconciler.gitops.wanted import Wanted
from reconciler.model.kind import Health
from reconciler.model.roster import Roster
from reconciler.model.view import View

DONE = ("Healthy", "Suspended")


class Standing:
    def __init__(self) -> None:
        self._faults: dict[Identity, Health] = {}  # of what is not healthy; a missing object is Progressing
        self._suspended: set[Identity] = set()

    def update(self, identity: Identity, view: View, roster: Roster, rules: Sequence[sync.HealthRule]) -> bool:
        """Look at one object again: whether it stands otherwise than before."""
        kind = roster.get(identity.kind)
        live = view.get(*identity) if kind is not None else None
        found = health.of(kind, live, rules) if kind is not None and live is not None else Health("Progressing", "does not exist yet")
        before = self._faults.pop(identity, None)
        self._suspended.discard(identity)
        if found.state == "Suspended":
            self._suspended.add(identity)
        if found.state not in DONE:
            self._faults[identity] = found
        return self._faults.get(identity) != before

    def forget(self, identities: Iterable[Identity]) -> None:
        for identity in identities:
            self._faults.pop(identity, None)
            self._suspended.discard(identity)

    @property
    def is_healthy(self) -> bool:
        return not self._faults

    @property
    def worst(self) -> str:
        """In Argo CD's words."""
        states = {found.state for found in self._faults.values()} | ({"Suspended"} if self._suspended else set())
        return next((one for one in ("Degraded", "Progressing", "Suspended", "Unknown") if one in states), "Healthy")

    def faults(self, roster: Roster) -> list[str]:
        """What is not healthy, the worst first: "Deployment default/web: 1 of 3 replicas are ready"."""
        ranked = sorted(self._faults.items(), key=lambda item: (item[1].state != "Degraded", item[0]))
        return [f"{title(roster, identity)}: {found.message or found.state}" for identity, found in ranked]

    def earlier(self, wave: int, wanted: Wanted, open_: Iterable[Identity]) -> Identity | None:
        """An object of an earlier wave that is not healthy, or not even applied (`open_`); None where the way is free."""
        if not wanted.later:
            return None
        found = (one for group in (self._faults, open_) for one in group if wanted.turn(one).wave < wave)
        return next((one for one in found if one in wanted.documents), None)

    def is_done(self, identity: Identity) -> bool:
        """Whether an object that `update` was told of is as it should be."""
        return identity not in self._faults
