"""The one thread that writes.

Group commit: whatever waits when the thread comes back from the disk goes into the next statement, so that a busy
journal pays one fsync for many writes and an idle one waits for nobody. The thread takes the interpreter lock
once per group, not once per row, which is what keeps commits quick beside a busy event loop.

Invariants: groups reach the disk in the order they were submitted; after a group was refused for lack of space nothing
of its epoch is written any more, for it may build on what was refused; any other failure ends the process, because
after a failed fsync nobody knows what is on disk, and asking again would lie.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import apsw

from reconciler.kit import clock as clocks
from reconciler.store import disk, measures, past
from reconciler.store.checkpoint import Checkpointer, out_of_space
from reconciler.store.mvcc import Step
from reconciler.store.provenance import Record
from reconciler.store.reserve import Reserve
from reconciler.store.types import Entry, FsyncFailed, Full, Provenance

GROUP_BYTES = 4 << 20


@dataclass(slots=True, eq=False)
class Commit:
    """A transaction on its way to the disk and to its readers."""

    epoch: int
    outcome: asyncio.Future[tuple[Entry, ...] | None]  # None: not written, number it again; cancelled with its writer
    provenance: Provenance
    steps: tuple[Step, ...] = ()
    reserve: int = 0  # revisions up to here become usable
    rows: list[disk.Row] = field(default_factory=list)
    carried: tuple[Record, ...] = ()
    essential: bool = True  # no durable put: allowed to use the reserve
    written: bool = False  # as durable as it has to be
    waiters: tuple[asyncio.Future[None], ...] = ()  # others that want to know when it is decided

    def answer(self, result: tuple[Entry, ...] | Full | None) -> None:
        """Tell everybody, who may have gone."""
        if self.outcome.done():
            pass
        elif isinstance(result, Full):
            self.outcome.set_exception(result)
        else:
            self.outcome.set_result(result)
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


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


class Writer:
    def __init__(
        self,
        folder: Path,
        connection: apsw.Connection,
        reserve: Reserve,
        callbacks: Callbacks,
        now: Callable[[], float] = clocks.SystemClock().now,
    ) -> None:
        self._connection = connection
        self._reserve = reserve
        self._callbacks = callbacks
        self._now = now
        self._noted_at = float("-inf")  # when the last moment was
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Sequence[Commit] | Call | None] = SimpleQueue()
        self._backlog: deque[Commit | Call | None] = deque()
        self._refused_epoch = -1
        self._broken: FsyncFailed | None = None
        self._checkpointer = Checkpointer(folder, self._filled, self._fail)
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, commits: Sequence[Commit]) -> None:
        self._queue.put(commits)

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
                    self._write(*self._group(item))
            ended = True
        finally:
            if not ended:
                self._callbacks.die("the journal's writer ended unexpectedly")

    def _next(self) -> Commit | Call | None:
        while not self._backlog or not self._queue.empty():
            item = self._queue.get()
            self._backlog.extend(item if isinstance(item, Sequence) else (item,))
        return self._backlog.popleft()

    def _group(self, first: Commit) -> tuple[list[Commit], int]:
        """`first` and the commits behind it that fit into one statement, and their bytes."""
        group, rows, size = [first], len(first.rows), _bytes(first)
        while self._backlog:
            commit = self._backlog[0]
            if not isinstance(commit, Commit):
                break
            more = _bytes(commit)
            rows += len(commit.rows)
            if rows > disk.MAX_ROWS or size + more > GROUP_BYTES:
                break
            size += more
            group.append(commit)
            self._backlog.popleft()
        return group, size

    def _write(self, group: list[Commit], size_bytes: int) -> None:
        group = [commit for commit in group if commit.epoch > self._refused_epoch]
        if not group or self._broken is not None:
            return
        essential = all(commit.essential for commit in group)
        if not self._reserve.stocked and not essential:
            self._refuse(group)
            return
        started = time.perf_counter()
        try:
            self._attempt(lambda: self._append(group), essential=essential)
        except Full:
            self._refuse(group)
        except FsyncFailed:
            return
        else:
            measures.FSYNC.observe(time.perf_counter() - started)
            self._post(self._callbacks.written, group)
            self._checkpointer.logged(size_bytes + 2 * disk.PAGE_BYTES, self._connection)

    def _append(self, group: list[Commit]) -> None:
        rows = [row for commit in group for row in commit.rows]
        reserve = max(commit.reserve for commit in group)
        now, first = self._now(), next((row[0] for row in rows if row[1] != disk.Form.HUSK), 0)
        is_moment = first and abs(now - self._noted_at) >= past.SPACING_SECONDS
        if not reserve and not is_moment:
            disk.append(self._connection, rows)
            return
        with self._connection:
            disk.append(self._connection, rows)
            if reserve:
                disk.mark(self._connection, "reserved", reserve)
            if is_moment:
                disk.note(self._connection, first, now)
        self._noted_at = now if is_moment else self._noted_at

    def _attempt(self, work: Callable[[], Any], *, essential: bool) -> Any:
        """Do `work`, and where it is `essential` once more after making room for it. Raises Full, FsyncFailed."""
        attempts = 2 if essential else 1
        while True:
            try:
                return work()
            except apsw.Error as error:
                if not out_of_space(error, self._connection):
                    raise self._fail(error) from error
                attempts -= 1
                if not self._make_room() or not attempts:
                    raise Full(f"the disk is full: {error}") from error

    def _refuse(self, group: list[Commit]) -> None:
        self._refused_epoch = group[0].epoch
        self._post(self._callbacks.full)  # the other thread may have found out and not said so yet
        self._post(self._callbacks.refused, group)

    def _call(self, call: Call) -> None:
        if self._broken is not None:
            self._post(_reject, call.outcome, self._broken)
            return
        try:
            result = self._attempt(lambda: call.work(self._connection), essential=True)
        except (Full, FsyncFailed) as error:
            self._post(_reject, call.outcome, error)
        else:
            self._post(_resolve, call.outcome, result)

    def _make_room(self) -> bool:
        """Give up the reserve and spend it on an empty log, in whose space removals then fit; False when nothing helped."""
        released = self._filled(self._connection)
        return self._checkpointer.run(self._connection) or released

    def _filled(self, connection: apsw.Connection | None = None) -> bool:
        released = self._reserve.release(connection)
        self._post(self._callbacks.full)
        return released

    def _fail(self, error: apsw.Error) -> FsyncFailed:
        message = f"the journal cannot write ({type(error).__name__}: {error}); what is on disk is known only after a restart"
        self._callbacks.die(message)
        self._broken = FsyncFailed(message)  # only where `die` returns, in tests
        self._post(self._callbacks.broken, self._broken)
        return self._broken

    def _post(self, callback: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed without the journal: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)


def _bytes(commit: Commit) -> int:
    size = 0
    for row in commit.rows:
        size += len(row[-1] or b"") + 256
    return size


def _resolve(outcome: asyncio.Future[Any], result: Any) -> None:
    if not outcome.done():
        outcome.set_result(result)


def _reject(outcome: asyncio.Future[Any], error: Exception) -> None:
    if not outcome.done():
        outcome.set_exception(error)
