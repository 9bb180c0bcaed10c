"""The journal contract, once per implementation. A new one adds a line to JOURNALS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from reconciler.kit.clock import SystemClock
from reconciler.store.local import LocalJournal
from reconciler.store.memory import MemoryJournal
from reconciler.store.types import (
    MAX_OPERATIONS,
    MAX_VALUE_BYTES,
    Batch,
    Check,
    Compacted,
    Conflict,
    Durability,
    Entry,
    FutureRevision,
    Journal,
    Operation,
    Provenance,
    Put,
    Remove,
    Watch,
)


async def local(folder: Path) -> Journal:
    return await LocalJournal.open(folder / "journal", SystemClock(), bookmark_seconds=0.05)


async def memory(folder: Path) -> Journal:
    journal = MemoryJournal(SystemClock())
    journal.start(bookmark_seconds=0.05)
    return journal


JOURNALS: dict[str, Callable[[Path], Awaitable[Journal]]] = {"local": local, "memory": memory}
WHY = Provenance("user/admin", "testing", 0, "apps/web.yaml:1")


@pytest.fixture(params=JOURNALS)
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await JOURNALS[request.param](tmp_path)
    yield opened
    await opened.close()


async def commit(journal: Journal, *operations: Operation) -> tuple[Entry, ...]:
    return await journal.commit(operations, WHY)


async def put(journal: Journal, key: str, value: bytes = b"", expect: int | None = None) -> Entry:
    (entry,) = await commit(journal, Put(key, value, expect))
    return entry


async def until(watch: Watch, revision: int) -> list[Batch]:
    """Batches until the watch is complete up to `revision`."""
    batches = []
    async with asyncio.timeout(10):
        async for batch in watch:
            batches.append(batch)
            if batch.revision >= revision:
                break
    return batches


async def test_an_empty_journal_has_a_revision(journal: Journal) -> None:
    assert journal.revision >= 1, "0 means now, or absent"
    found = await journal.range("")
    assert (found.entries, found.revision, found.more, found.count) == ((), journal.revision, False, 0)
    assert await journal.get("a") is None


async def test_a_write_is_visible_once_it_is_acknowledged(journal: Journal) -> None:
    entry = await put(journal, "a", b"1")
    assert (entry.value, entry.version, entry.create_revision) == (b"1", 1, entry.mod_revision)
    assert await journal.get("a") == entry
    assert journal.revision >= entry.mod_revision
    again = await put(journal, "a", b"2")
    assert (again.version, again.create_revision) == (2, entry.create_revision)
    assert again.mod_revision > entry.mod_revision


async def test_the_writers_object_is_handed_on(journal: Journal) -> None:
    obj = {"kind": "Pod"}
    (entry,) = await commit(journal, Put("a", b"{}", obj=obj))
    assert entry.obj == obj


async def test_removing(journal: Journal) -> None:
    entry = await put(journal, "a", b"1")
    (gone,) = await commit(journal, Remove("a"))
    assert gone.value is None
    assert gone.mod_revision > entry.mod_revision
    assert await journal.get("a") is None
    assert await commit(journal, Remove("a")) == ()
    assert (await put(journal, "a")).version == 1


async def test_expectations_decide_for_the_whole_transaction(journal: Journal) -> None:
    entry = await put(journal, "a", b"1", expect=0)
    for operation in (Put("a", b"", 0), Remove("a", 0), Check("a", 0), Check("b", entry.mod_revision), Remove("b", entry.mod_revision)):
        with pytest.raises(Conflict) as caught:
            await commit(journal, Put("other", b""), operation)
        assert caught.value.key == operation.key
        assert caught.value.actual == (entry if operation.key == "a" else None)
    assert await journal.get("other") is None
    await commit(journal, Put("other", b""), Check("a", entry.mod_revision), Check("c", 0))
    await commit(journal, Remove("a", entry.mod_revision), Put("b", b"", 0))
    assert [found.key for found in (await journal.range("")).entries] == ["b", "other"]


async def test_a_check_alone_writes_nothing(journal: Journal) -> None:
    entry = await put(journal, "a")
    assert await commit(journal, Check("a", entry.mod_revision)) == ()
    assert journal.revision == entry.mod_revision


async def test_one_of_many_racers_wins(journal: Journal) -> None:
    results = await asyncio.gather(*(put(journal, "a", b"%d" % number, expect=0) for number in range(20)), return_exceptions=True)
    won = [result for result in results if isinstance(result, Entry)]
    assert len(won) == 1
    assert all(isinstance(result, Conflict) and result.actual == won[0] for result in results if result is not won[0])
    assert await journal.get("a") == won[0]


async def test_counters_do_not_lose_updates(journal: Journal) -> None:
    await put(journal, "counter", b"0")

    async def increment() -> None:
        for _ in range(5):
            while True:
                entry = await journal.get("counter")
                assert entry is not None
                assert entry.value is not None
                try:
                    await put(journal, "counter", b"%d" % (int(entry.value) + 1), entry.mod_revision)
                    break
                except Conflict:
                    continue

    await asyncio.gather(*(increment() for _ in range(8)))
    entry = await journal.get("counter")
    assert entry is not None
    assert (entry.value, entry.version) == (b"40", 41)


async def test_limits(journal: Journal) -> None:
    await commit(journal, *(Put(f"k{number}", b"") for number in range(MAX_OPERATIONS)))
    with pytest.raises(ValueError, match="operations"):
        await commit(journal, *(Put(f"k{number}", b"") for number in range(MAX_OPERATIONS + 1)))
    with pytest.raises(ValueError, match="twice"):
        await commit(journal, Put("a", b""), Remove("a"))
    with pytest.raises(ValueError, match="bytes"):
        await put(journal, "a", bytes(MAX_VALUE_BYTES + 1))
    await put(journal, "binary", bytes(range(256)) * 5000)
    entry = await journal.get("binary")
    assert entry is not None
    assert entry.value == bytes(range(256)) * 5000


async def test_ranges_are_ordered_cut_and_counted(journal: Journal) -> None:
    for key in ("pods/b/1", "pods/a/2", "pods/a/10", "podsx", "nodes//n", "pods/a/1"):
        await put(journal, key)
    found = await journal.range("pods/")
    assert [entry.key for entry in found.entries] == ["pods/a/1", "pods/a/10", "pods/a/2", "pods/b/1"]
    page = await journal.range("pods/", limit=3)
    assert ([entry.key for entry in page.entries], page.more, page.count) == (["pods/a/1", "pods/a/10", "pods/a/2"], True, 4)
    rest = await journal.range("pods/", start=page.entries[-1].key + "\0", limit=3)
    assert ([entry.key for entry in rest.entries], rest.more, rest.count) == (["pods/b/1"], False, 1)
    assert (await journal.range("pods/", limit=4)).more is False


async def test_the_past_can_be_read(journal: Journal) -> None:
    first = await put(journal, "a", b"1")
    second = await put(journal, "b", b"1")
    await put(journal, "a", b"2")
    await commit(journal, Remove("b"))
    last = await put(journal, "c")
    assert await journal.get("a", first.mod_revision) == first
    assert await journal.get("b", first.mod_revision) is None
    found = await journal.range("", revision=second.mod_revision)
    assert (found.entries, found.revision, found.count) == ((first, second), second.mod_revision, 2)
    page = await journal.range("", revision=second.mod_revision, limit=1)
    assert (page.entries, page.more, page.count) == ((first,), True, 2)
    for ahead in (journal.get("a", last.mod_revision + 1), journal.range("", revision=last.mod_revision + 1)):
        with pytest.raises(FutureRevision):
            await ahead


async def test_compaction_forgets_the_past_and_keeps_the_present(journal: Journal) -> None:
    first = await put(journal, "a", b"1")
    await put(journal, "b", b"1")
    second = await put(journal, "a", b"2")
    await commit(journal, Remove("b"))
    third = await put(journal, "a", b"3")
    await journal.compact(second.mod_revision)
    assert journal.oldest_revision == second.mod_revision
    assert await journal.get("a", second.mod_revision) == second
    assert (await journal.range("", revision=second.mod_revision)).count == 2
    for gone in (journal.get("a", first.mod_revision), journal.range("", revision=first.mod_revision)):
        with pytest.raises(Compacted) as caught:
            await gone
        assert caught.value.oldest == second.mod_revision
    with pytest.raises(Compacted):
        journal.watch("", first.mod_revision)
    await journal.compact(first.mod_revision)
    assert journal.oldest_revision == second.mod_revision, "compacting twice is no error"
    with pytest.raises(FutureRevision):
        await journal.compact(third.mod_revision + 1)
    assert await journal.get("a") == third


async def test_watches_tell_everything_after_a_revision_in_order(journal: Journal) -> None:
    before = await put(journal, "pods/a", b"0")
    watch = journal.watch("pods/", before.mod_revision)
    one = await put(journal, "pods/a", b"1")
    await put(journal, "nodes/x")
    two = await put(journal, "pods/b", b"1")
    (gone,) = await commit(journal, Remove("pods/a"))
    for source in (watch, journal.watch("pods/", before.mod_revision)):
        changes = [change for batch in await until(source, gone.mod_revision) for change in batch.changes]
        assert [change.entry for change in changes] == [one, two, gone]
        assert [change.previous for change in changes] == [before, None, one]
        assert [change.revision for change in changes] == [one.mod_revision, two.mod_revision, gone.mod_revision]
        source.close()


async def test_watches_follow_what_is_still_to_come(journal: Journal) -> None:
    watch = journal.watch("", journal.revision)
    waiting = asyncio.create_task(until(watch, journal.revision + 1))
    entry = await put(journal, "a")
    assert [change.entry for batch in await waiting for change in batch.changes] == [entry]
    with pytest.raises(FutureRevision):
        journal.watch("", entry.mod_revision + 1)


async def test_a_quiet_watch_learns_how_far_it_is(journal: Journal) -> None:
    watch = journal.watch("pods/", journal.revision)
    entry = await put(journal, "nodes/a")
    batches = await until(watch, entry.mod_revision)
    assert [batch.changes for batch in batches] == [()] * len(batches)


async def test_a_closed_watch_ends(journal: Journal) -> None:
    watch = journal.watch("", journal.revision)
    await put(journal, "a")
    watch.close()
    assert [batch async for batch in watch] == []


async def test_every_watcher_sees_the_same(journal: Journal) -> None:
    start = journal.revision
    watches = [journal.watch("k", start) for _ in range(10)]
    entries = await asyncio.gather(*(put(journal, f"k{number}") for number in range(50)))
    last = max(entry.mod_revision for entry in entries)
    seen = [[change.entry.key for batch in await until(watch, last) for change in batch.changes] for watch in watches]
    assert all(keys == seen[0] for keys in seen)
    assert sorted(seen[0]) == sorted(entry.key for entry in entries)
    assert (await journal.range("k")).count == 50


async def test_volatile_writes_share_the_sequence(journal: Journal) -> None:
    watch = journal.watch("", journal.revision)
    (one,) = await commit(journal, Put("a", b"1", durability=Durability.VOLATILE))
    two = await put(journal, "b")
    (three,) = await commit(journal, Put("a", b"2", one.mod_revision, durability=Durability.VOLATILE))
    assert one.mod_revision < two.mod_revision < three.mod_revision
    assert [change.entry for batch in await until(watch, three.mod_revision) for change in batch.changes] == [one, two, three]
    assert await journal.get("a") == three


async def test_a_lease_takes_its_keys_along(journal: Journal) -> None:
    lease = await journal.grant(60.0)
    other = await journal.grant(60.0)
    assert lease != other
    (entry,) = await commit(journal, Put("a", b"", lease=lease))
    assert entry.lease == lease
    await commit(journal, Put("b", b"", lease=other), Put("c", b"", lease=lease))
    await put(journal, "c")
    await journal.keep_alive(lease)
    await journal.revoke(lease)
    assert [found.key for found in (await journal.range("")).entries] == ["b", "c"]
    with pytest.raises(KeyError):
        await journal.keep_alive(lease)
    with pytest.raises(KeyError):
        await commit(journal, Put("d", b"", lease=lease))


async def test_a_lease_that_nobody_keeps_alive_ends(journal: Journal) -> None:
    lease = await journal.grant(1.0)
    (entry,) = await commit(journal, Put("a", b"", lease=lease))
    async with asyncio.timeout(20):
        async for batch in journal.watch("", entry.mod_revision):
            if batch.changes:
                break
    assert batch.changes[0].entry.value is None
    assert await journal.get("a") is None


async def test_provenance_of_live_objects_outlives_compaction(journal: Journal) -> None:
    (cause,) = await journal.commit([Put("deployments/web", b"")], WHY)
    made = Provenance("controller/deployment-controller", "new revision", cause.mod_revision)
    (created,) = await journal.commit([Put("replicasets/web-1", b"")], made)
    scaled = Provenance("controller/deployment-controller", "scale up", cause.mod_revision)
    (changed,) = await journal.commit([Put("replicasets/web-1", b"")], scaled)
    for _ in range(3):
        (last,) = await journal.commit([Put("replicasets/web-1", b"", spec_changed=False)], Provenance("status"))
        await commit(journal, Put("deployments/web", b""))
    await journal.compact(journal.revision)
    assert await journal.provenance("replicasets/web-1") == ((created.mod_revision, made), (changed.mod_revision, scaled))
    assert await journal.chain(changed.mod_revision) == (
        (changed.mod_revision, "replicasets/web-1", scaled),
        (cause.mod_revision, "deployments/web", WHY),
    )
    assert (await journal.chain(last.mod_revision))[0][2] == Provenance("status")
    assert await journal.provenance("replicasets/none") == ()
    await commit(journal, Remove("replicasets/web-1"))
    assert await journal.provenance("replicasets/web-1") == ()


@pytest.mark.parametrize("journal", ["local"], indirect=True)  # one in memory has no file
async def test_snapshots_are_taken_while_writes_go_on(journal: Journal, tmp_path: Path) -> None:
    await put(journal, "a", b"1")

    async def write() -> None:
        for number in range(50):
            await put(journal, f"k{number}")

    await asyncio.gather(write(), journal.snapshot(tmp_path / "snapshot"))
    assert (tmp_path / "snapshot").stat().st_size > 0


async def test_the_past_has_times(journal: Journal) -> None:
    began = SystemClock().now()
    entry = await put(journal, "a", b"1")
    assert began <= await journal.time_of(entry.mod_revision) <= SystemClock().now()
    assert await journal.revision_at(began - 3600) < entry.mod_revision
    assert await journal.revision_at(SystemClock().now() + 3600) == journal.revision


async def test_the_last_contents_since_a_revision(journal: Journal) -> None:
    await put(journal, "events/old", b"1")
    since = journal.revision
    await put(journal, "events/a", b"1")
    await put(journal, "events/b", b"1")
    await put(journal, "events/a", b"2")
    await put(journal, "pods/a", b"1")
    await commit(journal, Remove("events/b"))
    found = {entry.key: (entry.value, gone) for entry, gone in await journal.changes("events/", since)}
    assert found == {"events/a": (b"2", False), "events/b": (b"1", True)}


async def test_what_a_source_caused(journal: Journal) -> None:
    web = Provenance("gitops/default", "it changed", 0, "web.yaml:1 (commit abc)")
    (made,) = await journal.commit([Put("deployments/web", b"")], web)
    status = Provenance("controller/a", "status", made.mod_revision)
    (told,) = await journal.commit([Put("deployments/web", b"1", spec_changed=False)], status)
    (pod,) = await journal.commit([Put("pods/web", b"")], Provenance("controller/b", "too few", told.mod_revision))
    await put(journal, "other", b"")
    found = await journal.effects("commit abc")
    assert [(one.revision, one.key, one.provenance.cause) for one in found] == [
        (made.mod_revision, "deployments/web", 0),
        (pod.mod_revision, "pods/web", made.mod_revision),
    ]
    assert [one.key for one in await journal.effects(revisions=[told.mod_revision])] == ["pods/web"]
    assert await journal.effects("commit abcd") == ()


async def test_why_an_object_was_as_it_was(journal: Journal) -> None:
    first, second = Provenance("user/a", "first"), Provenance("user/a", "second")
    (made,) = await journal.commit([Put("a", b"1")], first)
    then = journal.revision
    (changed,) = await journal.commit([Put("a", b"2")], second)
    assert await journal.provenance("a", then) == ((made.mod_revision, first),)
    assert await journal.provenance("a") == ((made.mod_revision, first), (changed.mod_revision, second))
    await commit(journal, Remove("a"))
    assert await journal.provenance("a", changed.mod_revision) == ((made.mod_revision, first), (changed.mod_revision, second))
    assert await journal.provenance("a", journal.revision) == ()
