"""Which rows of the journal on disk can go, and how they go without holding up writers.

Up to the compacted revision a key keeps the row that was newest there, nothing if that removed it. Rows that live
objects' provenance needs become husks; live are also the objects as a crash would leave them, without their volatile
writes. Rows go in ascending order and in small transactions: wherever a crash interrupts, no removed key comes back.
A later write that names as its cause what was superseded long before the compacted revision may find that gone.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from reconciler.store import disk
from reconciler.store.disk import Pruning
from reconciler.store.provenance import retained

CHUNK_ROWS = 512


def plan(folder: Path, oldest: int, roots: Iterable[int]) -> Pruning:
    """What is not needed below `oldest`; `roots` made the live objects. Reads the whole table; for a thread."""
    causes: dict[int, int] = {}
    sizes: dict[int, int] = {}  # of the rows that may go
    husks: set[int] = set()
    newest: dict[str, tuple[int, int]] = {}  # per key at `oldest`: revision, bytes
    origins: dict[str, tuple[int, int]] = {}  # what made each key as the file has it last
    connection = disk.connect(folder)
    try:
        query = "SELECT revision, form, key, created, spec, cause, coalesce(length(value), 0) FROM revision ORDER BY revision"
        for revision, form, key, created, spec, cause, size in connection.execute(query):
            causes[revision] = cause
            if form == disk.Form.PUT:
                origins[key] = (created, spec)
            elif form == disk.Form.DELETE:
                origins.pop(key, None)
            if revision > oldest:
                continue
            if form != disk.Form.PUT:
                sizes[revision] = 0
            if form == disk.Form.HUSK:
                husks.add(revision)
                continue
            superseded = newest.pop(key, None)
            if superseded is not None:
                sizes[superseded[0]] = superseded[1]
            if form == disk.Form.PUT:
                newest[key] = (revision, size)
    finally:
        connection.close()
    later = (revision for revision in causes if revision > oldest)
    kept = retained(causes, (*roots, *itertools.chain.from_iterable(origins.values()), *later))
    return Pruning(
        tuple(sorted(revision for revision in sizes if revision not in kept)),
        tuple(sorted(revision for revision in sizes if revision in kept and revision not in husks)),
        tuple(sorted((revision, cause) for revision, cause in kept.items() if causes[revision] != cause)),
        sum(sizes.values()),
    )


def chunks(pruning: Pruning) -> Iterator[Pruning]:
    """`pruning` in small steps that may each be the last: links first, then rows in ascending order."""
    for start in range(0, len(pruning.relink), CHUNK_ROWS):
        yield Pruning((), (), pruning.relink[start : start + CHUNK_ROWS], 0)
    delete = set(pruning.delete)
    rows = sorted((*pruning.delete, *pruning.strip))
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[start : start + CHUNK_ROWS]
        yield Pruning(tuple(row for row in chunk if row in delete), tuple(row for row in chunk if row not in delete), (), 0)
