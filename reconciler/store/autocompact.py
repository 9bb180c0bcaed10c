"""When to forget history: a policy, off unless somebody calls `check` from time to time.

History stays `keep_seconds` for time travel and as long as it is small enough; nothing is written for less than
`worth_bytes`, so that an idle machine stays idle. Ages are monotonic and start at boot: a wall clock that jumps forgets
nothing, and after a restart old history counts as new.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from reconciler.kit.clock import Clock
from reconciler.store.types import Full

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    keep_seconds: float = 86_400.0
    keep_bytes: int = 64 << 20  # above it, the older half of what is kept goes
    worth_bytes: int = 1 << 20
    check_seconds: float = 300.0


class Compactable(Protocol):
    """The part of a journal that this needs."""

    @property
    def revision(self) -> int: ...

    @property
    def history_bytes(self) -> int: ...

    async def compact(self, revision: int) -> None: ...


Sample = tuple[float, int]  # monotonic seconds, the newest revision then


def due(samples: Sequence[Sample], now: float, history_bytes: int, policy: Policy) -> int:
    """The revision to compact to, 0 for none. The last two samples are always kept: who reads in pages is not cut off."""
    if history_bytes < policy.worth_bytes or len(samples) < 3:
        return 0
    old = [revision for taken, revision in samples[:-2] if taken <= now - policy.keep_seconds]
    if history_bytes > policy.keep_bytes:
        old.append(samples[max(0, len(samples) // 2 - 1)][1])
    return max(old, default=0)


class Autocompact:
    """Compacts `journal` by `policy`; somebody calls `check` every `policy.check_seconds`."""

    def __init__(self, journal: Compactable, clock: Clock, policy: Policy = Policy()) -> None:
        self._journal = journal
        self._clock = clock
        self._policy = policy
        self._samples: deque[Sample] = deque([(clock.monotonic(), journal.revision)])

    async def check(self) -> None:
        """Compact if that is due."""
        now = self._clock.monotonic()
        samples = self._samples
        samples.append((now, self._journal.revision))
        target = due(tuple(samples), now, self._journal.history_bytes, self._policy)
        if target:
            try:
                await self._journal.compact(target)
            except Full as error:
                log.warning("compaction found no space, trying again later", extra={"facts": {"error": error}})
        while len(samples) > 1 and (samples[0][1] <= target or samples[1][0] <= now - self._policy.keep_seconds):
            samples.popleft()
