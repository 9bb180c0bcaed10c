"""Long-running tasks of one component: named, cancelled together, and never silently dead.

An exception that ends a task which should run for ever ends its group, and so the daemon: a component that
died unnoticed is worse than a restart.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Tasks that live and die together; `await tasks.join()` re-raises the first failure."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], None] = {}  # in the order they started, so that a simulation can be repeated
        self._failure: asyncio.Future[None] | None = None

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running[task] = None
        task.add_done_callback(self._ended)
        return task

    async def join(self) -> None:
        """Wait until a task fails; cancel the wait to stop waiting."""
        if self._failure is None:
            self._failure = asyncio.get_running_loop().create_future()
        await self._failure

    async def close(self) -> None:
        """Cancel every task and wait for all of them."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if self._failure is None:
            self._failure = task.get_loop().create_future()
        if not self._failure.done():
            self._failure.set_exception(error)


async def until_one_ends(*works: Coroutine[Any, Any, Any]) -> None:
    """Run all until the first of them ends, then cancel the others; how they end is nobody's business."""
    running = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
