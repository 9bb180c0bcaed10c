"""Watches over HTTP: events go straight to the connection's transport, encoded once for everybody who asks alike.

A stream has no task of its own between events. What a slow client has not taken is bounded: beyond that the stream
ends and the client watches again from where it was. A stream ends too at its timeout, when its connection is lost,
and when the server stops.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from aiohttp import web

from reconciler.api import binary, table, watch, wire
from reconciler.api.cache import Item
from reconciler.kit import clock
from reconciler.model.kind import Kind, Version
from reconciler.model.schema import Schemas

BUFFER_MOST_BYTES = 8 * 1024 * 1024
BOOKMARK_SECONDS = 60.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
CACHE_CONTROL = "no-cache, private"


class Encoder:
    """Frames of one representation: kind, version and form. Their bytes are kept on the steps they tell of."""

    def __init__(self, kind: Kind, version: Version, form: wire.Form, include: str, schemas: Schemas, time: clock.Clock) -> None:
        self.kind = kind
        self.version = version
        self._form = form
        self._include = include
        self._schemas = schemas
        self._time = time
        self._key = (kind.id, version.name, form.media, form.shape, form.version, include)
        self._table_head_due = form.shape == "Table"

    def frames(self, events: Sequence[watch.Seen]) -> bytes:
        return b"".join(map(self._frame, events))

    @property
    def content_type(self) -> str:
        return f"{wire.PROTOBUF};stream=watch" if self._form.media == wire.PROTOBUF else wire.JSON

    def added(self, item: Item) -> bytes:
        """The frame of an initial event."""
        return self._framed("ADDED", self._body(item))

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        if self._form.shape == "Table":
            return self._framed("BOOKMARK", self._table(Item({"metadata": metadata}, revision, b"")))
        if self._form.shape:
            obj = {"kind": "PartialObjectMetadata", "apiVersion": f"{wire.TABLE_GROUP}/{self._form.version}"}
        else:
            obj = {"kind": self.kind.kind, "apiVersion": self.kind.api_version(self.version.name)}
        return self._framed("BOOKMARK", orjson.dumps({**obj, "metadata": metadata}))

    def error(self, status: dict[str, Any]) -> bytes:
        return self._framed("ERROR", orjson.dumps(status))

    def _frame(self, event: watch.Seen) -> bytes:
        if self._table_head_due:
            return self._framed(event.type, self._body(event.item))
        key = (event.type, self._key)
        frame = event.step.frames.get(key)
        if frame is None:
            frame = event.step.frames[key] = self._framed(event.type, self._body(event.item))
        return frame

    def _framed(self, event: str, body: bytes) -> bytes:
        if self._form.media == wire.PROTOBUF:
            return binary.frame(event, body)
        return wire.frame(event, body)

    def _body(self, item: Item) -> bytes:
        if self._form.shape == "Table":
            return self._table(item)
        if self._form.shape:
            return orjson.dumps(wire.partial(item, self._form.version))
        return wire.json_of(self.kind, self.version, item)

    def _table(self, item: Item) -> bytes:
        """A Table of one row; only a stream's first one defines its columns."""
        body = wire.json_of(self.kind, self.version, item) if self._include == "Object" else None
        row = table.row(self.kind, self._form, self._include, item, body, self._time.now())
        metadata = {"resourceVersion": str(item.revision)}
        if self._table_head_due:
            self._table_head_due = False
            return table.head(self.kind, self._schemas, self._form.version, metadata) + row + b"]}"
        bare = {"kind": "Table", "apiVersion": f"{wire.TABLE_GROUP}/{self._form.version}", "metadata": metadata, "columnDefinitions": None}
        return orjson.dumps(bare)[:-1] + b',"rows":[' + row + b"]}"


class Stream:
    """One watch's connection. `wait` returns when it is over."""

    def __init__(self, request: web.BaseRequest, content_type: str) -> None:
        self._request = request
        self._response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": CACHE_CONTROL})
        self._began = False
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def hold_or_send(self, content: bytes, backlog: list[bytes]) -> None:
        """Send, or while the stream is still beginning keep for `release`."""
        if self._began:
            self.send(content)
        else:
            backlog.append(content)

    def release(self, backlog: list[bytes]) -> None:
        """The beginning is over: send what was held back, and from now on send at once."""
        self._began = True
        self.send(b"".join(backlog))
        backlog.clear()

    async def open(self) -> web.StreamResponse:
        self._response.enable_chunked_encoding()
        await self._response.prepare(self._request)
        return self._response

    def send(self, content: bytes) -> None:
        transport = self._request.transport
        if self._over.done() or not content:
            return
        if transport is None or transport.is_closing():
            self.end()
            return
        transport.write(b"%x\r\n%b\r\n" % (len(content), content))
        if transport.get_write_buffer_size() > BUFFER_MOST_BYTES:
            transport.abort()
            self.end()

    def end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def wait(self, seconds: float | None, bookmark: Callable[[], bytes] | None) -> None:
        """Stay open for `seconds` (None: for ever), with a bookmark now and then, and one at the end."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds if seconds is not None else None
        while not self._over.done():
            pause = BOOKMARK_SECONDS if deadline is None else min(BOOKMARK_SECONDS, deadline - loop.time())
            if pause <= 0:
                break
            await asyncio.wait((self._over,), timeout=pause)
            if bookmark is not None and not self._over.done():
                self.send(bookmark())
