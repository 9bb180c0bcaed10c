"""The journal in memory as tests of what sits above it want it: it needs no clock, remembers who wrote, and can be full."""

from collections.abc import Sequence

from reconciler.kit import clock
from reconciler.store import memory, types


class MemoryJournal(memory.MemoryJournal):
    """`full` refuses writes as a full disk does; `provenances` are those of all writes, oldest first."""

    def __init__(self) -> None:
        super().__init__(clock.VirtualClock())
        self.provenances: list[types.Provenance] = []
        self.full = False

    async def commit(self, operations: Sequence[types.Operation], provenance: types.Provenance) -> tuple[types.Entry, ...]:
        if self.full and any(isinstance(operation, types.Put) for operation in operations):
            raise types.Full("no space left")
        made = await super().commit(operations, provenance)
        self.provenances += [provenance for _ in made]
        return made
