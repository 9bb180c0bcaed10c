"""What follows a step: the history is written, a failed revision given up for a healthy one, and others are told."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from reconciler.gitops import history, load, notify, record, remote, sync
from reconciler.gitops.identity import Identity
from reconciler.kit import clock as clocks
from reconciler.model import conditions

OUTCOMES = {"Applied": "Healthy", "ProblemsFound": "Refused", "HealthCheckFailed": "Failed"}  # by reason of the condition Ready

Told = Callable[[sync.Spec, notify.News], None]


class Aftermath:
    """Of the Sync `name` of the folder `root`. `back` applies an earlier revision, `tell` gets a line for people."""

    def __init__(
        self,
        name: str,
        root: Path,
        clock: clocks.Clock,
        kept: record.Record,
        told: Told,
        tell: Callable[[str], None],
        back: Callable[[int], Awaitable[object]],
    ) -> None:
        self._name = name
        self._root = root
        self._clock = clock
        self._record = kept
        self._told = told
        self._tell = tell
        self._back = back
        self._news: tuple[str, str] = ("", "")  # commit and outcome that were told last

    async def add(self, documents: Mapping[Identity, load.Document], commit: str) -> None:
        """Record what changed since the last revision, where a history is kept."""
        if self._record.pending and self._record.is_kept:  # else nobody asks git who made the commit
            await self._record.add(documents, await self._entry(commit))

    async def conclude(self, status: sync.Status, spec: sync.Spec) -> None:
        """Note and tell how the last revision stands, and go back where it has failed and the Sync says so."""
        ready = conditions.find([one.wire() for one in status.conditions], "Ready") or {}
        outcome = OUTCOMES.get(str(ready.get("reason")), "Progressing")
        message = "" if outcome == "Healthy" else str(ready.get("message", ""))
        if (status.commit, outcome) != self._news:
            self._news = (status.commit, outcome)
            self._told(spec, notify.News(self._name, outcome, message, status.commit, status.changes))
        failed = await self._record.conclude(outcome, message, status.changes)
        if failed and spec.rollback and not self._record.rolled_back and (good := await self._record.good()):
            self._tell(f"{self._root}: revision {good} is applied again, for the last one failed: {message}")
            await self._back(good)

    async def _entry(self, commit: str) -> history.Entry:
        now = clocks.rfc3339(self._clock.now())
        if self._record.rolled_back:
            return history.Entry(0, now, subject=f"rollback to revision {self._record.rolled_back}")
        author, subject = await remote.described(self._root, commit) if commit else ("", "")
        return history.Entry(0, now, commit, author, subject)
