"""The client contract: how everything but the API reads and writes objects, in process and over HTTP.

Writes are the actions of model/plan.py, performed one at a time. Every write returns the revision that it made,
deletes included, for the driver's gate. Failures are model/errors.StatusError in both implementations; an answer
that never came is Unknown, for the write may have happened.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from reconciler.model import meta, plan
from reconciler.model.roster import Roster

REVISION_HEADER = "Reconciler-Revision"  # on the answer to a write over HTTP: its revision, 0 where nothing changed


@dataclass(frozen=True, slots=True)
class Written:
    """`obj` is the object as it is now; for a delete that took effect, as it was. `revision` 0: nothing changed."""

    obj: meta.Obj
    revision: int


@dataclass(frozen=True, slots=True)
class Listing:
    items: tuple[meta.Obj, ...]
    revision: int
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a watch. BOOKMARK carries only a revision: everything up to it has been delivered."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    obj: meta.Obj
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Provenance that a caller adds to its writes: which component, and the revision it acted on."""

    actor: str
    cause: int = 0
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    revision: int | None = None  # None: newest, quorum read; 0: whatever the cache has


class Unknown(Exception):
    """The connection broke before the answer came: the write may or may not have happened."""


@dataclass(frozen=True, slots=True)
class Options:
    dry_run: bool = False
    manager: str = ""  # field manager; empty: derived from the client's own name
    extra: Mapping[str, Any] = field(default_factory=dict)


class Client(Protocol):
    async def perform(self, action: plan.ApiAction, origin: Origin, options: Options = Options()) -> Written:
        """One write. Raises StatusError or Unknown."""

    async def get(self, kind: str, namespace: str, name: str) -> meta.Obj:
        """Raises StatusError (404 and others). `kind` is a Kind.id; objects come in the hub version."""

    async def list(self, kind: str, namespace: str | None = None, query: Query = Query()) -> Listing:
        """`namespace` None: all namespaces."""

    def watch(self, kind: str, revision: int, namespace: str | None = None, query: Query = Query()) -> AsyncIterator[tuple[Event, ...]]:
        """Batches of events after `revision`, for ever. Raises StatusError 410 when it is compacted."""

    async def roster(self) -> Roster:
        """The kinds that the server serves now."""


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a feed: (Kind.id, event) in the order of revisions, complete up to `revision` for every kind."""

    changes: tuple[tuple[str, Event], ...]
    revision: int


@runtime_checkable
class Feed(Protocol):
    """What a client in the process of its journal offers beside Client: all kinds in one stream.

    The journal has one global revision, so a cache that is fed by this is one consistent snapshot of all kinds.
    """

    def feed(self, revision: int) -> AsyncIterator[Step]:
        """Every change of every kind after `revision`, for ever. Raises StatusError 410 when it is compacted."""
