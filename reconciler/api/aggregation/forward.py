"""Hands a request to the server that an APIService names, and its answer back.

Who asks is told in X-Remote-* headers, which count because the call shows the front-proxy certificate; what the client
itself sent of such headers, and its own credentials, stay here. Bodies flow in pieces, watches for as long as they
last; a request to switch protocols (exec) becomes bytes both ways once that server agrees.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from reconciler.api import outbound
from reconciler.api.auth import certificates
from reconciler.api.calls import User
from reconciler.api.connect import switching
from reconciler.model import errors, meta

CONNECT_SECONDS = 10.0
PIECE_BYTES = 64 * 1024
CONNECTIONS_MOST = 200
HEADERS_MOST_BYTES = 64 * 1024
_DROPPED = frozenset(
    {
        "authorization", "connection", "content-length", "cookie", "expect", "host", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_OURS = ("x-remote-", "impersonate-")


@dataclass(frozen=True, slots=True)
class Remote:
    """The server of an APIService."""

    host: str  # NAME.NAMESPACE.svc
    port: int
    authority: bytes
    is_verified: bool

    @classmethod
    def of(cls, service: meta.Obj) -> "Remote":
        spec = meta.spec(service)
        reference = spec["service"]
        authority = base64.b64decode(spec.get("caBundle") or b"")
        host = f"{reference['name']}.{reference['namespace']}.svc"
        return cls(host, int(reference.get("port") or 443), authority, not spec.get("insecureSkipTLSVerify"))

    def url(self, path_and_query: str) -> URL:
        return URL(f"https://{self.host}:{self.port}{path_and_query}", encoded=True)


class Forwarder:
    """`identity` is the pair of files of the front-proxy client."""

    def __init__(self, resolver: outbound.Resolver, identity: certificates.Pair) -> None:
        self._resolver = resolver
        self._identity = identity
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: web.BaseRequest, user: User, remote: Remote) -> web.StreamResponse:
        """Raises StatusError 503 where the server cannot be reached."""
        if "upgrade" in request.headers.get("Connection", "").lower():
            return await self._upgraded(request, user, remote)
        headers = _headers(request.headers, user)
        body = _pieces(request) if request.body_exists else None
        try:
            call = self._opened().request(
                request.method, remote.url(request.raw_path), headers=headers, data=body, ssl=self._context(remote), allow_redirects=False
            )
            async with call as answer:
                return await _relayed(request, answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unavailable(f"error trying to reach service: {outbound.worded(error)}") from error

    async def _upgraded(self, request: web.BaseRequest, user: User, remote: Remote) -> web.StreamResponse:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                place = (await self._resolver.resolve(remote.host, remote.port))[0]
                reader, writer = await asyncio.open_connection(
                    place["host"], place["port"], ssl=self._context(remote), server_hostname=remote.host, limit=HEADERS_MOST_BYTES
                )
            headers = _headers(request.headers, user)
            headers["Host"] = f"{remote.host}:{remote.port}"
            return await switching.switched(request, reader, writer, request.raw_path, headers)
        except switching.Failures as error:
            raise unavailable(f"error trying to reach service: {outbound.worded(error)}") from error

    async def fetch(self, remote: Remote, path: str, user: User, timeout_seconds: float) -> tuple[int, bytes]:
        """A document of the remote server's own, such as its discovery. Raises outbound.Failed."""
        url = remote.url(path)
        headers = _headers({"Accept": "application/json"}, user)
        try:
            async with asyncio.timeout(timeout_seconds):
                async with self._opened().get(url, headers=headers, ssl=self._context(remote), allow_redirects=False) as answer:
                    return answer.status, await outbound.bounded(answer)
        except TimeoutError:
            raise outbound.Failed(f'Get "{url}": context deadline exceeded') from None
        except (aiohttp.ClientError, OSError) as error:
            raise outbound.Failed(f'Get "{url}": {outbound.worded(error)}') from error

    def _context(self, remote: Remote) -> ssl.SSLContext:
        certificate, key = self._identity.certificate, self._identity.key
        return _context(remote.authority, remote.is_verified, str(certificate), str(key), certificate.stat().st_mtime_ns)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=self._resolver, use_dns_cache=False, limit=CONNECTIONS_MOST)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                max_field_size=HEADERS_MOST_BYTES,
            )
        return self._session


def unavailable(message: str) -> errors.StatusError:
    return errors.StatusError(503, "ServiceUnavailable", message)


@lru_cache(maxsize=64)
def _context(authority: bytes, is_verified: bool, certificate: str, key: str, _: int) -> ssl.SSLContext:
    """`_` is when the certificate was written, so that a renewed one is used."""
    context = outbound.trusting(authority)
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate, key)
    return context


def _headers(sent: Mapping[str, str], user: User) -> CIMultiDict[str]:
    named = {token.strip().lower() for token in sent.get("Connection", "").split(",")}
    headers = CIMultiDict[str]()
    for name, value in sent.items():
        lowered = name.lower()
        if lowered not in _DROPPED and lowered not in named and not lowered.startswith(_OURS):
            headers.add(name, value)
    headers.add("X-Remote-User", user.name)
    if user.uid:
        headers.add("X-Remote-Uid", user.uid)
    for group in user.groups:
        headers.add("X-Remote-Group", group)
    for key, values in user.extra.items():
        for value in values:
            headers.add(f"X-Remote-Extra-{quote(key, safe='')}", value)
    return headers


async def _pieces(request: web.BaseRequest) -> AsyncIterator[bytes]:
    async for piece in request.content.iter_chunked(PIECE_BYTES):
        yield piece


async def _relayed(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in _DROPPED:
            response.headers.add(name, value)
    if answer.content_length is not None:
        response.content_length = answer.content_length
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except (aiohttp.ClientError, OSError):  # it is too late for another answer: a broken connection tells
        if request.transport is not None:
            request.transport.abort()
    return response
