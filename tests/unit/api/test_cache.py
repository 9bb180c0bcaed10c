"""The watch cache: order, freshness, history."""

import asyncio

import orjson
import pytest

from reconciler.api import cache
from reconciler.kit import tasks
from reconciler.model import errors, meta
from reconciler.store import types
from tests.unit.api.memory import MemoryJournal

WHO = types.Provenance("test")


async def put(journal: MemoryJournal, key: str, **data: str) -> int:
    obj = {"metadata": {"name": key.rsplit("/", 1)[1], "uid": "u"}, "data": data}
    (entry,) = await journal.commit((types.Put(key, orjson.dumps(obj), obj=obj),), WHO)
    return entry.mod_revision


async def started(journal: MemoryJournal, running: tasks.Tasks) -> cache.Cache:
    made = cache.Cache(journal)
    await made.load()
    running.start(made.run(), "cache")
    return made


async def test_items_carry_their_revision_behind_the_uid() -> None:
    journal = MemoryJournal()
    revision = await put(journal, "configmaps/default/a")
    made = cache.Cache(journal)
    await made.load()
    item = made.get("configmaps", "default", "a")
    assert item is not None
    assert list(meta.meta(item.obj)) == ["name", "uid", "resourceVersion"]
    assert meta.revision(item.obj) == revision == item.revision


async def test_keys_stay_in_order_and_namespaces_apart() -> None:
    journal = MemoryJournal()
    for key in ("b/x", "a/z", "a/b", "a-b/c", "aa/y"):
        await put(journal, f"pods/{key}")
    made = cache.Cache(journal)
    await made.load()
    assert [key for key, _ in made.shelf("pods").in_order()] == ["a-b/c", "a/b", "a/z", "aa/y", "b/x"]
    assert [key for key, _ in made.shelf("pods").in_order("a")] == ["a/b", "a/z"]
    assert [key for key, _ in made.shelf("pods").in_order("a", "a/b")] == ["a/z"]


async def test_fresh_waits_for_what_was_committed() -> None:
    journal, running = MemoryJournal(), tasks.Tasks()
    made = await started(journal, running)
    await put(journal, "pods/default/a")
    assert made.get("pods", "default", "a") is None
    await made.fresh()
    assert made.get("pods", "default", "a") is not None
    await running.close()


async def test_a_revision_from_the_future_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "TOO_NEW_SECONDS", 0.01)
    made = cache.Cache(MemoryJournal())
    await made.load()
    with pytest.raises(errors.StatusError) as refused:
        await made.at_least(99)
    assert (refused.value.code, refused.value.retry_after_seconds) == (504, 1)


async def test_history_comes_from_memory_and_beyond_it_from_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "STEPS_KEPT", 2)
    journal, running = MemoryJournal(), tasks.Tasks()
    made = await started(journal, running)
    first = journal.revision
    for number in range(5):
        await put(journal, f"pods/default/p{number}")
    await made.fresh()
    for since in range(first, first + 6):
        steps = await made.history("pods", since)
        assert [step.revision for step in steps] == list(range(since + 1, first + 6))
    assert [step.revision for step in await made.history("", first)] == list(range(first + 1, first + 6))
    await running.close()


async def test_compacted_history_is_gone() -> None:
    journal = MemoryJournal()
    for number in range(3):
        await put(journal, f"pods/default/p{number}")
    await journal.compact(2)
    made = cache.Cache(journal)
    await made.load()
    with pytest.raises(errors.StatusError) as refused:
        await made.history("pods", 1)
    assert (refused.value.code, refused.value.reason) == (410, "Expired")


async def test_a_deletion_shows_the_object_at_the_revision_that_removed_it() -> None:
    journal, running = MemoryJournal(), tasks.Tasks()
    made = await started(journal, running)
    seen: list[cache.Step] = []
    stop = made.subscribe(lambda _, steps: seen.extend(steps), lambda: None)
    revision = await put(journal, "pods/default/a")
    await journal.commit((types.Remove("pods/default/a", expect=revision),), WHO)
    await made.fresh()
    await asyncio.sleep(0)
    assert seen[-1].after is None
    assert meta.revision(seen[-1].gone.obj) == revision + 1
    stop()
    await running.close()
