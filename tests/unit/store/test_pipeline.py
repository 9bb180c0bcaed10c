"""Numbering, order and refusal, with a writer that is told when to finish."""

import asyncio
from collections.abc import Sequence

import pytest

from reconciler.store import mvcc, pipeline, writer
from reconciler.store.types import Change, Check, Closed, Conflict, Durability, Entry, Full, Provenance, Put, Remove

WHY = Provenance("test")
VOLATILE = Durability.VOLATILE


class Bench:
    """A pipeline, what it gave to the writer and what became visible."""

    def __init__(self, *lives: mvcc.Live) -> None:
        self.submitted: list[writer.Commit] = []
        self.visible: list[Change] = []
        self.state = mvcc.State(lives, 1)
        self.pipeline = pipeline.Pipeline(
            self.state, 1, lambda steps: self.visible.extend(step.change for step in steps), lambda lease: 0.0
        )
        self.pipeline.start(self.submitted.extend)

    async def start(self, *operations: Put | Remove | Check) -> "asyncio.Task[tuple[Entry, ...]]":
        task = asyncio.create_task(self.pipeline.commit(operations, WHY))
        await settle()
        return task

    async def finish(self) -> None:
        """Everything submitted reaches the disk."""
        group, self.submitted[:] = list(self.submitted), []
        self.pipeline.written(group)
        await settle()

    async def refuse(self) -> None:
        group, self.submitted[:] = list(self.submitted), []
        self.pipeline.full = True
        self.pipeline.refused(group)
        await settle()

    def keys(self) -> list[str]:
        return [change.entry.key for change in self.visible]


async def settle(turns: int = 5) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_nothing_is_visible_before_it_is_on_disk() -> None:
    bench = Bench()
    task = await bench.start(Put("a", b""), Put("b", b""))
    assert not task.done()
    assert bench.visible == []
    assert "a" not in bench.state.current
    await bench.finish()
    assert [entry.mod_revision for entry in await task] == [2, 3]
    assert bench.keys() == ["a", "b"]


async def test_volatile_writes_are_visible_at_once_but_never_before_older_ones() -> None:
    bench = Bench()
    first = await bench.start(Put("v", b"", durability=VOLATILE))
    await bench.finish()
    assert first.done(), "only the reservation of revisions had to be waited for"
    second = await bench.start(Put("v", b"", durability=VOLATILE))
    assert second.done()
    assert bench.submitted == []
    durable = await bench.start(Put("d", b""))
    third = await bench.start(Put("v", b"", durability=VOLATILE))
    assert not third.done()
    await bench.finish()
    assert bench.keys() == ["v", "v", "d", "v"]
    assert (await durable)[0].mod_revision < (await third)[0].mod_revision


async def test_revisions_are_reserved_before_volatile_writes_use_them() -> None:
    bench = Bench()
    await bench.start(Put("v", b"", durability=VOLATILE))
    (reservation,) = bench.submitted
    assert reservation.reserve > pipeline.BLOCK
    assert bench.visible == []
    await bench.finish()
    for _ in range(3):
        assert (await bench.start(Put("v", b"", durability=VOLATILE))).done()


async def test_writes_overlap_and_build_on_each_other() -> None:
    bench = Bench()
    first = await bench.start(Put("a", b"1", expect=0))
    second = await bench.start(Put("a", b"2", expect=2))
    assert len(bench.submitted) == 3
    await bench.finish()
    assert (await first)[0].version == 1
    assert (await second)[0].version == 2


async def test_a_conflict_waits_for_the_write_that_it_is_about() -> None:
    bench = Bench()
    winner = await bench.start(Put("a", b"", expect=0))
    loser = await bench.start(Put("a", b"", expect=0))
    assert not loser.done()
    await bench.finish()
    with pytest.raises(Conflict) as caught:
        await loser
    assert caught.value.actual == (await winner)[0]


async def test_a_conflict_with_what_is_visible_is_told_at_once() -> None:
    bench = Bench()
    task = await bench.start(Put("a", b"", expect=7))
    with pytest.raises(Conflict, match="a is at revision 0"):
        await task


async def test_a_check_waits_for_what_it_relies_on() -> None:
    bench = Bench()
    await bench.start(Put("a", b""))
    check = await bench.start(Check("a", 2))
    assert not check.done()
    await bench.finish()
    assert await check == ()


async def test_a_refused_put_fails_and_what_followed_is_decided_anew() -> None:
    kept = mvcc.Live(Entry("k", b"", 1, 1, 1), 1, True)
    bench = Bench(kept)
    refused = await bench.start(Put("a", b"", expect=0))
    waited = await bench.start(Put("a", b"x", expect=0, durability=VOLATILE))
    built_on_it = await bench.start(Remove("a", expect=2))
    volatile = await bench.start(Put("v", b"", durability=VOLATILE))
    removal = await bench.start(Remove("k", expect=1))
    await bench.refuse()
    with pytest.raises(Full):
        await refused
    with pytest.raises(Conflict):
        await built_on_it
    assert bench.visible == []
    await bench.finish()
    assert sorted(bench.keys()) == ["a", "k", "v"]
    revisions = [(await task)[0].mod_revision for task in (volatile, removal, waited)]
    assert min(revisions) > 5, "a number that was given out is not given out again"
    assert len(set(revisions)) == 3


