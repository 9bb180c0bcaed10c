"""From a transaction to its acknowledgement: numbering, group commit, visibility in order.

`commit` checks a transaction against everything numbered so far and numbers it, all in one step of the event loop; the
writer thread puts groups on disk; `_advance` makes them visible in order and answers. A transaction that only
lives in memory takes the same queue, so that revisions become visible in order; on an idle journal that is at once.

Invariants: nothing unacknowledged is visible, not even in a Conflict; a revision is never used twice, for rows hold
theirs on disk and all others come out of blocks that were reserved on disk before; what followed a refused group
is numbered again, for it may have built on it. Not here: reading, watching, the disk.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from reconciler.store import disk, mvcc, writer
from reconciler.store.provenance import Ledger, Record
from reconciler.store.types import Durability, Entry, Full, JournalError, Operation, Provenance, Put

log = logging.getLogger(__name__)

BLOCK = 100_000  # revisions reserved at a time; the next block is asked for when half of one is left
ANSWERS_AT_ONCE = 32  # writers woken in one turn of the event loop: a group's hundreds go on at length, and requests wait
HOLD_SECONDS = 0.002  # how long a numbered write waits at most for those of the writers that are being answered
PENDING = 4_096  # transactions that wait for the disk; further ones wait before they are numbered
FULL = "the disk is full: only removals and compaction work until there is space"


class Pipeline:
    """`visible` is called with every group of steps that just became visible; `ttl_seconds` knows the leases."""

    def __init__(
        self, state: mvcc.State, reserved: int, visible: Callable[[list[mvcc.Step]], None], ttl_seconds: Callable[[int], float]
    ) -> None:
        self.ledger = Ledger()
        self.full = False
        self._state = state
        self._draft: mvcc.Draft[writer.Commit] = mvcc.Draft(state)
        self._visible = visible
        self._ttl_seconds = ttl_seconds
        self._pending: deque[writer.Commit] = deque()
        self._answers: deque[writer.Commit] = deque()  # visible, their writers not yet woken
        self._submit: Callable[[Sequence[writer.Commit]], None]
        self._loop: asyncio.AbstractEventLoop
        self._turn: list[writer.Commit] = []  # numbered lately, to be submitted together
        self._turn_began = 0.0
        self._epoch = 0
        self._next = state.revision + 1
        self._reserved = reserved  # durably
        self._asked = reserved  # on its way to disk in front of everything that needs it
        self._exhausted = False  # a block could not be reserved even from the space kept for that
        self._error: JournalError | None = None

    def start(self, submit: Callable[[Sequence[writer.Commit]], None]) -> None:
        self._submit = submit
        self._loop = asyncio.get_running_loop()  # asking for it costs a system call, which every write would pay

    async def commit(self, operations: Sequence[Operation], provenance: Provenance) -> tuple[Entry, ...]:
        """See types.Journal.commit."""
        mvcc.validate(operations)
        while True:
            while (blocker := self._blocker(operations)) is not None:
                await self._settled(blocker)
            entries = await self._number(operations, provenance).outcome
            if entries is not None:
                return entries

    def _blocker(self, operations: Sequence[Operation]) -> writer.Commit | None:
        """What has to be decided before the transaction can be numbered. Raises Conflict, Full."""
        if self._error is not None:
            raise self._error
        if self.full and any(isinstance(op, Put) and op.durability is Durability.DURABLE for op in operations):
            raise Full(FULL)
        if len(self._pending) >= PENDING:
            return self._pending[0]
        found = mvcc.conflict(operations, self._draft.lookup)
        if found is None:
            return None
        seen = mvcc.conflict(operations, self._state.current.get)
        if seen is not None:
            raise seen
        # Only a write that may yet fail stands in the way.
        return self._draft.owner(found.key)

    async def _settled(self, commit: writer.Commit) -> None:
        waiter = self._loop.create_future()
        commit.waiters += (waiter,)
        await waiter

    def _number(self, operations: Sequence[Operation], provenance: Provenance) -> writer.Commit:
        draft = self._draft
        writes = mvcc.writes(operations, draft.lookup)
        ttls = {0: 0.0}
        for operation in writes:
            if isinstance(operation, Put) and operation.lease:
                ttls[operation.lease] = self._ttl_seconds(operation.lease)
        steps = mvcc.steps(writes, self._draw(len(writes)), draft.lookup)
        commit = self._commit_of(provenance, steps)
        for step in steps:
            draft.stage(step, commit)
            entry = step.change.entry
            if step.durable:
                commit.rows.append(_row(step, provenance, ttls[entry.lease]))
                commit.essential = commit.essential and entry.value is None
            else:
                self.ledger.add(Record(entry.mod_revision, entry.key, provenance))
        if commit.rows and self.ledger:
            commit.carried = self.ledger.carry(_needed(steps, provenance))
            commit.rows[:0] = map(_husk, commit.carried)
        self._enqueue(commit)
        return commit

    def _enqueue(self, commit: writer.Commit) -> None:
        idle = not self._pending
        self._pending.append(commit)
        if not commit.rows and not commit.reserve:
            commit.written = True
            self._advance()
            return
        if not self._turn:
            self._turn_began = time.monotonic()
        self._turn.append(commit)
        if idle:
            self._hand_over()
        elif len(self._turn) == 1:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """What was numbered, to the writer, unless more are still to be answered: most of them come back with a write at once.

        So half of many concurrent writers are on their way to the disk while the other half are answered. Where the answered
        have much else to do first, nobody waits for them.
        """
        if not self._turn:
            return
        if len(self._turn) >= len(self._answers) or time.monotonic() - self._turn_began >= HOLD_SECONDS:
            commits, self._turn = self._turn, []
            self._submit(commits)

    def _commit_of(self, provenance: Provenance, steps: tuple[mvcc.Step, ...] = (), reserve: int = 0) -> writer.Commit:
        return writer.Commit(self._epoch, self._loop.create_future(), provenance, steps, reserve)

    async def unique(self) -> int:
        """A number from the sequence of revisions that nobody else ever gets. Raises Full."""
        while True:
            if self._error is not None:
                raise self._error
            number = self._draw(1)
            commit = self._commit_of(Provenance("journal"))
            self._enqueue(commit)
            if await commit.outcome is not None:
                return number

    def _draw(self, count: int) -> int:
        """The first of `count` revisions that nobody else gets. Raises Full."""
        if self._next + count > self._asked - BLOCK // 2 and not self._exhausted:
            self._asked = self._next + count + BLOCK
            self._enqueue(self._commit_of(Provenance("journal"), reserve=self._asked))
        if self._next + count > self._asked:
            raise Full(FULL)
        first = self._next
        self._next += count
        return first

    def written(self, group: list[writer.Commit]) -> None:
        """`group` is on disk."""
        for commit in group:
            commit.written = True
            if commit.reserve:
                self._reserved = max(self._reserved, commit.reserve)
        self._advance()

    def _advance(self) -> None:
        steps: list[mvcc.Step] = []
        idle = not self._answers
        while self._pending and self._pending[0].written:
            commit = self._pending.popleft()
            self._answers.append(commit)
            steps += commit.steps
            if commit.carried:
                self.ledger.landed(commit.carried)
        if steps:
            self._draft.publish(steps)
            self._visible(steps)
        if idle:
            self._answer()
        if self.ledger.overflowing:
            lives = self._state.current.values()
            self.ledger.sweep(revision for live in lives for revision in (live.entry.create_revision, live.spec_revision))

    def _answer(self) -> None:
        for _ in range(min(ANSWERS_AT_ONCE, len(self._answers))):
            commit = self._answers.popleft()
            commit.answer(tuple([step.change.entry for step in commit.steps]))
        if self._answers:
            self._loop.call_soon(self._answer)
        self._hand_over()

    def refused(self, group: list[writer.Commit]) -> None:
        """There was no space for `group`: its puts fail, all others that wait are numbered again."""
        essential_only = all(commit.essential for commit in group)
        lost = {commit for commit in group if essential_only or not commit.essential}
        pending, self._pending = self._pending, deque()
        self._turn = []
        self._epoch += 1
        self._draft.discard()
        self.ledger.stranded()
        for commit in pending:
            for step in commit.steps:
                self.ledger.drop(step.change.revision)
            if commit.reserve:
                self._asked = self._reserved
                self._exhausted = commit in lost
            if commit in lost and not commit.reserve:
                commit.answer(Full(FULL))
            else:
                commit.answer(None)

    def relieved(self) -> None:
        """There is space again."""
        self.full = self._exhausted = False

    def stop(self, error: JournalError) -> None:
        """From now on every commit, and whatever waits, fails with `error`."""
        self._error = error
        pending, self._pending = self._pending, deque()
        self._draft.discard()
        for commit in pending:
            commit.answer(None)

    async def drain(self, error: JournalError) -> int:
        """Take no more commits, wait for those in flight; the highest revision that was given out."""
        self._error = error
        while self._pending or self._answers:
            await self._settled((self._pending or self._answers)[-1])
        return self._next - 1

    def causes(self) -> list[int]:
        """What the writes in flight name as their causes."""
        return [commit.provenance.cause for commit in self._pending]


def _needed(steps: Sequence[mvcc.Step], provenance: Provenance) -> set[int]:
    """Revisions whose records must be on disk with durable `steps`: the cause and what made the objects."""
    lives = [step.live for step in steps if step.durable and step.live is not None]
    return {provenance.cause, *(made for live in lives for made in (live.entry.create_revision, live.spec_revision))}


def _row(step: mvcc.Step, provenance: Provenance, ttl_seconds: float) -> disk.Row:
    (key, value, created, revision, version, lease, _), _ = step.change
    form, spec = (disk.Form.PUT, step.live.spec_revision) if step.live else (disk.Form.DELETE, 0)
    return disk.row(revision, form, key, created, version, spec, lease, ttl_seconds, provenance, value)


def _husk(record: Record) -> disk.Row:
    return disk.row(record.revision, disk.Form.HUSK, record.key, 0, 0, 0, 0, 0.0, record.provenance, None)
