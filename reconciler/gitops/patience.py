"""When something that fails, or that somebody keeps undoing, may be tried again.

Delays double from a second to five minutes; a while of quiet, or a new document, makes all be forgotten. Pure but for
what it remembers; times are monotonic seconds and are handed in.
"""

from dataclasses import dataclass

from reconciler.gitops.identity import Identity

FIRST_SECONDS = 1.0
LAST_SECONDS = 300.0
FORGET_SECONDS = 600.0
FREE = 2  # writes in a row that cost no delay: the apply itself and one correction
NEVER = float("inf")


@dataclass(slots=True)
class _Record:
    failures: int = 0
    writes: int = 0
    last: float = 0.0
    until: float = 0.0


class Patience:
    """Holds identities back."""

    def __init__(self) -> None:
        self._records: dict[Identity, _Record] = {}
        self._held: set[Identity] = set()

    def failed(self, identity: Identity, now: float) -> None:
        """Try again by itself after a delay."""
        record = self._record(identity, now)
        record.failures += 1
        self._hold(identity, record, now + _delay_seconds(record.failures))

    def wrote(self, identity: Identity, now: float) -> None:
        """It worked; if it has been written often lately, the next time has to wait."""
        record = self._record(identity, now)
        record.failures = 0
        record.writes += 1
        if record.writes > FREE:
            self._hold(identity, record, now + _delay_seconds(record.writes - FREE))

    def forget(self, identity: Identity) -> None:
        self._records.pop(identity, None)
        self._held.discard(identity)

    def holds(self, identity: Identity) -> bool:
        return identity in self._held

    def release(self, now: float) -> set[Identity]:
        """Identities whose delay has passed; each is to be looked at again."""
        due = {identity for identity in self._held if self._records[identity].until <= now}
        self._held -= due
        return due

    def next_deadline(self) -> float:
        return min((self._records[identity].until for identity in self._held), default=NEVER)

    def _record(self, identity: Identity, now: float) -> _Record:
        record = self._records.get(identity)
        if record is None or now - record.last > FORGET_SECONDS:
            record = self._records[identity] = _Record()
        record.last = now
        return record

    def _hold(self, identity: Identity, record: _Record, until: float) -> None:
        record.until = until
        self._held.add(identity)


def _delay_seconds(attempt: int) -> float:
    return min(FIRST_SECONDS * float(2 ** (attempt - 1)), LAST_SECONDS)
