"""Carries out what plan.py decided, wave by wave, and remembers what the server made of it.

Unlike a controller's plan, a wave goes on where one of its actions is refused: a bad document blocks only itself and
what stands on it. A refusal becomes problems with file, line and column. Once everything is done the cache is
awaited, so that the next decision sees what this one wrote.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.client import protocol
from reconciler.gitops import diff, load, marks, review, waves
from reconciler.gitops.identity import Identity, title
from reconciler.gitops.wanted import Wanted
from reconciler.loop import perform
from reconciler.loop.cache import Cache
from reconciler.model import errors, plan
from reconciler.model.apply import fields
from reconciler.model.kind import Kind
from reconciler.model.roster import Roster
from reconciler.model.schema import Schemas

log = logging.getLogger(__name__)

AT_ONCE = 32  # requests in flight


@dataclass(slots=True)
class Outcome:
    """What became of one plan."""

    changes: list[str] = field(default_factory=list)
    done: set[Identity] = field(default_factory=set)
    refused: dict[Identity, tuple[load.Problem, ...]] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)  # Kind.id -> newest revision made


@dataclass(frozen=True, slots=True)
class _Work:
    """The object of one action."""

    identity: Identity
    kind: Kind
    title: str


class Performer:
    """Performs the plans of one Sync. `accepted` is what the server said we own, for the next decision."""

    def __init__(self, cache: Cache, schemas: Schemas, performers: Mapping[type, perform.Performer], sync: str) -> None:
        self._cache = cache
        self._schemas = schemas
        self._performers = performers
        self._sync = sync
        self._gate = asyncio.Semaphore(AT_ONCE)
        self.accepted: dict[Identity, tuple[str, fields.Fields]] = {}

    async def run(self, todo: plan.Plan, wanted: Wanted, roster: Roster) -> Outcome:
        outcome = Outcome()
        for group in todo.groups:
            await asyncio.gather(*(self._one(action, wanted, roster, outcome) for action in group))
        for kind, revision in outcome.written.items():
            if self._cache.has(kind):
                await self._cache.reached(kind, revision)
        return outcome

    def _origin(self) -> protocol.Origin:
        return protocol.Origin(actor=f"gitops/{self._sync}")

    async def _one(self, action: plan.Action, wanted: Wanted, roster: Roster, outcome: Outcome) -> None:
        assert isinstance(action, plan.Patch | plan.Delete)
        identity = Identity(action.kind, action.namespace, action.name)
        work = _Work(identity, roster[identity.kind], title(roster, identity))
        if identity in outcome.refused:
            return  # what had to come before was refused
        document = wanted.documents.get(identity) if isinstance(action, plan.Patch) else None
        before = self._cache.get(*identity) if self._cache.has(identity.kind) else None
        if document is not None and (missing := self._missing(identity, wanted, outcome)):
            outcome.refused[identity] = (document.problem(missing),)
            return
        async with self._gate:
            try:
                written = await self._performers[type(action)](action, self._origin())
            except Exception as error:
                if not isinstance(error, errors.StatusError | protocol.Unknown | OSError):
                    log.exception("performing failed", extra={"facts": {"object": work.title}})  # a bug costs one object
                outcome.refused[identity] = self._refused(work, document, marks.source(before or {}), error)
                return
        if isinstance(action, plan.Patch) and action.type != "apply":
            return
        after = written.obj if written is not None and document is not None else None
        outcome.done.add(identity)
        outcome.changes += diff.lines(work.title, before, after, self._schemas.of(work.kind.hub_version.schema))
        if document is not None and after is not None:
            self.accepted[identity] = (marks.digest(after), marks.owned(after) or fields.NONE)
        else:
            self.accepted.pop(identity, None)
        if written is not None and written.revision:
            outcome.written[identity.kind] = max(written.revision, outcome.written.get(identity.kind, 0))

    def _refused(self, work: _Work, document: load.Document | None, home: str, error: Exception) -> tuple[load.Problem, ...]:
        if document is None:
            return (load.Problem(home, 0, 0, f"{work.title} cannot be pruned yet: {error}"),)
        if isinstance(error, errors.StatusError):
            return self._problems(work, document, error)
        if isinstance(error, protocol.Unknown | OSError):
            return (load.Problem(document.path, document.line, 0, f"the server did not answer, trying again: {error}"),)
        return (load.Problem(document.path, document.line, 0, f"an error of this program, see its log: {error!r}"),)

    def _missing(self, identity: Identity, wanted: Wanted, outcome: Outcome) -> str:
        """What an object stands on that was just refused."""
        namespace = Identity(waves.NAMESPACES, "", identity.namespace)
        if not identity.namespace or namespace not in outcome.refused:
            return ""
        return f"waits for {wanted.documents[namespace].source}, which was refused: Namespace {identity.namespace}"

    def _problems(self, work: _Work, document: load.Document, error: errors.StatusError) -> tuple[load.Problem, ...]:
        """The refusal in terms of the file: our own findings where we have some, else the server's words."""
        if error.code in (400, 422, 500) and (found := self._review(work, document)):
            return found
        causes = [cause for cause in (error.details or {}).get("causes") or () if cause.get("field")]
        if error.reason == "Invalid" and causes:
            return tuple(document.problem(str(cause.get("message", "")), str(cause["field"])) for cause in causes)
        return (document.problem(error.message or error.reason),)

    def _review(self, work: _Work, document: load.Document) -> tuple[load.Problem, ...]:
        try:
            return review.review(document, work.kind, self._schemas, work.identity.namespace)
        except Exception:
            log.exception("reviewing failed", extra={"facts": {"object": work.title}})  # the server's words must do
            return ()
