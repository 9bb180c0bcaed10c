"""Time that passes only when nobody has anything left to do.

An event loop whose clock jumps to the next deadline instead of waiting for it: an hour of timers costs what their work
costs. Everything on it runs in one thread and in an order that depends on nothing outside, so that a run can be
repeated; what would run in another thread runs at once. There is no I/O on it.
"""

import asyncio
import contextlib
import gc
import selectors
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
GARBAGE = (20_000, 50, 100)  # new objects before the youngest are looked at, then how often before older ones are


class Stuck(RuntimeError):
    """Everybody waits for something that no deadline will bring."""


class _Jumping(selectors.SelectSelector):
    """Never waits; tells how long it was asked to."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("nothing is left to happen")
        if timeout > 0:
            self._jump(timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._elapsed = 0.0
        super().__init__(_Jumping(self._pass))

    def _pass(self, seconds: float) -> None:
        self._elapsed += seconds

    def time(self) -> float:
        return self._elapsed

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - an executor hands on whatever its function raises
            done.set_exception(error)
        return done


class Clock:
    """kit/clock.Clock of the loop it is used on."""

    def __init__(self, start_seconds: float) -> None:
        self._start_seconds = start_seconds

    def now(self) -> float:
        return self._start_seconds + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, delay_seconds: float) -> None:
        await asyncio.sleep(max(0.0, delay_seconds))


def run(main: Coroutine[Any, Any, T]) -> T:
    """`main` on a loop of its own, in no more time than it works."""
    with _little_garbage(), asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


@contextlib.contextmanager
def _little_garbage() -> Iterator[None]:
    """A world grows by objects that live on, so looking for garbage among them is in vain and takes a quarter of the time."""
    before = gc.get_threshold()
    gc.set_threshold(*GARBAGE)
    try:
        yield
    finally:
        gc.set_threshold(*before)
