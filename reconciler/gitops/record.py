"""A Sync's way with its history: records each change, knows what became of it, and goes back.

Going back means that an earlier revision's documents stand for what the folder says, until the folder says something
else: so a commit that was rolled back is remembered, and is not tried again, also after a restart.
"""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence

from reconciler.gitops import history, load
from reconciler.gitops.identity import Identity

Files = Mapping[str, load.File]


class Record:
    """The history of the Sync `name`; with no History nothing is recorded and there is no way back."""

    def __init__(self, name: str, kept: history.History | None) -> None:
        self._name = name
        self._kept = kept
        self._held: dict[Identity, tuple[str, str]] | None = None  # what is recorded as applied
        self._pin: history.Pin | None = None
        self._instead: Files = {}
        self._last: history.Entry | None = None
        self.pending: set[Identity] = set()  # changed since the last entry

    async def start(self) -> None:
        if self._kept is None:
            return
        self._held = await asyncio.to_thread(self._kept.current, self._name)
        entries = await asyncio.to_thread(self._kept.entries, self._name)
        self._last = entries[0] if entries else None
        self._pin = await asyncio.to_thread(self._kept.pinned, self._name)
        if self._pin is not None:
            await self._load(self._pin)

    @property
    def is_kept(self) -> bool:
        return self._held is not None

    @property
    def rolled_back(self) -> int:
        """The revision that is applied instead of what the folder says, 0 for none."""
        return self._pin.number if self._pin is not None else 0

    async def files(self, found: Files) -> Files:
        """What counts, given what the folder says."""
        if self._pin is None or self._kept is None:
            return found
        if history.fingerprint(found) == self._pin.fingerprint:
            return self._instead
        self._pin, self._instead = None, {}
        await asyncio.to_thread(self._kept.pin, self._name, None)
        return found

    async def add(self, documents: Mapping[Identity, load.Document], entry: history.Entry) -> None:
        """Record what is pending, if anything of it really is another than before."""
        among, self.pending = self.pending, set()
        if self._kept is None or self._held is None:
            return
        found = list(history.changed(self._held, documents, among))
        if not found:
            return
        changed = {identity: documents[identity] for identity in found if identity in documents}
        gone = [identity for identity in found if identity not in documents]
        self._last = await asyncio.to_thread(self._kept.record, self._name, entry, changed, gone)
        self._held.update({identity: (document.digest, document.home) for identity, document in changed.items()})
        for identity in gone:
            del self._held[identity]

    async def conclude(self, outcome: str, message: str, changes: Sequence[str]) -> bool:
        """Note how the last revision stands; True where it has just failed."""
        last = self._last
        if last is None or self._kept is None:
            return False
        more = (*last.changes, *(change for change in changes if change not in last.changes))[: history.MAX_CHANGES]
        new = dataclasses.replace(last, outcome=outcome, message=message, changes=more)
        if new == last:
            return False
        self._last = new
        await asyncio.to_thread(self._kept.conclude, self._name, new)
        return outcome == "Failed" and last.outcome != "Failed"

    async def entries(self) -> list[history.Entry]:
        return await asyncio.to_thread(self._kept.entries, self._name) if self._kept is not None else []

    async def good(self) -> int:
        """The last revision that was healthy, before the present one; 0 where there is none."""
        entries = await self.entries()
        return next((entry.number for entry in entries[1:] if entry.outcome == "Healthy"), 0)

    async def back(self, number: int, found: Files) -> None:
        """Let a revision stand for what the folder says now. Raises KeyError for one that is not kept."""
        if self._kept is None:
            raise KeyError(number)
        pin = history.Pin(number, history.fingerprint(found))
        await self._load(pin)
        self._pin = pin
        await asyncio.to_thread(self._kept.pin, self._name, pin)

    async def _load(self, pin: history.Pin) -> None:
        assert self._kept is not None
        self._instead = await asyncio.to_thread(self._kept.files, self._name, pin.number)
