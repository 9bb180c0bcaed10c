"""Answers: bytes with a status, sent whole or, when they are long, in pieces and compressed off the event loop."""

import asyncio
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aiohttp import web

from reconciler.api import wire
from reconciler.model import errors

LONG_BYTES = 128 * 1024  # from here on an answer is compressed, as kube-apiserver does
PIECE_BYTES = 256 * 1024
YAML_MOST_BYTES = 1024 * 1024  # a second's work or two
GZIP_LEVEL = 1
WARNINGS = web.RequestKey("warnings", list[str])  # what the answer warns of, a refusal too
CACHE_CONTROL = "no-cache, private"


@dataclass(frozen=True, slots=True)
class Content:
    """A body in pieces: `parts` are joined by commas between head and tail."""

    head: bytes
    parts: Sequence[bytes] = ()
    tail: bytes = b""

    @property
    def size_bytes(self) -> int:
        return len(self.head) + sum(map(len, self.parts)) + max(len(self.parts) - 1, 0) + len(self.tail)

    def whole(self) -> bytes:
        return self.head + b",".join(self.parts) + self.tail if self.parts or self.tail else self.head


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content: Content | bytes
    content_type: str = wire.JSON
    warnings: Sequence[str] = ()
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, content: Content, form: wire.Form, warnings: Sequence[str] = ()) -> "Answer":
        """JSON content as the client wants it."""
        if form.media != wire.JSON or form.pretty:
            return cls(status, wire.converted(content.whole(), form), form.media, warnings)
        return cls(status, content, form.media, warnings)

    @classmethod
    async def of_list(cls, content: Content, form: wire.Form, warnings: Sequence[str] = ()) -> "Answer":
        """A list, which may be long: other forms than JSON are made beside the event loop. Raises StatusError 406."""
        if form.media == wire.JSON and not form.pretty:
            return cls(200, content, form.media, warnings)
        if form.media == wire.YAML and content.size_bytes > YAML_MOST_BYTES:
            raise wire.not_acceptable(f"a list of more than {YAML_MOST_BYTES} bytes is not written as YAML: ask for JSON, or in pages", {})
        return await asyncio.to_thread(cls.of, 200, content, form, warnings)

    @classmethod
    def refusal(cls, error: errors.StatusError, media: wire.Media, warnings: Sequence[str] = ()) -> "Answer":
        headers = {"Retry-After": str(error.retry_after_seconds)} if error.retry_after_seconds else {}
        return cls(error.code, wire.dumps(error.status(), wire.Form(media)), media, warnings, headers)

    @classmethod
    def text(cls, status: int, text: str) -> "Answer":
        return cls(status, text.encode(), "text/plain; charset=utf-8")

    def kept(self, request: web.BaseRequest, cache_control: str = CACHE_CONTROL) -> "Answer":
        """A document that clients keep: with the hash of its content, and without the content for who has it."""
        tag = f'"{self.digest}"'
        headers = {**self.headers, "ETag": tag, "Vary": "Accept", "Cache-Control": cache_control}
        if request.headers.get("If-None-Match") == tag:
            return Answer(304, b"", content_type="", headers=headers)
        return replace(self, headers=headers)

    @property
    def digest(self) -> str:
        return hashlib.sha512(self.content if isinstance(self.content, bytes) else self.content.whole()).hexdigest().upper()

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send it; what is returned has been prepared or is short enough for aiohttp to send."""
        typed = {"Content-Type": self.content_type} if self.content_type else {}
        headers = {**typed, "Cache-Control": CACHE_CONTROL, **self.headers}
        response: web.StreamResponse
        size = len(self.content) if isinstance(self.content, bytes) else self.content.size_bytes
        if size < LONG_BYTES:
            body = self.content if isinstance(self.content, bytes) else self.content.whole()
            response = web.Response(status=self.status, body=body, headers=headers)
            self._warn(response)
            return response
        content = Content(self.content) if isinstance(self.content, bytes) else self.content
        response = web.StreamResponse(status=self.status, headers=headers)
        self._warn(response)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            await self._send_compressed(request, response, content)
        else:
            response.content_length = size
            await response.prepare(request)
            for piece in _pieces(content):
                await response.write(piece)
        return response

    async def _send_compressed(self, request: web.BaseRequest, response: web.StreamResponse, content: Content) -> None:
        response.headers["Content-Encoding"] = "gzip"
        response.headers.add("Vary", "Accept-Encoding")
        response.enable_chunked_encoding()
        await response.prepare(request)
        packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        for piece in _pieces(content):
            packed = await asyncio.to_thread(packer.compress, piece)
            if packed:
                await response.write(packed)
        await response.write(packer.flush())

    def _warn(self, response: web.StreamResponse) -> None:
        for text in self.warnings:
            escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
            response.headers.add("Warning", f'299 - "{escaped}"')


def _pieces(content: Content) -> list[bytes]:
    pieces = [content.head]
    pieces += wire.chunks(content.parts, PIECE_BYTES)
    pieces.append(content.tail)
    return [piece for piece in pieces if piece]
