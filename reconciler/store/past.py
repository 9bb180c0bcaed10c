"""What is asked of the past beyond ranges: when a revision was made, what changed since, what a write caused.

Moments are a sparse index of times: while something is written, about every second one row says when a revision was
made. Times are the wall clock's, which jumps: a moment that lies before an older one counts as that, and one in the
future does not count. What is read from the file shows durable writes only. Blocking, for threads; the rest is pure.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler.store import disk
from reconciler.store.mvcc import LAST
from reconciler.store.types import Effect, Entry, Provenance

SPACING_SECONDS = 1.0

Moment = tuple[int, float]  # revision, seconds since the epoch


def revision_at(moments: Iterable[Moment], time: float, now: float) -> int | None:
    """The newest revision that was made by `time`, None for the present one. `moments` ascend."""
    latest = float("-inf")
    for revision, made in moments:
        latest = max(latest, made) if made <= now else latest
        if latest > time:
            return revision - 1
    return None


def time_of(moments: Iterable[Moment], revision: int) -> float:
    """About when a revision was made, 0 where nobody knows."""
    return max((moment for moment in moments if moment[0] <= revision), default=(0, 0.0))[1]


def effects(records: Iterable[Effect], source: str, revisions: Collection[int], most: int) -> Iterator[Effect]:
    """The essential ones of `records` (ascending) that came from `source` or `revisions`, or that these caused; `most` of them.

    What lies between two of them is left out: the cause of each is the nearest that is essential, too.
    """
    nearest = dict.fromkeys(revisions, 0)  # of each write that counts, the essential one that it is or comes from
    for record in records:
        provenance = record.provenance
        if record.revision in nearest or provenance.cause in nearest or (source and source in provenance.source):
            cause = nearest.get(provenance.cause, 0)
            nearest[record.revision] = record.revision if record.is_essential else cause
            if record.is_essential:
                yield replace(record, provenance=replace(provenance, cause=cause))
                most -= 1
        if not most:
            return


def moments(folder: Path) -> list[Moment]:
    connection = disk.connect(folder)
    try:
        return [(revision, time) for revision, time in connection.execute("SELECT revision, time FROM moment ORDER BY revision")]
    finally:
        connection.close()


def origins(folder: Path, key: str, revision: int) -> tuple[int, ...]:
    """The revisions that made the key and last changed its spec, as seen at `revision`."""
    query = f"""SELECT created, spec, form FROM revision WHERE revision <= ? AND form < {disk.Form.HUSK:d} AND key = ?
        ORDER BY revision DESC LIMIT 1"""  # noqa: S608 (constant text)
    connection = disk.connect(folder)
    try:
        found = connection.execute(query, (revision, key)).fetchone()
        return tuple(sorted({found[0], found[1]})) if found is not None and found[2] == disk.Form.PUT else ()
    finally:
        connection.close()


def changes(folder: Path, prefix: str, revision: int) -> list[tuple[Entry, bool]]:
    """The last content of every key with `prefix` that was written after `revision`, and whether it was removed since."""
    query = f"""SELECT key, value, created, revision, version, lease, form FROM revision
        WHERE revision > ? AND form < {disk.Form.HUSK:d} AND key >= ? AND key < ? ORDER BY revision"""  # noqa: S608 (constant text)
    found: dict[str, tuple[Entry, bool]] = {}
    connection = disk.connect(folder)
    try:
        for *row, form in connection.execute(query, (revision, prefix, prefix + LAST)):
            known = found.pop(row[0], None)  # so that they come in the order of their last writes
            if form == disk.Form.PUT:
                found[row[0]] = (Entry(*row), False)
            elif known is not None:
                found[row[0]] = (known[0], True)
        return list(found.values())
    finally:
        connection.close()


def caused(folder: Path, volatile: Sequence[Effect], source: str, revisions: Collection[int], most: int) -> list[Effect]:
    """As `effects`, of the records in the file and those in memory."""
    query = "SELECT revision, key, actor, why, cause, source, form, spec FROM revision ORDER BY revision"
    connection = disk.connect(folder)
    try:
        rows = connection.execute(query)
        stored = (
            Effect(made, key, Provenance(actor, why, cause, origin), form != disk.Form.PUT or spec == made)
            for made, key, actor, why, cause, origin, form, spec in rows
        )
        return list(effects(_merged(stored, volatile), source, revisions, most))
    finally:
        connection.close()


def _merged(stored: Iterator[Effect], volatile: Sequence[Effect]) -> Iterator[Effect]:
    """Both by revision; what was carried to disk meanwhile comes once."""
    waiting = sorted(volatile, key=lambda effect: effect.revision, reverse=True)
    for effect in stored:
        while waiting and waiting[-1].revision < effect.revision:
            yield waiting.pop()
        if waiting and waiting[-1].revision == effect.revision:
            waiting.pop()
        yield effect
    yield from reversed(waiting)
