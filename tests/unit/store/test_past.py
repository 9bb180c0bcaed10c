"""Times of revisions under clocks that jump, and journals of programs that kept none."""

from pathlib import Path

import apsw

from reconciler.kit.clock import VirtualClock
from reconciler.store import disk, past
from reconciler.store.local import LocalJournal
from reconciler.store.types import Provenance, Put

WHY = Provenance("user/a")


def test_a_revision_by_time() -> None:
    moments = [(10, 100.0), (20, 200.0)]
    found = [past.revision_at(moments, time, now=300.0) for time in (50.0, 100.0, 150.0, 200.0)]
    assert found == [9, 19, 19, None]
    assert [past.time_of(moments, revision) for revision in (5, 10, 15, 99)] == [0.0, 100.0, 100.0, 200.0]


def test_a_boot_in_1970_is_no_older_than_what_was_before() -> None:
    moments = [(10, 1000.0), (20, 1100.0), (30, 5.0), (40, 2000.0)]
    assert past.revision_at(moments, 1050.0, now=3000.0) == 19
    assert past.revision_at(moments, 1500.0, now=3000.0) == 39


def test_a_time_in_the_future_does_not_count() -> None:
    moments = [(10, 1000.0), (20, 9e9), (30, 1200.0)]
    assert past.revision_at(moments, 1100.0, now=3000.0) == 29


async def test_moments_are_sparse_and_survive(tmp_path: Path) -> None:
    clock = VirtualClock()
    journal = await LocalJournal.open(tmp_path, clock)
    began = clock.now()
    firsts = []
    for _ in range(3):
        for number in range(5):
            (entry,) = await journal.commit([Put(f"k{number}", b"")], WHY)
            firsts += [entry.mod_revision] if number == 0 else []
        clock.advance(60)
    await journal.close()
    assert [revision for revision, _ in past.moments(tmp_path)] == firsts
    journal = await LocalJournal.open(tmp_path, clock)
    assert await journal.revision_at(began + 30) == firsts[1] - 1
    assert await journal.time_of(firsts[1]) == began + 60
    await journal.compact(firsts[2])
    await journal.close()
    assert [revision for revision, _ in past.moments(tmp_path)] == firsts[2:]


async def test_a_journal_without_times_gets_them(tmp_path: Path) -> None:
    journal = await LocalJournal.open(tmp_path, VirtualClock())
    await journal.commit([Put("a", b"")], WHY)
    await journal.close()
    old = apsw.Connection(str(tmp_path / disk.FILE))
    old.execute("DROP TABLE moment")
    old.close()
    journal = await LocalJournal.open(tmp_path, VirtualClock())
    (entry,) = await journal.commit([Put("b", b"")], WHY)
    assert await journal.time_of(entry.mod_revision)
    await journal.close()
