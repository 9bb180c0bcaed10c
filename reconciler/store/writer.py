"""The one thread that writes, and one that checkpoints behind it.

Group commit: whatever waits when the thread comes back from the disk goes into the next statement, so that a busy
journal pays one fsync for many writes and an idle one waits for nobody. The threads take the interpreter lock
once per group, not once per row, which is what keeps commits quick beside a busy event loop.

Invariants: groups reach the disk in the order they were submitted; after a group was refused for lack of space nothing
of its epoch is written any more, for it may build on what was refused; any other failure ends the process, because
after a failed fsync nobody knows what is on disk, and asking again would lie.
"""

import asyncio
import errno
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import apsw

from reconciler.store import disk, measures
from reconciler.store.mvcc import Step
from reconciler.store.provenance import Record
from reconciler.store.reserve import Reserve
from reconciler.store.types import Entry, FsyncFailed, Full, Provenance

GROUP_BYTES = 4 << 20
CHECKPOINT_BYTES = 4 << 20  # of log, then the other thread copies it into the database
LOG_LIMIT_FRAMES = 16_384  # 64 MiB; then the writer itself catches up, so that the log can start anew


@dataclass(slots=True, eq=False)
class Commit:
    """A transaction on its way to the disk and to its readers."""

    epoch: int
    outcome: asyncio.Future[tuple[Entry, ...] | None]  # None: not written, number it again
    provenance: Provenance
    steps: tuple[Step, ...] = ()
    rows: tuple[disk.Row, ...] = ()
    carried: tuple[Record, ...] = ()
    essential: bool = False  # no durable put: allowed to use the reserve
    reserve: int = 0  # revisions up to here become usable
    written: bool = False  # as durable as it has to be


@dataclass(slots=True, eq=False)
class Call:
    """Anything else that needs the writer's connection, between two groups."""

    work: Callable[[apsw.Connection], Any]
    outcome: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Callbacks:
    """All but `die` are called on the event loop."""

    written: Callable[[list[Commit]], None]
    refused: Callable[[list[Commit]], None]
    full: Callable[[], None]
    broken: Callable[[FsyncFailed], None]
    die: Callable[[str], None]  # ends the process; in a thread


def out_of_space(error: apsw.Error, connection: apsw.Connection) -> bool:
    """Whether `error` says that the disk, the quota or the user's share is full."""
    if isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        return True
    return isinstance(error, apsw.IOError) and connection.system_errno in (errno.ENOSPC, errno.EDQUOT)


