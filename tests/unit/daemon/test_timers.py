"""Chores on a wall clock that jumps."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from apscheduler.schedulers import base

from reconciler.daemon import timers
from reconciler.kit.clock import VirtualClock

EPOCH = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
PATIENCE_SECONDS = 20.0


class Wall:
    """What stands in for datetime in APScheduler and in timers.py."""

    def __init__(self) -> None:
        self.time = EPOCH

    def now(self, zone: tzinfo) -> datetime:
        return self.time.astimezone(zone)


class World:
    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.clock = VirtualClock()
        self.done: list[str] = []
        self.failing = False
        self.scheduler = timers.scheduler_of([self.chore("often", 60.0), self.chore("rarely", 3600.0)])

    def chore(self, name: str, interval_seconds: float) -> timers.Chore:
        async def work() -> None:
            self.done.append(name)
            if self.failing:
                raise ValueError("broken")

        return timers.Chore(name, interval_seconds, work)

    async def wake(self) -> list[str]:
        """What was done since, once the scheduler looked at the wall clock."""
        self.scheduler.wakeup()
        await settled()
        done, self.done = sorted(self.done), []
        return done

    def in_seconds(self) -> dict[str, float]:
        return {job.id: (job.next_run_time - self.wall.time).total_seconds() for job in self.scheduler.get_jobs()}


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    wall = Wall()
    monkeypatch.setattr(base, "datetime", wall)
    monkeypatch.setattr(timers, "datetime", wall)
    made = World(wall)
    scheduler = made.scheduler
    scheduler.start()
    yield made
    scheduler.shutdown(wait=False)
    await settled()


async def test_each_chore_at_its_interval(world: World) -> None:
    assert await world.wake() == []
    world.wall.time += timedelta(seconds=60)
    assert await world.wake() == ["often"]
    assert await world.wake() == []
    assert world.in_seconds() == {"often": 60, "rarely": 3540}


async def test_a_jump_of_decades_runs_each_once(world: World) -> None:
    world.wall.time = datetime(2026, 1, 1, tzinfo=UTC)
    assert await world.wake() == ["often", "rarely"]
    assert await world.wake() == []
    assert world.in_seconds() == {"often": 60, "rarely": 3600}


async def test_a_jump_back_does_not_put_chores_off(world: World) -> None:
    world.wall.time -= timedelta(days=300)
    timers.follow_clock(world.scheduler)
    assert world.in_seconds() == {"often": 60, "rarely": 3600}
    world.wall.time += timedelta(seconds=30)
    timers.follow_clock(world.scheduler)
    assert world.in_seconds() == {"often": 30, "rarely": 3570}


async def test_a_failure_is_told_and_tried_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.failing = True
    for _ in range(2):
        world.wall.time += timedelta(seconds=60)
        assert await world.wake() == ["often"]
    told = [(record.levelno, record.getMessage(), str(record.exc_info and record.exc_info[1])) for record in caplog.records]
    assert told == [(logging.ERROR, "a chore failed, trying again later", "broken")] * 2


async def test_a_chore_at_work_is_not_started_again(world: World) -> None:
    release = asyncio.Event()
    begun = []

    async def work() -> None:
        begun.append(1)
        await release.wait()

    scheduler = timers.scheduler_of([timers.Chore("slow", 60.0, work)])
    scheduler.start()
    for _ in range(3):
        world.wall.time += timedelta(seconds=60)
        scheduler.wakeup()
        await settled()
    assert begun == [1]
    release.set()
    await settled()
    world.wall.time += timedelta(seconds=60)
    scheduler.wakeup()
    await settled()
    assert begun == [1, 1]
    scheduler.shutdown(wait=False)


async def test_the_end_of_the_daemon_is_no_failure(world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        at_work.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    world.scheduler = timers.scheduler_of([timers.Chore("long", 60.0, work)])
    monkeypatch.setattr(timers, "scheduler_of", lambda chores: world.scheduler)
    running = asyncio.create_task(timers.run([], world.clock))
    await settled()
    world.wall.time += timedelta(seconds=60)
    world.scheduler.wakeup()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await at_work.wait()
        running.cancel()
        await ended.wait()
    await settled()
    assert not world.scheduler.running
    assert caplog.records == []


async def test_run_follows_the_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[object] = []
    monkeypatch.setattr(timers, "follow_clock", followed.append)
    running = asyncio.create_task(timers.run([], world.clock))
    await settled()
    for _ in range(3):
        world.clock.advance(timers.CLOCK_SECONDS)
        await settled()
    assert len(followed) == 3
    running.cancel()
    await settled()
