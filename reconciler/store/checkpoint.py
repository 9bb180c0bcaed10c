"""Copies the log into the database beside the writer, so that no commit waits for it.

SQLite starts the log anew only at a moment when all of it is copied. A busy writer leaves no such moment, so after the bulk
was copied beside it the writer itself copies the little that came in meanwhile.
"""

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from reconciler.store import disk, measures

NUDGE_BYTES = 4 << 20  # of new log
LIMIT_FRAMES = NUDGE_BYTES // disk.PAGE_BYTES // 2


def out_of_space(error: apsw.Error, connection: apsw.Connection) -> bool:
    """Whether `error` says that the disk, the quota or the user's share is full."""
    if isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        return True
    return isinstance(error, apsw.IOError) and connection.system_errno in (errno.ENOSPC, errno.EDQUOT)


class Checkpointer:
    """`filled` is told that there is no space and says whether it could make some; `fail` that the disk is broken."""

    def __init__(self, folder: Path, filled: Callable[[], bool], fail: Callable[[apsw.Error], object]) -> None:
        self._frames = 0  # in the log when it was last copied
        self._fresh_bytes = 0
        self._filled = filled
        self._fail = fail
        self._connection = disk.connect(folder)
        self._one = threading.Lock()
        self._wanted = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="journal-checkpoint", daemon=True)
        self._thread.start()

    def logged(self, size_bytes: int, connection: apsw.Connection) -> None:
        """The writer, with its connection, has added so much to the log."""
        self._fresh_bytes += size_bytes
        if self._fresh_bytes > NUDGE_BYTES:
            self._fresh_bytes = 0
            self._wanted.set()
        if self._frames > LIMIT_FRAMES and self.run(connection):
            self._frames = 0

    def run(self, connection: apsw.Connection) -> bool:
        """Copy what is in the log now, after a copy that is under way; whether that was all of it then."""
        with self._one:
            return self._run(connection)

    def close(self) -> None:
        self._closing = True
        self._wanted.set()
        self._thread.join()
        self._connection.close()

    def _run(self, connection: apsw.Connection) -> bool:
        started = time.perf_counter()
        try:
            frames, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:  # the writer was just changing the head of the log
            self._wanted.set()
            return False
        except apsw.Error as error:
            if not out_of_space(error, connection):
                self._fail(error)
                return False
            return self._filled() and self._run(connection)
        self._frames = frames
        measures.CHECKPOINT.observe(time.perf_counter() - started)
        measures.sizes(*disk.sizes(connection))
        return bool(copied == frames)

    def _work(self) -> None:
        while self._wanted.wait() and not self._closing:
            self._wanted.clear()
            self.run(self._connection)
