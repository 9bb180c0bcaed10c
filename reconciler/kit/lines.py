"""Lines for whoever reads our output, written by a thread of their own: a reader that stalls stalls nobody else.

Invariants: `put` never waits; at most MOST lines wait. What finds no room is dropped and counted, and the count is
said as soon as there is room again. To a reader that has gone nothing is written any more.
"""

import os
import select
import threading
from collections import deque

MOST = 4096
PAUSE_SECONDS = 0.05  # after each write: the lines of a burst go out together, and wake the thread once


class Lines:
    """Writes to the descriptor `file`."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._waiting: deque[str | threading.Event] = deque()
        self._some = threading.Event()
        self._hurry = threading.Event()
        self._dropped = 0
        self._is_gone = False
        threading.Thread(target=self._run, name=f"lines of {file}", daemon=True).start()

    def put(self, line: str) -> None:
        if len(self._waiting) >= MOST:
            self._dropped += 1
            return
        self._waiting.append(line)
        if not self._some.is_set():
            self._some.set()

    def flush(self, seconds: float) -> bool:
        """Wait until what was put before is written, but no longer than `seconds`; whether it is. 0 only hurries."""
        written = threading.Event()
        self._waiting.append(written)
        self._some.set()
        self._hurry.set()
        return written.wait(seconds)

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            self._write_waiting()
            self._hurry.wait(PAUSE_SECONDS)
            self._hurry.clear()

    def _write_waiting(self) -> None:
        text: list[str] = []
        flushed: list[threading.Event] = []
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, str):
                text.append(item + "\n")
            else:
                flushed.append(item)
        dropped, self._dropped = self._dropped, 0
        if dropped:
            text.append(f"... {dropped} more line{'s' if dropped > 1 else ''} not shown: they came faster than they were read\n")
        self._write("".join(text).encode("utf-8", "backslashreplace"))
        for event in flushed:
            event.set()

    def _write(self, content: bytes) -> None:
        while content and not self._is_gone:
            try:
                content = content[os.write(self._file, content) :]
            except BlockingIOError:  # somebody else made the pipe non-blocking
                select.select((), (self._file,), ())
            except OSError:
                self._is_gone = True
