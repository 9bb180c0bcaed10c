"""Fan-out to watchers."""

import asyncio

import pytest

from reconciler.store import watch
from reconciler.store.types import Batch, Change, Compacted, Entry


def change(key: str, revision: int) -> Change:
    return Change(Entry(key, b"", revision, revision, 1), None)


async def test_a_watcher_sees_its_prefix_only() -> None:
    hub = watch.Hub()
    pods, web, everything = hub.add("pods/", 1, (), 1), hub.add("pods/default/web", 1, (), 1), hub.add("", 1, (), 1)
    one, two, three = change("pods/default/web", 2), change("pods/default/we", 3), change("nodes//a", 4)
    hub.publish([one, two, three], 4)
    assert (await anext(pods)) == Batch((one, two), 4)
    assert (await anext(web)) == Batch((one,), 4)
    assert (await anext(everything)) == Batch((one, two, three), 4)


async def test_watchers_of_one_prefix_share_their_batches() -> None:
    hub = watch.Hub()
    watchers = [hub.add("pods/", 1, (), 1) for _ in range(3)]
    hub.publish([change("pods/a/b", 2)], 2)
    first, second, third = [await anext(watcher) for watcher in watchers]
    assert first is second is third


async def test_what_was_missed_comes_first_and_an_up_to_date_watcher_gets_nothing() -> None:
    hub = watch.Hub()
    late = hub.add("pods/", 1, [change("pods/a/b", 2)], 5)
    quiet = hub.add("nodes/", 1, [], 5)
    current = hub.add("pods/", 5, [], 5)
    assert (await anext(late)).revision == 5
    assert await anext(quiet) == Batch((), 5)
    assert current.idle


async def test_a_waiting_reader_is_woken_and_an_ended_watch_ends() -> None:
    hub = watch.Hub()
    watcher = hub.add("pods/", 1, (), 1)
    waiting = asyncio.create_task(anext(watcher))
    await asyncio.sleep(0)
    hub.publish([change("pods/a/b", 2)], 2)
    assert (await waiting).revision == 2
    waiting = asyncio.create_task(anext(watcher))
    await asyncio.sleep(0)
    watcher.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert [batch async for batch in watcher] == []
    assert len(hub) == 0


async def test_who_falls_behind_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PENDING_CHANGES", 10)
    hub = watch.Hub()
    slow, quick = hub.add("", 1, (), 1), hub.add("", 1, (), 1)
    for revision in range(2, 30):
        hub.publish([change("a", revision)], revision)
        assert (await anext(quick)).revision == revision
    with pytest.raises(Compacted) as caught:
        await anext(slow)
    assert caught.value.revision == 11
    assert len(hub) == 1


async def test_bookmarks_go_to_idle_watchers_that_are_behind() -> None:
    hub = watch.Hub()
    behind, busy, current = hub.add("a/", 1, (), 1), hub.add("b/", 1, (), 1), hub.add("c/", 9, (), 9)
    hub.publish([change("b/x", 9)], 9)
    hub.bookmark(9)
    assert await anext(behind) == Batch((), 9)
    assert len((await anext(busy)).changes) == 1
    assert busy.idle
    assert current.idle


async def test_closing_the_hub_ends_every_watch() -> None:
    hub = watch.Hub()
    watchers = [hub.add(prefix, 1, (), 1) for prefix in ("", "a/", "b/")]
    hub.close(StopAsyncIteration())
    for watcher in watchers:
        assert [batch async for batch in watcher] == []
