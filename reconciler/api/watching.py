"""GET with ?watch: from options to a stream of events, first of what exists where that is asked for."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from aiohttp import web

from reconciler.api import converting, options, requests, selecting, streaming, table, watch, wire
from reconciler.api.apiserver import ApiServer
from reconciler.api.cache import Item
from reconciler.kit import tasks
from reconciler.model import errors

log = logging.getLogger(__name__)

BATCHES_MOST = 1000  # batches of events that wait for their conversion
ITEMS_AT_ONCE = 200  # initial events encoded between two turns of the event loop
WATCH_SECONDS = 1800  # the least a watch without a timeout lasts; Kubernetes spreads them over twice that
NOT_OLDER = "NotOlderThan"


class Watching:
    """Serves watches, and knows the open ones so that the server can end them when it stops."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._open: set[streaming.Stream] = set()

    async def serve(
        self, request: web.BaseRequest, route: requests.Route, namespace: str | None, form: wire.Form, query: options.Query
    ) -> web.StreamResponse:
        """Return once the stream is over. Raises StatusError for what is refused before it begins."""
        include = query.one("includeObject")
        if form.shape == "Table":
            table.check_include(include)
        wanted = _Wanted(query)
        server = self._server
        encoder = streaming.Encoder(route.kind, route.version, form, include, server.schemas, server.time)
        stream = streaming.Stream(request, encoder.content_type)
        backlog: list[bytes] = []

        def send(seen: Sequence[watch.Seen]) -> None:
            stream.hold_or_send(encoder.frames(seen), backlog)

        pump = _Pump(server.objects.converter, route, send, stream.end) if route.kind.conversions is not None else None
        watcher = watch.Watcher(_interest(route, namespace, query), pump.put if pump is not None else send, stream.end)
        self._open.add(stream)
        try:
            if wanted.initial:
                opened = await self._with_initial(stream, watcher, encoder, wanted)
            else:
                opened = await self._from_revision(stream, watcher, encoder, wanted.revision or server.cache.revision)
            stream.release(backlog)
            bookmark = (lambda: encoder.bookmark(server.cache.revision)) if wanted.bookmarks else None
            await stream.wait(wanted.seconds, bookmark)
        finally:
            self._open.discard(stream)
            server.watches.stop(watcher)
            if pump is not None:
                await pump.close()
        return opened

    def end_all(self) -> None:
        for stream in tuple(self._open):
            stream.end()

    async def _with_initial(
        self, stream: streaming.Stream, watcher: watch.Watcher, encoder: streaming.Encoder, wanted: "_Wanted"
    ) -> web.StreamResponse:
        """Begin with what exists, as ADDED events, and for who takes bookmarks with Kubernetes' annotated one."""
        cache, interest = self._server.cache, watcher.interest
        await cache.fresh()
        await cache.at_least(wanted.revision)
        opened = await stream.open()
        revision = cache.revision
        items: list[Item] = [item for _, item in cache.shelf(interest.kind).in_order(interest.namespace) if interest.holds(item)]
        self._server.watches.start_now(watcher)
        for first in range(0, len(items), ITEMS_AT_ONCE):
            await self._server.objects.converter.prepare(encoder.kind, encoder.version, items[first : first + ITEMS_AT_ONCE])
            stream.send(b"".join(encoder.added(item) for item in items[first : first + ITEMS_AT_ONCE]))
            await asyncio.sleep(0)
        if wanted.bookmarks:
            stream.send(encoder.bookmark(revision, initial_end=True))
        return opened

    async def _from_revision(
        self, stream: streaming.Stream, watcher: watch.Watcher, encoder: streaming.Encoder, revision: int
    ) -> web.StreamResponse:
        """Begin behind a revision. One that is compacted is told in the stream, as kube-apiserver does."""
        try:
            await self._server.watches.start(watcher, revision)
        except errors.StatusError as error:
            if error.code != 410:
                raise
            opened = await stream.open()
            stream.send(encoder.error(error.status()))
            stream.end()
            return opened
        return await stream.open()


class _Pump:
    """Holds events back, in order, until their objects are converted; bounded, beyond that the stream ends."""

    def __init__(
        self,
        converter: converting.Converter,
        route: requests.Route,
        send: Callable[[Sequence[watch.Seen]], None],
        end: Callable[[], None],
    ) -> None:
        self._converter = converter
        self._route = route
        self._send = send
        self._end = end
        self._waiting: asyncio.Queue[Sequence[watch.Seen]] = asyncio.Queue(BATCHES_MOST)
        self._tasks = tasks.Tasks()
        self._tasks.start(self._run(), "watch conversion")

    def put(self, seen: Sequence[watch.Seen]) -> None:
        try:
            self._waiting.put_nowait(seen)
        except asyncio.QueueFull:
            self._end()

    async def _run(self) -> None:
        while True:
            seen = await self._waiting.get()
            try:
                await self._converter.prepare(self._route.kind, self._route.version, [event.item for event in seen])
            except errors.StatusError as error:
                log.warning("a watch ends, for its objects cannot be converted", extra={"facts": {"error": error.message}})
                self._end()
                return
            self._send(seen)

    async def close(self) -> None:
        await self._tasks.close()


class _Wanted:
    """ListOptions as a watch reads them. Raises StatusError 400, 422, 500."""

    def __init__(self, query: options.Query) -> None:
        sent, text = query.one("sendInitialEvents"), query.one("resourceVersion")
        _check(query, sent)
        self.revision = _revision(text)
        self.initial = sent not in ("", "false", "0") or (not sent and self.revision == 0)
        self.bookmarks = query.flag("allowWatchBookmarks")
        query.integer("limit")  # means nothing here, but must be a number
        timeout = query.integer("timeoutSeconds")
        self.seconds = float(timeout) if timeout else WATCH_SECONDS * (1 + random.random())  # noqa: S311 - spreads load


def _check(query: options.Query, sent: str) -> None:
    """Raises StatusError 422 where the options of a watch contradict each other."""
    match, refused = query.one("resourceVersionMatch"), []
    if query.one("continue"):
        refused.append(errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
    if sent and match != NOT_OLDER:
        detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        refused.append(errors.forbidden("resourceVersionMatch", detail))
    elif match and not sent:
        detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        refused.append(errors.forbidden("resourceVersionMatch", detail))
    if match not in ("", NOT_OLDER):
        refused.append(errors.not_supported("resourceVersionMatch", match, [NOT_OLDER]))
    if refused:
        raise errors.invalid_object("ListOptions", "meta.k8s.io", "", refused)


def _revision(text: str) -> int:
    if not text:
        return 0
    try:
        return options.revision(text)
    except errors.StatusError as error:
        raise errors.StatusError(500, "", error.message) from None


def _interest(route: requests.Route, namespace: str | None, query: options.Query) -> watch.Interest:
    fields = selecting.fields(route.kind, query.one("fieldSelector"))
    if route.name:
        fields = (*fields, *selecting.fields(route.kind, f"metadata.name={route.name}"))
    labels = selecting.labels(query.one("labelSelector"))
    return watch.Interest(kind=route.kind.storage_id, namespace=namespace, labels=labels, fields=fields)
