"""When garbage is collected."""

import gc
import time

import pytest

from reconciler.daemon import heap


async def test_old_garbage_is_collected_at_quiet_moments_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    collected: list[float] = []
    frozen: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(gc, "collect", lambda: collected.append(now))
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(now))
    subject = heap.Heap()

    def beats(late_seconds: float, count: int) -> None:
        for _ in range(count):
            subject.beat(late_seconds)

    beats(0.0, heap.QUIET_BEATS)
    await subject.collect()
    assert collected == frozen == [now]  # what the start made
    collected.clear()
    await subject.collect()
    assert collected == []  # the last time is not long ago
    now += heap.COLLECT_EVERY_SECONDS + 1
    beats(heap.QUIET_SECONDS, 1)
    beats(0.0, heap.QUIET_BEATS - 1)
    await subject.collect()
    assert collected == []  # not quiet for long enough
    beats(0.0, 1)
    await subject.collect()
    await subject.collect()
    assert collected == [now]
    assert len(frozen) == 1
