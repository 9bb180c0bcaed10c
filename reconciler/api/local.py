"""The in-process client: client.protocol.Client and Feed through the server's own write path, without JSON or HTTP.

Everything in the daemon but the outside world reads and writes through here. Calls are made as a member of
system:masters; who really acted is the Origin, which becomes provenance. Objects come as the cache holds them and
must not be changed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Generic, TypeVar

from reconciler.api import asked, paging, selecting, subresources, watch
from reconciler.api.cache import Step
from reconciler.api.calls import Call, DeleteOptions, User
from reconciler.api.objects import Done, Objects
from reconciler.api.patching import Patch
from reconciler.client import protocol
from reconciler.model import errors, meta, plan
from reconciler.model.kind import Kind
from reconciler.model.roster import Roster
from reconciler.store.types import Check, Provenance, key_of

T = TypeVar("T")

MASTERS = "system:masters"
BATCHES_MOST = 100_000  # batches that may wait for a slow reader before its watch ends; writes that wait for nothing make one each


class LocalClient:
    """`name` is the default field manager of what has no better one."""

    def __init__(self, objects: Objects, watches: watch.Watches, subs: subresources.Subresources, name: str = "reconciler") -> None:
        self._objects = objects
        self._cache = objects.cache
        self._watches = watches
        self._subresources = subs
        self._user = User("system:reconciler", (MASTERS,))
        self._name = name

    async def perform(
        self, action: plan.ApiAction, origin: protocol.Origin, options: protocol.Options = protocol.Options()
    ) -> protocol.Written:
        """One write. Raises StatusError."""
        try:
            written = await self._perform(action, origin, options)
        except errors.StatusError as error:
            asked.count(self._name, action, error.code)
            raise
        asked.count(self._name, action)
        return written

    async def _perform(self, action: plan.ApiAction, origin: protocol.Origin, options: protocol.Options) -> protocol.Written:
        kind = self._kind(action.kind)
        match action:
            case plan.Create():
                return await self._create(kind, action, origin, options)
            case plan.Update():
                namespace, name = meta.key(action.body)
                call = self._call(kind, namespace, name, action, origin, options)
                return _written(await self._subresources.update(call, action.body))
            case plan.Patch():
                call = self._call(kind, action.namespace, action.name, action, origin, options)
                patch = Patch(
                    type=action.type, body=action.patch, force=action.force, uid=action.uid, resource_version=action.resource_version
                )
                return _written(await self._subresources.patch(call, patch))
            case plan.Delete():
                call = self._call(kind, action.namespace, action.name, action, origin, options)
                wanted = DeleteOptions(
                    grace_seconds=action.grace_seconds,
                    propagation=action.propagation,
                    uid=action.uid,
                    resource_version=action.resource_version,
                )
                return _written(await self._objects.delete(call, wanted))

    async def get(self, kind: str, namespace: str, name: str) -> meta.Obj:
        """Raises StatusError 404."""
        found = self._kind(kind)
        await self._cache.fresh()
        item = self._cache.get(found.storage_id, namespace if found.namespaced else "", name)
        if item is None:
            raise errors.not_found(found.plural, found.group, name)
        return item.obj

    async def list(self, kind: str, namespace: str | None = None, query: protocol.Query = protocol.Query()) -> protocol.Listing:
        found = self._kind(kind)
        request = paging.Request(
            labels=selecting.labels(query.label_selector),
            fields=selecting.fields(found, query.field_selector),
            limit=query.limit,
            token=query.continue_token,
            revision=query.revision,
            now=self._objects.time.now(),
        )
        page = await paging.page(self._cache, found, namespace if found.namespaced else None, request)
        return protocol.Listing(tuple(item.obj for item in page.items), page.revision, page.token)

    async def watch(
        self, kind: str, revision: int, namespace: str | None = None, query: protocol.Query = protocol.Query()
    ) -> AsyncIterator[tuple[protocol.Event, ...]]:
        """Batches of events after `revision`, for ever. Raises StatusError 410 when it is compacted."""
        found = self._kind(kind)
        interest = watch.Interest(
            kind=found.storage_id,
            namespace=namespace if found.namespaced else None,
            labels=selecting.labels(query.label_selector),
            fields=selecting.fields(found, query.field_selector),
        )
        pipe: _Pipe[tuple[protocol.Event, ...]] = _Pipe()
        watcher = watch.Watcher(interest, lambda seen: pipe.put(tuple(_event(one) for one in seen)), pipe.end)
        await self._watches.start(watcher, revision)
        try:
            async for batch in pipe:
                yield batch
        finally:
            self._watches.stop(watcher)

    async def feed(self, revision: int) -> AsyncIterator[protocol.Step]:
        """Every change of every kind after `revision`, for ever."""
        pipe: _Pipe[protocol.Step] = _Pipe()

        def sink(reached: int, steps: Sequence[Step]) -> None:
            pipe.put(protocol.Step(tuple((step.kind, _change(step)) for step in steps), reached))

        past = await self._cache.history("", revision)
        stop = self._cache.subscribe(sink, pipe.end)
        try:
            sink(self._cache.revision, past)
            async for step in pipe:
                yield step
        finally:
            stop()

    async def roster(self) -> Roster:
        return self._objects.decoder.roster

    async def _create(self, kind: Kind, action: plan.Create, origin: protocol.Origin, options: protocol.Options) -> protocol.Written:
        call = self._call(kind, meta.namespace(action.body), meta.name(action.body), action, origin, options)
        if not action.subresource:
            return _written(await self._objects.create(call, action.body))
        done, answer = await self._subresources.create(call, action.body)
        return protocol.Written(answer, done.revision)

    def _call(
        self, kind: Kind, namespace: str, name: str, action: plan.ApiAction, origin: protocol.Origin, options: protocol.Options
    ) -> Call:
        source = origin.source or getattr(action, "source", "")
        return Call(
            kind=kind,
            version=kind.hub_version,
            namespace=namespace if kind.namespaced else "",
            name=name,
            subresource=getattr(action, "subresource", ""),
            user=self._user,
            manager=getattr(action, "manager", "") or options.manager or self._name,
            dry_run=options.dry_run,
            field_validation=options.extra.get("fieldValidation", "Strict"),
            guard=self._guard(action),
            provenance=Provenance(actor=origin.actor, why=action.why, cause=origin.cause, source=source),
        )

    def _guard(self, action: plan.ApiAction) -> Check | None:
        guard = None if isinstance(action, plan.Patch) else action.guard
        if guard is None:
            return None
        kind = self._kind(guard.kind)
        key = key_of(kind.storage_id, guard.namespace if kind.namespaced else "", guard.name)
        return Check(key, int(guard.resource_version))

    def _kind(self, kind_id: str) -> Kind:
        found = self._objects.decoder.roster.get(kind_id)
        if found is None:
            raise errors.StatusError(404, "NotFound", f"the server has no kind {kind_id}", details={})
        return found


class _Pipe(Generic[T]):
    """A bounded hand-over from a sink to the one reader that iterates; what does not fit ends it with 410."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._wake = asyncio.Event()
        self._ended = False

    def put(self, batch: T) -> None:
        if len(self._waiting) >= BATCHES_MOST:
            self.end()
        else:
            self._waiting.append(batch)
            self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            while self._waiting and not self._ended:
                yield self._waiting.popleft()
            if self._ended:
                raise errors.gone("the watch fell too far behind, list again")
            self._wake.clear()
            await self._wake.wait()


def _written(done: Done) -> protocol.Written:
    return protocol.Written(done.item.obj, done.revision)


def _event(seen: watch.Seen) -> protocol.Event:
    return protocol.Event(seen.type, seen.item.obj, seen.step.revision)


def _change(step: Step) -> protocol.Event:
    if step.after is None:
        return protocol.Event("DELETED", step.gone.obj, step.revision)
    return protocol.Event("ADDED" if step.before is None else "MODIFIED", step.after.obj, step.revision)
