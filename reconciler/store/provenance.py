"""Who wrote what and why: the records that are not on disk, and which records compaction must keep.

Pure. A durable write carries its record in its row. A volatile one has its record here, until a durable write needs it,
as its cause or because it made the same object, and takes it and the volatile causes behind it to disk.

Causes form a forest, for each record has one cause and that is older. Chains grow with every act of healing, so of
each one only the `NEAR` records next to a live object and the `ORIGIN` records next to the first cause are kept.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.store.types import Provenance

NEAR = 32
ORIGIN = 32
VOLATILE_RECORDS = 16_384  # sweep when there are twice as many
CARRIED = 512  # records that one transaction takes to disk at most


@dataclass(frozen=True, slots=True)
class Record:
    revision: int
    key: str
    provenance: Provenance


class Ledger:
    """The records of volatile writes."""

    def __init__(self) -> None:
        self._records: dict[int, Record] = {}
        self._carried: set[int] = set()  # on their way to disk

    def add(self, record: Record) -> None:
        self._records[record.revision] = record

    def get(self, revision: int) -> Record | None:
        return self._records.get(revision)

    def records(self) -> tuple[Record, ...]:
        return tuple(self._records.values())

    def drop(self, revision: int) -> None:
        """The write was given up before anybody saw it."""
        self._records.pop(revision, None)

    def carry(self, revisions: Iterable[int]) -> tuple[Record, ...]:
        """The records of `revisions` and of their causes, as far as nothing has taken them to disk."""
        taken: list[Record] = []
        for revision in revisions:
            while len(taken) < CARRIED and revision not in self._carried and (record := self._records.get(revision)):
                self._carried.add(revision)
                taken.append(record)
                revision = record.provenance.cause
        return tuple(taken)

    def behind(self, revisions: Iterable[int]) -> Iterator[int]:
        """What caused `revisions` through volatile writes: where their chains go on, on disk."""
        for revision in revisions:
            while record := self._records.get(revision):
                revision = record.provenance.cause
                yield revision

    def landed(self, records: Iterable[Record]) -> None:
        """These are on disk now."""
        for record in records:
            self._records.pop(record.revision, None)
            self._carried.discard(record.revision)

    def stranded(self) -> None:
        """Nothing that was carried reached the disk."""
        self._carried.clear()

    def __bool__(self) -> bool:
        return bool(self._records)

    @property
    def overflowing(self) -> bool:
        return len(self._records) > 2 * VOLATILE_RECORDS

    def sweep(self, roots: Iterable[int]) -> None:
        """Keep the newest records and what leads to `roots`, the revisions of live objects."""
        causes = {revision: record.provenance.cause for revision, record in self._records.items()}
        newest = sorted(causes)[-VOLATILE_RECORDS:]
        kept = retained(causes, (*roots, *newest)).keys() | self._carried
        self._records = {revision: record for revision, record in self._records.items() if revision in kept}


def retained(causes: Mapping[int, int], roots: Iterable[int]) -> dict[int, int]:
    """Of the records `causes` (revision -> cause), those that `roots` need, with the cause that each has from now on."""
    depth: dict[int, int] = {}  # distance from the first cause
    origin: dict[int, int] = {}  # the nearest cause, itself included, that is kept for being next to the first
    for revision in sorted(causes):
        cause = causes[revision]
        depth[revision] = depth[cause] + 1 if cause in depth else 0
        origin[revision] = revision if depth[revision] < ORIGIN else origin[cause]
    distance = {root: 0 for root in roots if root in causes}  # from the nearest root
    for revision in sorted(causes, reverse=True):
        cause = causes[revision]
        if revision in distance and cause in causes:
            distance[cause] = min(distance.get(cause, distance[revision] + 1), distance[revision] + 1)
    kept = {revision for revision, steps in distance.items() if steps < NEAR or depth[revision] < ORIGIN}
    return {revision: _next(revision, causes, kept, origin) for revision in kept}


def _next(revision: int, causes: Mapping[int, int], kept: set[int], origin: Mapping[int, int]) -> int:
    cause = causes[revision]
    return cause if cause in kept or cause not in causes else origin[cause]
