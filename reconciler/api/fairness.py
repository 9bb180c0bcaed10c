"""How many requests run at once: kube-apiserver's two limits, for reads and for writes.

Long-running requests (watches, followed logs) are counted apart and not limited here. A request over the limit is
refused at once with 429 and Retry-After; nothing queues.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.api import metrics
from reconciler.model import errors

READ_ONLY_MOST = 400
MUTATING_MOST = 200
RETRY_SECONDS = 1


class Limits:
    def __init__(self, read_only_most: int = READ_ONLY_MOST, mutating_most: int = MUTATING_MOST) -> None:
        self._most = {False: read_only_most, True: mutating_most}
        self._running = {False: 0, True: 0}

    @contextmanager
    def room_for(self, *, mutating: bool) -> Iterator[None]:
        """Raises StatusError 429 when as many requests as allowed are running."""
        if self._running[mutating] >= self._most[mutating]:
            metrics.REFUSED.labels("mutating" if mutating else "readOnly").inc()
            message = "The apiserver is overloaded, please try again later."
            raise errors.StatusError(429, "TooManyRequests", message, retry_after_seconds=RETRY_SECONDS)
        self._running[mutating] += 1
        try:
            yield
        finally:
            self._running[mutating] -= 1

    def running(self, *, mutating: bool) -> int:
        return self._running[mutating]