async def test_a_full_journal_refuses_puts_at_once_until_there_is_space() -> None:
    bench = Bench()
    await bench.start(Put("v", b"", durability=VOLATILE))
    await bench.finish()
    bench.pipeline.full = True
    with pytest.raises(Full):
        await bench.pipeline.commit([Put("a", b"")], WHY)
    assert (await bench.start(Put("v", b"", durability=VOLATILE))).done()
    bench.pipeline.relieved()
    await bench.start(Put("a", b""))
    assert len(bench.submitted) == 1


async def test_without_any_space_volatile_writes_end_with_their_block(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    first = await bench.start(Put("v", b"", durability=VOLATILE))
    await bench.refuse()
    with pytest.raises(Full):
        await first
    assert bench.submitted == []
    bench.pipeline.relieved()
    second = await bench.start(Put("v", b"", durability=VOLATILE))
    await bench.finish()
    assert second.done()


async def test_a_cancelled_writer_does_not_hold_up_others() -> None:
    bench = Bench()
    cancelled = await bench.start(Put("a", b""))
    cancelled.cancel()
    task = await bench.start(Put("b", b""))
    await bench.finish()
    await task
    assert bench.keys() == ["a", "b"], "its outcome was unknown to its writer, not to the journal"


async def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PENDING", 3)
    bench = Bench()
    tasks = [await bench.start(Put(f"k{number}", b"")) for number in range(8)]
    assert len(bench.submitted) == 3
    for _ in range(8):
        await bench.finish()
    assert [(await task)[0].key for task in tasks] == [f"k{number}" for number in range(8)]


async def test_closing_waits_for_what_is_in_flight_and_takes_no_more() -> None:
    bench = Bench()
    flying = await bench.start(Put("a", b""))
    draining = asyncio.create_task(bench.pipeline.drain(Closed("closed")))
    await settle()
    with pytest.raises(Closed):
        await bench.pipeline.commit([Put("b", b"")], WHY)
    assert not draining.done()
    await bench.finish()
    await flying
    assert await draining == 2


async def test_a_broken_disk_fails_everything_that_waits() -> None:
    bench = Bench()
    flying = await bench.start(Put("a", b""))
    bench.pipeline.stop(Closed("broken"))
    with pytest.raises(Closed):
        await flying
    assert bench.visible == []


async def test_a_busy_writer_is_woken_once_a_turn() -> None:
    bench = Bench()
    await bench.start(Put("a", b""))
    woken: list[int] = []

    def submit(commits: Sequence[writer.Commit]) -> None:
        woken.append(len(commits))
        bench.submitted.extend(commits)

    bench.pipeline.start(submit)
    tasks = [asyncio.create_task(bench.pipeline.commit([Put(f"k{number}", b"")], WHY)) for number in range(20)]
    await settle()
    assert woken == [20]
    await bench.finish()
    assert [(await task)[0].key for task in tasks] == [f"k{number}" for number in range(20)]


@pytest.mark.parametrize(("hold_seconds", "least", "most"), [(3600.0, 4, 7), (0.0, 0, 2)])
async def test_half_of_many_writers_are_at_the_disk_while_the_others_are_answered(
    monkeypatch: pytest.MonkeyPatch, hold_seconds: float, least: int, most: int
) -> None:
    monkeypatch.setattr(pipeline, "HOLD_SECONDS", hold_seconds)
    bench = Bench()
    await bench.start(Put("a", b""))
    groups: list[list[writer.Commit]] = []
    bench.pipeline.start(lambda commits: groups.append(list(commits)))
    count = 8 * pipeline.ANSWERS_AT_ONCE

    async def write(key: str) -> None:
        for _ in range(3):
            await bench.pipeline.commit([Put(key, b"")], WHY)

    tasks = [asyncio.create_task(write(f"k{number}")) for number in range(count)]
    await settle()
    await bench.finish()
    assert [len(group) for group in groups] == [count]
    bench.pipeline.written(groups.pop())
    await settle(2 * count)
    sizes = [len(group) for group in groups]
    assert least * count <= 8 * sizes[0] <= most * count, "they wait neither for all of the others nor for long"
    assert sum(sizes) == count
    while groups:
        bench.pipeline.written(groups.pop(0))
        await settle(2 * count)
    assert all(task.done() for task in tasks)
    assert bench.state.revision == 2 + 3 * count


async def test_a_large_group_is_answered_a_few_at_a_time() -> None:
    bench = Bench()
    tasks = [await bench.start(Put(f"k{number}", b"")) for number in range(3 * pipeline.ANSWERS_AT_ONCE)]
    bench.pipeline.written(list(bench.submitted))
    assert len(bench.visible) == len(tasks), "visible together"
    await asyncio.sleep(0)
    assert 0 < sum(task.done() for task in tasks) < len(tasks)
    await asyncio.gather(*tasks)
