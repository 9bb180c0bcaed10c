"""Multi-version state in memory: what every key is now, and the recent changes that led there.

Pure. `State` is what readers see; `Draft` lays the writes that are numbered but not acknowledged over it, so that
conflicts are found against them while nobody can read them. A past revision is the present with the first
later change of each key undone, which is why no per-key history is kept.

Values that every write makes are named tuples, which cost a third of a frozen dataclass.

Invariants: revisions only grow; `State` answers every revision from `floor` to `revision`; a key is in `keys`
exactly when it is in `current`. Not here: durability, provenance, watchers.
"""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Generic, NamedTuple, TypeVar

from reconciler.store.types import (
    MAX_OPERATIONS,
    MAX_VALUE_BYTES,
    Change,
    Conflict,
    Durability,
    Entry,
    Operation,
    Put,
    Range,
    Remove,
)

WINDOW_CHANGES = 8_192  # recent changes kept for watchers and for ranges in the past
WINDOW_BYTES = 16 << 20  # of values in them
LAST = "\U0010ffff"  # sorts after every character that a key has

Owner = TypeVar("Owner")


class Live(NamedTuple):
    """A key that exists."""

    entry: Entry
    spec_revision: int  # that last changed the spec, for provenance
    on_disk: bool  # some durable write of it exists, so its removal must be durable too


class Step(NamedTuple):
    """One write, numbered: `live` is the key after it, None once removed."""

    change: Change
    live: Live | None
    durable: bool


Lookup = Callable[[str], Live | None]


def validate(operations: Sequence[Operation]) -> None:
    """Raises ValueError for what no journal takes."""
    if len(operations) > MAX_OPERATIONS:
        raise ValueError(f"{len(operations)} operations in one transaction, at most {MAX_OPERATIONS} are possible")
    if len(operations) > 1 and len({operation.key for operation in operations}) < len(operations):
        raise ValueError("a key appears twice in one transaction")
    size = 0
    for operation in operations:
        if not operation.key:
            raise ValueError("a key must not be empty")
        if isinstance(operation, Put):
            size += len(operation.value)
    if size > MAX_VALUE_BYTES:
        raise ValueError(f"{operations[0].key} and what is written with it have {size} bytes, at most {MAX_VALUE_BYTES} are possible")


def conflict(operations: Sequence[Operation], lookup: Lookup) -> Conflict | None:
    """The first expectation that does not hold."""
    for operation in operations:
        if operation.expect is not None:
            live = lookup(operation.key)
            if operation.expect != (live.entry.mod_revision if live else 0):
                return Conflict(operation.key, live.entry if live else None)
    return None


def writes(operations: Sequence[Operation], lookup: Lookup) -> tuple[Put | Remove, ...]:
    """The operations that take a revision: not a Check, nor the removal of nothing."""
    return tuple([op for op in operations if isinstance(op, Put) or (isinstance(op, Remove) and lookup(op.key) is not None)])


def steps(operations: Sequence[Put | Remove], revision: int, lookup: Lookup) -> tuple[Step, ...]:
    """`operations` (from `writes`) numbered from `revision` on. One durable put makes the whole transaction durable."""
    durable = False
    for operation in operations:
        durable = durable or (isinstance(operation, Put) and operation.durability is Durability.DURABLE)
    made = []
    for operation in operations:
        made.append(_step(operation, revision, lookup(operation.key), durable))
        revision += 1
    return tuple(made)


def _step(operation: Put | Remove, revision: int, old: Live | None, durable: bool) -> Step:
    if isinstance(operation, Remove):
        gone = Entry(operation.key, None, 0, revision, 0)
        return Step(Change(gone, old.entry if old else None), None, old is not None and old.on_disk)
    if old is None:
        entry = Entry(operation.key, operation.value, revision, revision, 1, operation.lease, operation.obj)
        return Step(Change(entry, None), Live(entry, revision, durable), durable)
    previous, spec_revision, on_disk = old
    _, _, created, _, version, _, _ = previous
    entry = Entry(operation.key, operation.value, created, revision, version + 1, operation.lease, operation.obj)
    live = Live(entry, revision if operation.spec_changed else spec_revision, durable or on_disk)
    return Step(Change(entry, previous), live, durable)


