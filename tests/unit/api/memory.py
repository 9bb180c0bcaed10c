"""A journal in memory for tests of what sits above it: the contract's semantics, without disk or threads."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from reconciler.store import types


class MemoryJournal:
    def __init__(self) -> None:
        self.revision = 0
        self.oldest_revision = 0
        self.current: dict[str, types.Entry] = {}
        self.changes: list[types.Change] = []
        self.provenances: list[types.Provenance] = []
        self.watches: list[MemoryWatch] = []
        self.full = False

    async def commit(self, operations: Sequence[types.Operation], provenance: types.Provenance) -> tuple[types.Entry, ...]:
        for operation in operations:
            actual = self.current.get(operation.key)
            if operation.expect is not None and operation.expect != (actual.mod_revision if actual else 0):
                raise types.Conflict(operation.key, actual)
            if self.full and isinstance(operation, types.Put):
                raise types.Full("no space left")
        made = []
        for operation in operations:
            if isinstance(operation, types.Check):
                continue
            self.revision += 1
            before = self.current.pop(operation.key, None)
            put = operation if isinstance(operation, types.Put) else None
            entry = types.Entry(
                operation.key,
                put.value if put else None,
                before.create_revision if before else self.revision,
                self.revision,
                before.version + 1 if before else 1,
                obj=put.obj if put else None,
            )
            if put:
                self.current[operation.key] = entry
            self.changes.append(types.Change(entry, before))
            self.provenances.append(provenance)
            made.append(entry)
        for watch in self.watches:
            watch.wake.set()
        return tuple(made)

    async def get(self, key: str, revision: int = 0) -> types.Entry | None:
        return self.current.get(key)

    async def range(self, prefix: str, *, start: str = "", revision: int = 0, limit: int = 0) -> types.Range:
        if revision and revision < self.oldest_revision:
            raise types.Compacted(revision, self.oldest_revision)
        state = dict(self.current)
        if revision:
            state = {}
            for change in self.changes:
                if change.revision <= revision:
                    state.pop(change.entry.key, None)
                    if change.entry.value is not None:
                        state[change.entry.key] = change.entry
        keys = sorted(key for key in state if key.startswith(prefix) and key >= start)
        return types.Range(tuple(state[key] for key in keys), revision or self.revision, count=len(keys))

    def watch(self, prefix: str, revision: int) -> "MemoryWatch":
        if revision < self.oldest_revision:
            raise types.Compacted(revision, self.oldest_revision)
        watch = MemoryWatch(self, prefix, revision)
        self.watches.append(watch)
        return watch


class MemoryWatch:
    def __init__(self, journal: MemoryJournal, prefix: str, revision: int) -> None:
        self.journal, self.prefix, self.revision = journal, prefix, revision
        self.wake = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[types.Batch]:
        while True:
            self.wake.clear()
            journal = self.journal
            if journal.revision > self.revision:
                found = [c for c in journal.changes[self.revision :] if c.entry.key.startswith(self.prefix)]
                self.revision = journal.revision
                yield types.Batch(tuple(found), self.revision)
            else:
                await self.wake.wait()

    def close(self) -> None:
        if self in self.journal.watches:
            self.journal.watches.remove(self)
