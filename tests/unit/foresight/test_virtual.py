"""Time that passes without waiting."""

import asyncio
import time

import pytest

from reconciler.foresight import virtual


def test_an_hour_passes_at_once_and_in_order() -> None:
    async def main() -> tuple[list[str], float]:
        clock = virtual.Clock(1_000.0)
        seen: list[str] = []

        async def wake(name: str, delay_seconds: float) -> None:
            await clock.sleep(delay_seconds)
            seen.append(name)

        await asyncio.gather(wake("late", 3600.0), wake("early", 1.0), wake("now", 0.0))
        return seen, clock.now()

    seen, now = virtual.run(main())
    assert seen == ["now", "early", "late"]
    assert now == pytest.approx(4_600.0)


def test_timeouts_are_virtual_too() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600.0):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == pytest.approx(600.0)


def test_what_would_run_in_a_thread_runs_at_once() -> None:
    async def main() -> float:
        assert await asyncio.to_thread(time.monotonic) > 0
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == 0.0


def test_waiting_for_nothing_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(virtual.Stuck):
        virtual.run(main())
