"""How one Plan is performed: groups in order, slow start, what counts as success, what is known afterwards.

Every action is preceded by the question whether we still lead. The first failure ends the plan after its group's
started actions have ended; the refused action's own `refused` is performed instead of the rest. When and how often a
key is planned is none of this module's business (loop/driver.py).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.model import errors, meta, plan

log = logging.getLogger(__name__)

CREATES_AT_ONCE = 48  # under way: each costs the server some time before its first wait
UNKNOWN_RETRIES = 3  # how often a create is asked again when no answer came
UNKNOWN_RETRY_SECONDS = 0.1

# Performs one action and returns what the gate needs; None where nothing was written to the API.
Performer = Callable[[plan.Action, protocol.Origin], Awaitable[protocol.Written | None]]


class NotLeading(Exception):
    """The lease's deadline passed before an action; whoever leads now will decide."""


@dataclass(slots=True)
class Outcome:
    """What performing a plan came to."""

    written: dict[str, int] = field(default_factory=dict)  # Kind.id -> newest revision made
    unsure: set[str] = field(default_factory=set)  # kinds with a write whose outcome is unknown
    failure: BaseException | None = None

    @property
    def hopeless(self) -> bool:
        """The namespace is going away: only a change can help, trying again cannot."""
        return isinstance(self.failure, errors.StatusError) and namespace_is_terminating(self.failure)


def namespace_is_terminating(error: errors.StatusError) -> bool:
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def is_outdated(error: BaseException | None) -> bool:
    """The plan was made on a view that the server has left behind, which is nobody's fault."""
    return isinstance(error, errors.StatusError) and error.reason in ("Conflict", "NotFound")


class Api:
    """Performs API actions through a client, with the outcomes that a plan takes for success."""

    def __init__(self, client: protocol.Client, clock: clocks.Clock, options: protocol.Options = protocol.Options()) -> None:
        self._client = client
        self._clock = clock
        self._options = options

    async def perform(self, action: plan.Action, origin: protocol.Origin) -> protocol.Written | None:
        if isinstance(action, plan.Create):
            return await self._create(action, origin)
        if isinstance(action, plan.Delete):
            return await self._delete(action, origin)
        if isinstance(action, plan.Update | plan.Patch):
            return await self._client.perform(action, origin, self._options)
        raise TypeError(f"{type(action).__name__} is no API action")

    async def _create(self, action: plan.Create, origin: protocol.Origin) -> protocol.Written:
        """A create without an answer is sent again under its own name, so that it cannot happen twice."""
        attempts = 0
        while True:
            try:
                return await self._client.perform(action, origin, self._options)
            except protocol.Unknown:
                attempts += 1
                if attempts > UNKNOWN_RETRIES or action.subresource or not meta.name(action.body):
                    raise
            except errors.StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
                return await self._already_ours(action, error)
            await self._clock.sleep(UNKNOWN_RETRY_SECONDS)

    async def _already_ours(self, action: plan.Create, refusal: errors.StatusError) -> protocol.Written:
        owner = meta.controller(action.body)
        if owner is None:
            raise refusal
        existing = await self._client.get(action.kind, meta.namespace(action.body), meta.name(action.body))
        theirs = meta.controller(existing)
        if theirs is None or theirs.get("uid") != owner["uid"] or meta.is_deleting(existing):
            raise refusal
        return protocol.Written(existing, meta.revision(existing))

    async def _delete(self, action: plan.Delete, origin: protocol.Origin) -> protocol.Written | None:
        try:
            return await self._client.perform(action, origin, self._options)
        except errors.StatusError as error:
            if error.reason != "NotFound":
                raise
            return None


def performers(client: protocol.Client, clock: clocks.Clock, recorder: Performer) -> dict[type, Performer]:
    """Who performs the actions of model/plan.py; agents add their own action types to it."""
    api = Api(client, clock).perform
    return {plan.Create: api, plan.Update: api, plan.Patch: api, plan.Delete: api, plan.Emit: recorder}


class Performance:
    """One plan being performed."""

    def __init__(self, performers: Mapping[type, Performer], leads: Callable[[], bool], origin: protocol.Origin) -> None:
        self._performers = performers
        self._leads = leads
        self._origin = origin
        self._refused: Iterable[plan.Action] = ()
        self.outcome = Outcome()

    async def run(self, wanted: plan.Plan) -> Outcome:
        for group in wanted.groups:
            await self._group(group)
            if self.outcome.failure is not None:
                break
        if self._refused:
            failure = self.outcome.failure
            await _together([self._one(action) for action in self._refused])
            self.outcome.failure = failure
        return self.outcome

    async def _group(self, group: Iterable[plan.Action]) -> None:
        creates: list[plan.Action] = []
        others: list[plan.Action] = []
        for action in group:
            (creates if isinstance(action, plan.Create) and not action.subresource else others).append(action)
        await _together([*([self._slowly(creates)] if creates else ()), *map(self._one, others)])

    async def _slowly(self, creates: list[plan.Action]) -> None:
        """1, 2, 4, ... at once, so that what is refused is refused once and not five hundred times."""
        start, size = 0, 1
        while start < len(creates) and self.outcome.failure is None:
            await _together([self._one(create) for create in creates[start : start + size]])
            start, size = start + size, min(2 * size, CREATES_AT_ONCE)

    async def _one(self, action: plan.Action) -> None:
        """Perform `action` and note what came of it; never raises but when cancelled."""
        try:
            if not self._leads():
                raise NotLeading
            written = await self._performers[type(action)](action, self._origin)
        except protocol.Unknown as error:
            self.outcome.unsure.add(kind_of(action))
            self._fail(action, error)
        except (errors.StatusError, NotLeading, OSError) as error:
            self._fail(action, error)
        except Exception as error:
            log.exception("performing failed", extra={"facts": {"action": type(action).__name__, "actor": self._origin.actor}})
            self._fail(action, error)
        else:
            if written is not None and written.revision:
                kind = kind_of(action)
                self.outcome.written[kind] = max(written.revision, self.outcome.written.get(kind, 0))
            announcement = getattr(action, "announce", None)
            if announcement is not None:
                await self._one(announcement)

    def _fail(self, action: plan.Action, error: BaseException) -> None:
        if self.outcome.failure is not None:
            return
        self.outcome.failure = error
        refused = getattr(action, "refused", None)
        if refused is not None and isinstance(error, errors.StatusError) and not (is_outdated(error) or self.outcome.hopeless):
            self._refused = tuple(refused(error))


async def _together(jobs: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Await all at once; a single one needs no task of its own."""
    if len(jobs) == 1:
        await jobs[0]
    else:
        await asyncio.gather(*jobs)


def kind_of(action: plan.Action) -> str:
    """The Kind.id that an action writes, "" for one that writes no object."""
    return getattr(action, "kind", "")
