"""Forwarding an HTTP request to a program, as the proxy subresources do: any method, streamed both ways, links rewritten.

Redirects are the client's to follow. Headers that speak of one connection stay on it, and the client's credentials for
this server go no further. A request to upgrade becomes bytes both ways once the program agrees. Certificates of programs
are not checked, as kube-apiserver does not.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import yarl
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict

from reconciler.api.connect import limits, rewriting, switching
from reconciler.model import errors

DIAL_SECONDS = 30.0
HEAD_MOST_BYTES = 64 * 1024
_CONNECTION_HEADERS = frozenset(
    (
        "connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade",
    )
)  # fmt: skip
_OURS = ("authorization", "impersonate-user", "impersonate-group", "impersonate-uid")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A program: `path` is what it is asked for, encoded, `prefix` what precedes that in the client's URL."""

    dial: Callable[[], Awaitable[socket.socket]]  # raises OSError, StatusError
    scheme: str
    host: str
    path: str
    prefix: str


async def forward(request: web.BaseRequest, upstream: Upstream) -> web.StreamResponse:
    """Raises StatusError 503 where the program cannot be reached."""
    if not upstream.path and request.method in ("GET", "HEAD"):
        path, found, query = request.raw_path.partition("?")
        return web.Response(status=301, headers={"Location": f"{path}/{found}{query}"})
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            connected = await upstream.dial()
    except OSError as error:
        raise _unreachable(upstream, error) from error
    if "upgrade" in request.headers.get("Connection", "").lower():
        return await _upgraded(request, upstream, connected)
    try:
        return await _exchanged(request, upstream, connected)
    finally:
        connected.close()


async def _exchanged(request: web.BaseRequest, upstream: Upstream, connected: socket.socket) -> web.StreamResponse:
    url = yarl.URL(f"{upstream.scheme}://{upstream.host}{_asked(request, upstream)}", encoded=True)
    headers = _forwarded(request, upstream)
    body = request.content if request.body_exists else None
    async with aiohttp.ClientSession(
        connector=_Connected(connected),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, sock_read=limits.IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=HEAD_MOST_BYTES,
        max_field_size=HEAD_MOST_BYTES,
    ) as session:
        try:
            answer = await session.request(request.method, url, headers=headers, data=body, allow_redirects=False)
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(upstream, error) from error
        async with answer:
            return await _answered(request, upstream, answer)


async def _answered(request: web.BaseRequest, upstream: Upstream, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers, hosts = _passing(answer.headers), (upstream.host, request.host)
    if "Location" in headers:
        headers["Location"] = rewriting.link(headers["Location"], upstream.prefix, hosts)
    began = b""
    if _is_page(headers) and request.method != "HEAD":
        began, is_whole = await _beginning(answer)
        if is_whole:
            headers.popall("Content-Length", None)
            page = rewriting.html(began, upstream.prefix, hosts)
            return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=page)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    try:
        await response.write(began)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except (aiohttp.ClientError, OSError):
        if request.transport is not None:
            request.transport.abort()  # an answer that broke off must not look whole
    return response


def _is_page(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").split(";")[0].strip() == "text/html" and "Content-Encoding" not in headers


async def _beginning(answer: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """What can be held of an answer, and whether that is all."""
    page = bytearray()
    async for piece in answer.content.iter_any():
        page += piece
        if len(page) > rewriting.HTML_MOST_BYTES:
            return bytes(page), False
    return bytes(page), True


async def _upgraded(request: web.BaseRequest, upstream: Upstream, connected: socket.socket) -> web.StreamResponse:
    secure = _any_certificate() if upstream.scheme == "https" else None
    try:
        reader, writer = await asyncio.open_connection(
            sock=connected, ssl=secure, server_hostname=upstream.host.rpartition(":")[0] if secure else None, limit=HEAD_MOST_BYTES
        )
        return await switching.switched(request, reader, writer, _asked(request, upstream), _forwarded(request, upstream))
    except switching.Failures as error:
        connected.close()
        raise _unreachable(upstream, error) from error


# Requests and headers


class _Connected(aiohttp.BaseConnector):
    """For one request, over a socket that is connected already."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(force_close=True)
        self._socket = connected

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        secure = _any_certificate() if req.is_ssl() else None
        _, protocol = await asyncio.get_running_loop().create_connection(
            self._factory, sock=self._socket, ssl=secure, server_hostname=req.url.host if secure else None
        )
        return protocol


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _asked(request: web.BaseRequest, upstream: Upstream) -> str:
    _, found, query = request.raw_path.partition("?")
    return f"{upstream.path or '/'}{found}{query}"


def _forwarded(request: web.BaseRequest, upstream: Upstream) -> CIMultiDict[str]:
    headers = _passing(request.headers)
    for name in [name for name in headers if name.lower() in _OURS or name.lower().startswith("impersonate-extra-")]:
        headers.popall(name, None)
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    headers["X-Forwarded-Uri"] = upstream.prefix + upstream.path
    if isinstance(peer, tuple):
        headers["X-Forwarded-For"] = ", ".join([*headers.getall("X-Forwarded-For", ()), str(peer[0])])
    return headers


def _passing(given: Mapping[str, str]) -> CIMultiDict[str]:
    """Headers without those of one connection."""
    headers = CIMultiDict(given)
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    for name in [name for name in headers if name.lower() in _CONNECTION_HEADERS or name.lower() in named]:
        headers.popall(name, None)
    return headers


def _unreachable(upstream: Upstream, error: Exception) -> errors.StatusError:
    if isinstance(error, OSError) and error.errno:
        reason = f"dial tcp {upstream.host}: connect: {os.strerror(error.errno).lower()}"
    elif isinstance(error, TimeoutError):
        reason = f"dial tcp {upstream.host}: i/o timeout"
    else:
        reason = str(error) or "EOF"
    return errors.StatusError(503, "ServiceUnavailable", f"error trying to reach service: {reason}")