class State:
    """What is visible."""

    def __init__(self, lives: Iterable[Live], revision: int) -> None:
        self.current: dict[str, Live] = {live.entry.key: live for live in lives}
        self.keys: list[str] = sorted(self.current)
        self.revision = revision
        self.floor = revision  # the oldest revision that the window can answer
        self._window: list[Change] = []
        self._window_bytes = 0

    def apply(self, step: Step) -> None:
        """Make `step` visible."""
        change, live, _ = step
        entry, previous = change
        key = entry.key
        if live is None:
            del self.current[key]
            del self.keys[bisect.bisect_left(self.keys, key)]
        else:
            self.current[key] = live
            self._window_bytes += len(live.entry.value or b"")
            if previous is None:
                bisect.insort(self.keys, key)
        self.revision = entry.mod_revision
        self._window.append(change)
        while len(self._window) > WINDOW_CHANGES or self._window_bytes > WINDOW_BYTES:
            self.forget(self._window[(len(self._window) - 1) // 2].revision)

    def forget(self, revision: int) -> None:
        """Drop the changes up to `revision`, from where on the window answers."""
        del self._window[: self._position(revision)]
        self._window_bytes = sum(len(change.entry.value or b"") for change in self._window)
        self.floor = max(self.floor, revision)

    def changes(self, prefix: str, revision: int) -> tuple[Change, ...]:
        """Those above `revision`, which is not below `floor`."""
        return tuple(change for change in self._window[self._position(revision) :] if change.entry.key.startswith(prefix))

    def get(self, key: str, revision: int) -> Entry | None:
        """The key at `revision`, which lies between `floor` and now."""
        past = self._undone(revision, key, key)
        if key in past:
            return past[key]
        live = self.current.get(key)
        return live.entry if live else None

    def range(self, prefix: str, start: str, revision: int, limit: int) -> Range:
        """Keys with `prefix` from `start` on at `revision`, which lies between `floor` and now."""
        first, last = max(prefix, start), prefix + LAST
        low, high = bisect.bisect_left(self.keys, first), bisect.bisect_left(self.keys, last)
        past = self._undone(revision, first, last) if revision < self.revision else {}
        appeared = sum(1 for key, entry in past.items() if entry is None and key in self.current)
        vanished = sorted(key for key, entry in past.items() if entry is not None and key not in self.current)
        count = max(0, high - low) - appeared + len(vanished)
        entries = tuple(self._first(merge(self._slice(low, high), vanished) if vanished else self._slice(low, high), past, limit))
        return Range(entries, revision, more=len(entries) < count, count=count)

    def _first(self, keys: Iterable[str], past: Mapping[str, Entry | None], limit: int) -> Iterator[Entry]:
        taken = 0
        for key in keys:
            entry = past[key] if key in past else self.current[key].entry
            if entry is not None:
                yield entry
                taken += 1
                if taken == limit:
                    return

    def _slice(self, low: int, high: int) -> Iterator[str]:
        return (self.keys[index] for index in range(low, high))

    def _undone(self, revision: int, first: str, last: str) -> dict[str, Entry | None]:
        """Keys from `first` to `last` that changed after `revision`, as they were then."""
        past: dict[str, Entry | None] = {}
        for change in self._window[self._position(revision) :]:
            if first <= change.entry.key <= last:
                past.setdefault(change.entry.key, change.previous)
        return past

    def _position(self, revision: int) -> int:
        return bisect.bisect_right(self._window, revision, key=lambda change: change.revision)


class Draft(Generic[Owner]):
    """Numbered writes that nobody sees yet, over a State. `Owner` is whoever waits for them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._staged: dict[str, tuple[Step, Owner]] = {}

    def lookup(self, key: str) -> Live | None:
        staged = self._staged.get(key)
        return staged[0].live if staged else self._state.current.get(key)

    def stage(self, step: Step, owner: Owner) -> None:
        self._staged[step.change.entry.key] = (step, owner)

    def owner(self, key: str) -> Owner | None:
        """Whose unseen write of `key` is the newest."""
        staged = self._staged.get(key)
        return staged[1] if staged else None

    def publish(self, steps: Iterable[Step]) -> None:
        """Make the oldest staged writes visible."""
        for step in steps:
            key = step.change.entry.key
            staged = self._staged.get(key)
            if staged is not None and staged[0] is step:
                del self._staged[key]
            self._state.apply(step)

    def discard(self) -> None:
        """Forget every staged write."""
        self._staged.clear()