class Writer:
    def __init__(self, folder: Path, connection: apsw.Connection, reserve: Reserve, callbacks: Callbacks) -> None:
        self._connection = connection
        self._reserve = reserve
        self._callbacks = callbacks
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Commit | Call | None] = SimpleQueue()
        self._backlog: deque[Commit | Call | None] = deque()
        self._refused_epoch = -1
        self._broken: FsyncFailed | None = None
        self._logged_bytes = 0
        self._checkpointer = Checkpointer(folder, reserve, self._fail)
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, commit: Commit) -> None:
        self._queue.put(commit)

    async def call(self, work: Callable[[apsw.Connection], Any]) -> Any:
        """`work` on the writer's connection after everything submitted. Raises Full."""
        call = Call(work, self._loop.create_future())
        self._queue.put(call)
        return await call.outcome

    async def close(self) -> None:
        """After everything submitted."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._checkpointer.close)

    def _run(self) -> None:
        ended = False
        try:
            while (item := self._next()) is not None:
                if isinstance(item, Call):
                    self._call(item)
                else:
                    self._write(self._group(item))
            ended = True
        finally:
            if not ended:
                self._callbacks.die("the journal's writer ended unexpectedly")

    def _next(self) -> Commit | Call | None:
        if not self._backlog:
            self._backlog.append(self._queue.get())
        while not self._queue.empty():
            self._backlog.append(self._queue.get())
        return self._backlog.popleft()

    def _group(self, first: Commit) -> list[Commit]:
        """`first` and the commits behind it that fit into one statement."""
        group, rows, size = [first], len(first.rows), _bytes(first)
        while self._backlog:
            commit = self._backlog[0]
            if not isinstance(commit, Commit):
                break
            rows, size = rows + len(commit.rows), size + _bytes(commit)
            if rows > disk.MAX_ROWS or size > GROUP_BYTES:
                break
            group.append(commit)
            self._backlog.popleft()
        return group

    def _write(self, group: list[Commit]) -> None:
        group = [commit for commit in group if commit.epoch > self._refused_epoch]
        if not group or self._broken is not None:
            return
        started = time.perf_counter()
        try:
            self._append(group)
        except apsw.Error as error:
            self._failed(group, error)
            return
        measures.FSYNC.observe(time.perf_counter() - started)
        self._post(self._callbacks.written, group)
        self._logged_bytes += sum(map(_bytes, group)) + 2 * disk.PAGE_BYTES
        if self._logged_bytes > CHECKPOINT_BYTES:
            self._logged_bytes = 0
            self._checkpointer.nudge()
        if self._checkpointer.frames > LOG_LIMIT_FRAMES:
            self._checkpointer.run(self._connection)

    def _append(self, group: list[Commit]) -> None:
        rows = [row for commit in group for row in commit.rows]
        reserve = max(commit.reserve for commit in group)
        if not reserve:
            disk.append(self._connection, rows)
            return
        with self._connection:
            disk.append(self._connection, rows)
            disk.mark(self._connection, "reserved", reserve)

    def _failed(self, group: list[Commit], error: apsw.Error) -> None:
        if not out_of_space(error, self._connection):
            self._fail(error)
            return
        released = self._release()
        if released and all(commit.essential for commit in group):
            self._write(group)
            return
        self._refused_epoch = group[0].epoch
        self._post(self._callbacks.refused, group)

    def _call(self, call: Call) -> None:
        if self._broken is not None:
            self._post(_reject, call.outcome, self._broken)
            return
        try:
            result = call.work(self._connection)
        except apsw.Error as error:
            if not out_of_space(error, self._connection):
                self._fail(error)
                self._call(call)
            elif self._release():
                self._call(call)
            else:
                self._post(_reject, call.outcome, Full(f"the disk is full: {error}"))
        else:
            self._post(_resolve, call.outcome, result)

    def _release(self) -> bool:
        released = self._reserve.release(self._connection)
        self._post(self._callbacks.full)
        return released

    def _fail(self, error: apsw.Error) -> None:
        message = f"the journal cannot write ({type(error).__name__}: {error}); what is on disk is known only after a restart"
        self._callbacks.die(message)
        self._broken = FsyncFailed(message)  # only where `die` returns, in tests
        self._post(self._callbacks.broken, self._broken)

    def _post(self, callback: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(callback, *arguments)


class Checkpointer:
    """Copies the log into the database beside the writer."""

    def __init__(self, folder: Path, reserve: Reserve, fail: Callable[[apsw.Error], None]) -> None:
        self.frames = 0  # in the log after the last checkpoint, if some of them could not be copied
        self._reserve = reserve
        self._fail = fail
        self._connection = disk.connect(folder)
        self._wanted = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="journal-checkpoint", daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        self._wanted.set()

    def close(self) -> None:
        self._closing = True
        self._wanted.set()
        self._thread.join()
        self._connection.close()

    def run(self, connection: apsw.Connection) -> None:
        """Copy what can be copied without waiting for anybody."""
        started = time.perf_counter()
        try:
            frames, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            return
        except apsw.Error as error:
            if not out_of_space(error, connection):
                self._fail(error)
            elif self._reserve.release():
                self.run(connection)
            return
        self.frames = frames if copied < frames else 0
        measures.CHECKPOINT.observe(time.perf_counter() - started)
        measures.sizes(*disk.sizes(connection))

    def _work(self) -> None:
        while self._wanted.wait() and not self._closing:
            self._wanted.clear()
            self.run(self._connection)


def _bytes(commit: Commit) -> int:
    return sum(len(row.value or b"") + 256 for row in commit.rows)


def _resolve(outcome: asyncio.Future[Any], result: Any) -> None:
    if not outcome.done():
        outcome.set_result(result)


def _reject(outcome: asyncio.Future[Any], error: Exception) -> None:
    if not outcome.done():
        outcome.set_exception(error)
