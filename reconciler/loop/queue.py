"""A work queue of keys, as client-go's: no key twice, none given out while it is still being worked on.

Delays are monotonic deadlines kept in a heap; the owner asks for the next one and calls `promote`. Back-off per key
doubles from 5 ms to 1000 s (client-go's ItemExponentialFailureRateLimiter). The queue holds at most one entry and
one deadline per key, so what bounds the keys bounds the queue. It never waits and starts nothing.
"""

import heapq
from collections import deque

from prometheus_client import Counter, Gauge, Histogram

from reconciler.kit import clock as clocks
from reconciler.metrics import registry
from reconciler.model import meta

BASE_DELAY_SECONDS = 0.005
MAX_DELAY_SECONDS = 1000.0

_metrics = registry.of("controllers")
_BUCKETS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)  # client-go's
DEPTH = Gauge("workqueue_depth", "Current depth of workqueue", ["name"], registry=_metrics)
ADDS = Counter("workqueue_adds", "Total number of adds handled by workqueue", ["name"], registry=_metrics)
RETRIES = Counter("workqueue_retries", "Total number of retries handled by workqueue", ["name"], registry=_metrics)
QUEUED = Histogram(
    "workqueue_queue_duration_seconds",
    "How long in seconds an item stays in workqueue before being requested",
    ["name"],
    buckets=_BUCKETS,
    registry=_metrics,
)
WORKED = Histogram(
    "workqueue_work_duration_seconds",
    "How long in seconds processing an item from workqueue takes",
    ["name"],
    buckets=_BUCKETS,
    registry=_metrics,
)
UNFINISHED = Gauge(
    "workqueue_unfinished_work_seconds",
    "How many seconds of work is in progress and has not been observed by work_duration",
    ["name"],
    registry=_metrics,
)
LONGEST = Gauge(
    "workqueue_longest_running_processor_seconds",
    "How many seconds the longest running processor for workqueue has been running",
    ["name"],
    registry=_metrics,
)


class Queue:
    """The keys of one controller that want work."""

    def __init__(self, name: str, clock: clocks.Clock) -> None:
        self._clock = clock
        self._ready: deque[meta.Key] = deque()
        self._wanting: dict[meta.Key, float] = {}  # since when (monotonic), ready or to become so once done
        self._working: dict[meta.Key, float] = {}  # since when
        self._deadlines: dict[meta.Key, float] = {}
        self._heap: list[tuple[float, meta.Key]] = []  # may hold outdated entries; _deadlines decides
        self._failures: dict[meta.Key, int] = {}
        self._adds = ADDS.labels(name)
        self._retries = RETRIES.labels(name)
        self._queued = QUEUED.labels(name)
        self._worked = WORKED.labels(name)
        DEPTH.labels(name).set_function(lambda: len(self._ready))
        UNFINISHED.labels(name).set_function(lambda: sum(self._running_seconds()))
        LONGEST.labels(name).set_function(lambda: max(self._running_seconds(), default=0.0))

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: meta.Key) -> None:
        """Want `key` worked on, as soon as it is not being worked on."""
        if key in self._wanting:
            return
        self._adds.inc()
        self._wanting[key] = self._clock.monotonic()
        if key not in self._working:
            self._ready.append(key)

    def add_at(self, key: meta.Key, deadline_seconds: float) -> None:
        """Want `key` at a monotonic time; of several times the earliest counts."""
        known = self._deadlines.get(key)
        if known is None or deadline_seconds < known:
            self._deadlines[key] = deadline_seconds
            heapq.heappush(self._heap, (deadline_seconds, key))
            if len(self._heap) > 2 * len(self._deadlines) + 64:
                self._heap = [(deadline, key) for key, deadline in self._deadlines.items()]
                heapq.heapify(self._heap)

    def back_off(self, key: meta.Key) -> float:
        """Count a failure of `key` and want it again after its delay, which is returned in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_seconds = min(BASE_DELAY_SECONDS * float(2 ** min(failures, 30)), MAX_DELAY_SECONDS)
        self._retries.inc()
        self.add_at(key, self._clock.monotonic() + delay_seconds)
        return delay_seconds

    def forgive(self, key: meta.Key) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)

    def failures(self, key: meta.Key) -> int:
        return self._failures.get(key, 0)

    def cancel(self, key: meta.Key) -> None:
        """Forget the deadline of `key`."""
        self._deadlines.pop(key, None)

    def deadline(self, key: meta.Key) -> float | None:
        return self._deadlines.get(key)

    def next_deadline(self) -> float | None:
        """The earliest monotonic time for which a key waits."""
        heap = self._heap
        while heap and self._deadlines.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def promote(self) -> None:
        """Add every key whose deadline has passed."""
        now = self._clock.monotonic()
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, key = heapq.heappop(self._heap)
            del self._deadlines[key]
            self.add(key)

    def take(self) -> meta.Key | None:
        """A key to work on now; call `done` with it afterwards."""
        if not self._ready:
            return None
        key = self._ready.popleft()
        now = self._clock.monotonic()
        self._queued.observe(now - self._wanting.pop(key))
        self._working[key] = now
        return key

    def done(self, key: meta.Key) -> None:
        self._worked.observe(self._clock.monotonic() - self._working.pop(key))
        if key in self._wanting:
            self._ready.append(key)

    def _running_seconds(self) -> list[float]:
        now = self._clock.monotonic()
        return [now - since for since in self._working.values()]
