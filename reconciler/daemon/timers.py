"""The daemon's own chores, each every so many seconds: one APScheduler for all of them.

Import this late: APScheduler takes 80 ms and nobody waits for a chore. A chore that is still at work when its time
comes again is left alone; one that fails is told of and tried again the next time.

APScheduler reckons in wall time, and walls jump: boards boot in 1970, machines are suspended. A jump forward runs
each chore once, since the next time is counted from now and not from the last; after a jump back, which would have
it wait until the old time comes round, `follow_clock` counts anew. A chore is so late by its interval at most, and
CLOCK_SECONDS. See docs/adr/0011.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler import events
from apscheduler.schedulers import asyncio as schedulers
from apscheduler.triggers import base as triggers

from reconciler.kit import clock as clocks

log = logging.getLogger(__name__)

CLOCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Chore:
    """`work` is a coroutine function and runs in the event loop."""

    name: str
    interval_seconds: float
    work: Callable[[], Coroutine[Any, Any, None]]


class Every(triggers.BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """An interval from now on. IntervalTrigger lists every time missed since the last, from 1970 millions of them."""

    def __init__(self, interval_seconds: float) -> None:
        self.interval = timedelta(seconds=interval_seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        return now + self.interval


async def run(chores: Iterable[Chore], clock: clocks.Clock) -> None:
    """Do the chores for ever, each for the first time after its interval."""
    scheduler = scheduler_of(chores)
    scheduler.start()
    try:
        while True:
            await clock.sleep(CLOCK_SECONDS)
            follow_clock(scheduler)
    finally:
        scheduler.shutdown(wait=False)


def scheduler_of(chores: Iterable[Chore]) -> schedulers.AsyncIOScheduler:
    """Not started yet. However late a chore is, it runs, and once."""
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # a line before and after each run; failures are told below
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    scheduler = schedulers.AsyncIOScheduler(timezone=UTC, job_defaults=defaults)
    scheduler.add_listener(_failed, events.EVENT_JOB_ERROR)
    for chore in chores:
        scheduler.add_job(chore.work, Every(chore.interval_seconds), id=chore.name)
    return scheduler


def follow_clock(scheduler: schedulers.AsyncIOScheduler) -> None:
    """Count anew for chores that are further away than their interval: the wall clock went back."""
    now = datetime.now(UTC)
    for job in scheduler.get_jobs():
        if job.next_run_time - now > job.trigger.interval:
            job.reschedule(job.trigger)


def _failed(event: events.JobExecutionEvent) -> None:
    if not isinstance(event.exception, asyncio.CancelledError):  # which is the end of the daemon
        log.error("a chore failed, trying again later", exc_info=event.exception, extra={"facts": {"chore": event.job_id}})
