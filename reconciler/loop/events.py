"""Turns Emit actions into Event objects, few enough to keep.

As client-go's correlator does: an equal event raises the count of the one that exists; after ten different messages
of one reason about one object within ten minutes they are combined into one; one object may cause 25 events at once
and then one each five minutes. Events are written behind the plans, in order, from a bounded queue: a full queue or a
refusing server costs events, never a plan.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prometheus_client import Counter

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.metrics import registry
from reconciler.model import errors, meta, plan

log = logging.getLogger(__name__)

EVENTS = "events"
MAX_QUEUED = 2000
MAX_REMEMBERED = 4096  # client-go's cache of each correlator stage
MAX_TRIES = 12
RETRY_SECONDS = 1.0
SIMILAR_EVENTS = 10  # different messages before they are combined
SIMILAR_SECONDS = 600.0
BURST_EVENTS = 25  # per source and object
REFILL_SECONDS = 300.0  # for one more
MAX_NAME = 253
COMBINED = "(combined from similar events): "

DROPPED = Counter("reconciler_events_dropped", "Events that were not written", ["cause"], registry=registry.of("controllers"))

K = TypeVar("K")
V = TypeVar("V")
_Similar = tuple[str, ...]  # what all messages of one reason about one object share


@dataclass(slots=True)
class _Known:
    """An Event that was written."""

    name: str
    count: int


@dataclass(slots=True)
class _Group:
    """The messages of similar events in the current window."""

    since: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Bucket:
    """What one object may still cause."""

    tokens: float
    filled_at: float


class Recorder:
    """Performs Emit. `instance` names the process in events of the newer form."""

    def __init__(self, client: protocol.Client, clock: clocks.Clock, instance: str = "") -> None:
        self._client = client
        self._clock = clock
        self._instance = instance
        self._queue: asyncio.Queue[tuple[plan.Emit, protocol.Origin]] = asyncio.Queue(MAX_QUEUED)
        self._known: OrderedDict[tuple[str, ...], _Known] = OrderedDict()
        self._groups: OrderedDict[_Similar, _Group] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()

    async def perform(self, action: plan.Action, origin: protocol.Origin) -> protocol.Written | None:
        if not isinstance(action, plan.Emit):
            raise TypeError(f"{type(action).__name__} is no Emit")
        if self._queue.full():
            DROPPED.labels("queue full").inc()
        else:
            self._queue.put_nowait((action, origin))
        return None

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            emit, origin = await self._queue.get()
            await self._record(emit, origin)
            self._queue.task_done()

    async def flushed(self) -> None:
        """Return once everything emitted so far was written or given up."""
        await self._queue.join()

    async def _record(self, emit: plan.Emit, origin: protocol.Origin) -> None:
        component = emit.component or origin.actor.partition("/")[2].partition("/")[0]
        similar = _similar(emit, component)
        message = self._combined(similar, emit.message)
        if not self._may_write((component, *similar[3:])):
            DROPPED.labels("too many for one object").inc()
            return
        same = (*similar, COMBINED if message.startswith(COMBINED) else message)
        for attempt in range(MAX_TRIES):
            try:
                await self._write(emit, origin, component, message, same)
                return
            except errors.StatusError as error:
                log.debug("event refused", extra={"facts": {"reason": emit.reason, "error": error}})
                DROPPED.labels("refused").inc()
                return
            except (protocol.Unknown, OSError) as error:
                log.info("event not written", extra={"facts": {"reason": emit.reason, "error": error, "attempt": attempt}})
                await self._clock.sleep(RETRY_SECONDS)
        DROPPED.labels("no answer").inc()

    def _combined(self, similar: _Similar, message: str) -> str:
        now = self._clock.monotonic()
        group = self._groups.get(similar)
        if group is None or now - group.since > SIMILAR_SECONDS:
            group = _remember(self._groups, similar, _Group(now))
        if len(group.messages) < SIMILAR_EVENTS:
            group.messages.add(message)
        return message if message in group.messages else COMBINED + message

    def _may_write(self, source: tuple[str, ...]) -> bool:
        now = self._clock.monotonic()
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = _remember(self._buckets, source, _Bucket(BURST_EVENTS, now))
        bucket.tokens = min(BURST_EVENTS, bucket.tokens + (now - bucket.filled_at) / REFILL_SECONDS)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    async def _write(self, emit: plan.Emit, origin: protocol.Origin, component: str, message: str, same: tuple[str, ...]) -> None:
        known = self._known.get(same)
        if known is not None:
            try:
                await self._client.perform(self._recount(emit, known, message), origin)
            except errors.StatusError as error:
                if error.reason != "NotFound":
                    raise
                del self._known[same]  # it expired meanwhile
            else:
                known.count += 1
                self._known.move_to_end(same)
                return
        body = self._event(emit, component, message)
        await self._client.perform(plan.Create(kind=EVENTS, body=body, why=emit.why or emit.reason), origin)
        _remember(self._known, same, _Known(meta.name(body), 1))

    def _recount(self, emit: plan.Emit, known: _Known, message: str) -> plan.Patch:
        now = self._clock.now()
        patch: dict[str, Any]
        if emit.action:
            patch = {"series": {"count": known.count + 1, "lastObservedTime": clocks.rfc3339_micro(now)}}
        else:
            patch = {"count": known.count + 1, "lastTimestamp": clocks.rfc3339(now), "message": message}
        return plan.Patch(kind=EVENTS, namespace=_namespace(emit), name=known.name, type="merge", patch=patch, why="it happened again")

    def _event(self, emit: plan.Emit, component: str, message: str) -> dict[str, Any]:
        """The older form, or with an `action` the form of events.k8s.io/v1."""
        now = self._clock.now()
        event: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": _name(emit, component, message, now), "namespace": _namespace(emit)},
            "involvedObject": _reference(emit.regarding),
            "reason": emit.reason,
            "message": message,
            "type": emit.type,
            "reportingComponent": component,
        }
        if emit.action:
            instance = self._instance or component
            event |= {"action": emit.action, "eventTime": clocks.rfc3339_micro(now), "reportingInstance": instance, "source": {}}
        else:
            time = clocks.rfc3339(now)
            event |= {"source": {"component": component}, "firstTimestamp": time, "lastTimestamp": time, "count": 1}
        return event


def _similar(emit: plan.Emit, component: str) -> _Similar:
    """Source, type and reason, then the object."""
    obj = emit.regarding
    return (component, emit.type, emit.reason, str(obj.get("kind", "")), meta.namespace(obj), meta.name(obj), meta.uid(obj))


def _reference(obj: meta.Obj) -> dict[str, str]:
    reference = {
        "kind": str(obj.get("kind", "")),
        "namespace": meta.namespace(obj),
        "name": meta.name(obj),
        "uid": meta.uid(obj),
        "apiVersion": str(obj.get("apiVersion", "")),
        "resourceVersion": meta.resource_version(obj),
        "fieldPath": str(obj.get("fieldPath", "")),  # of an object that stands for a part, such as one container
    }
    return {name: value for name, value in reference.items() if value}


def _namespace(emit: plan.Emit) -> str:
    """Events about cluster-wide objects live in `default`."""
    return meta.namespace(emit.regarding) or "default"


def _name(emit: plan.Emit, component: str, message: str, now: float) -> str:
    parts = (meta.uid(emit.regarding), component, emit.reason, message, str(now))
    tail = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
    return f"{meta.name(emit.regarding)[: MAX_NAME - len(tail) - 1]}.{tail}"


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> V:
    """Keep the newest MAX_REMEMBERED."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
    return value
