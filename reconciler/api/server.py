"""The listeners: HTTPS with client certificates on TCP, plain HTTP on a unix socket for the local owner.

Headers, bodies and connections are bounded. `renew_certificates`, which somebody calls every RENEWAL_CHECK_SECONDS,
renews certificates near their end; new connections see the new one. Stopping closes the listeners and idle connections
first, then ends watches, then waits for what is in flight.
"""

import asyncio
import logging
import os
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import http_exceptions, web, web_protocol

from reconciler.api import bodies, chain, fairness, requests, resources, wire
from reconciler.api.aggregation import aggregator
from reconciler.api.apiserver import ApiServer
from reconciler.api.auth import authentication, certificates, kubeconfigs
from reconciler.api.backend import NodeBackend
from reconciler.api.calls import User
from reconciler.api.connect import connecting
from reconciler.kit import clock as clocks
from reconciler.model import errors

log = logging.getLogger(__name__)

HEADERS_MOST_BYTES = 32 * 1024
HEAD_SECONDS = 32.0  # for a client to say what it wants, kube-apiserver's own
CONNECTIONS_WAITING = 1024
KEEP_ALIVE_SECONDS = 300.0
STOP_SECONDS = 5.0
RENEWAL_CHECK_SECONDS = 3600.0
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: authentication looks at the dates, and can say what is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """`port` 0 picks a free one. `socket` is the path of the unix socket."""

    host: str = "127.0.0.1"
    port: int = 6443
    socket: Path | None = None
    token_file: Path | None = None
    anonymous: bool = True  # whether requests without credentials are those of system:anonymous, or refused


class Connection(web_protocol.RequestHandler):
    """One client connection; who is at its other end is asked once."""

    __slots__ = ("_lost", "_refusal", "_silence", "_user", "time")

    time: clocks.Clock
    _user: User | None
    _refusal: errors.StatusError | None  # what is wrong with the certificate that it shows
    _lost: "asyncio.Future[None]"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._user = self._refusal = None
        try:
            self._user = authentication.of_connection(transport, certificates.known_time(self.time.now()))
        except errors.StatusError as error:
            self._refusal = error
        self._lost = self._loop.create_future()
        self._silence = self._loop.call_later(HEAD_SECONDS, self._close_silent)

    def _close_silent(self) -> None:
        if not self._request_count and self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._silence.cancel()
        if not self._lost.done():
            self._lost.set_result(None)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, or of a method that HTTP does not have: never worth a line in the log."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        if isinstance(exc, http_exceptions.BadHttpMethod):
            refused = requests.no_such_method()
            response = web.Response(status=refused.code, body=wire.plain(refused.status()), content_type=wire.JSON)
        else:
            response = web.Response(status=status, text=f"{status} {HTTPStatus(status).phrase}")
        response.force_close()
        return response

    def known(self) -> User | None:
        """Whose it is; None if it says nothing of that. Raises StatusError 401 if what it says is wrong."""
        if self._refusal is not None:
            raise self._refusal
        return self._user

    def lost(self) -> "asyncio.Future[None]":
        """Done once the client is gone."""
        return self._lost


class _Http(web.Server):
    """Makes our connections rather than aiohttp's own."""

    time: clocks.Clock

    def __call__(self) -> web_protocol.RequestHandler:
        made = Connection(self, loop=self._loop, **self._kwargs)
        made.time = self.time
        return made


class HttpServer:
    """Serves `server` until closed; `data_dir` holds certificates and the admin's kubeconfig."""

    def __init__(
        self, server: ApiServer, listen: Listen, data_dir: Path, node: NodeBackend | None = None, own_paths: chain.OwnPaths | None = None
    ) -> None:
        self.server = server
        self.listen = listen
        self.data_dir = data_dir
        self.port = 0
        self.authority = certificates.Authority(data_dir / "pki", server.time)
        self._aggregation = aggregator.Aggregator(server, certificates.Authority(data_dir / "pki" / "front-proxy", server.time))
        self._own_paths = own_paths
        self._objects = resources.Resources(server, node)
        self._connecting = connecting.Connecting(server, node)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._http: _Http | None = None
        self._listeners: list[asyncio.Server] = []

    @property
    def url(self) -> str:
        host = f"[{self.listen.host}]" if ":" in self.listen.host else self.listen.host
        return f"https://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.port}"  # noqa: S104 - replaced, not bound

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "admin.kubeconfig"

    @property
    def authority_pem(self) -> bytes:
        """The certificate that clients trust, as pods find it in kube-root-ca.crt."""
        return self.authority.pem

    async def start(self) -> None:
        """Listen. Raises certificates.Unusable, OSError (a port or socket that is taken), ValueError (token file)."""
        tokens = authentication.Tokens.read(self.listen.token_file) if self.listen.token_file else authentication.Tokens()
        self.authority.load_or_make()
        self._load_certificate()
        await self._aggregation.start(self.authority.pem)
        address = f"{self.listen.host}:{self.listen.port}"
        path = chain.Chain(
            self.server,
            tokens,
            fairness.Limits(),
            self._objects,
            self._connecting,
            self._aggregation,
            address,
            own_paths=self._own_paths,
            nobody=authentication.ANONYMOUS if self.listen.anonymous else None,
        )
        self._http = _Http(
            path.handle,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            max_field_size=HEADERS_MOST_BYTES,
            max_line_size=HEADERS_MOST_BYTES,
            request_factory=_request,
        )
        self._http.time = self.server.time
        loop = asyncio.get_running_loop()
        tcp = await loop.create_server(self._http, self.listen.host, self.listen.port, ssl=self._tls, backlog=CONNECTIONS_WAITING)
        self._listeners.append(tcp)
        self.port = tcp.sockets[0].getsockname()[1]
        if self.listen.socket is not None:
            self._listeners.append(await self._listen_locally(loop, self._http, self.listen.socket))
        kubeconfigs.write_admin(self.kubeconfig, self.url, self.authority)

    async def also_listen(self, host: str) -> None:
        """Answer under one more address of the machine, on the same port. Raises OSError."""
        assert self._http is not None
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_server(self._http, host, self.port, ssl=self._tls, backlog=CONNECTIONS_WAITING))

    async def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._http is not None:
            self._http.pre_shutdown()  # or an idle connection would be waited for as one at work
        self._objects.watching.end_all()
        self._connecting.end_all()
        if self._http is not None:
            await self._http.shutdown(STOP_SECONDS)
        await self._aggregation.close()
        if self.listen.socket is not None:
            _remove(self.listen.socket)

    async def _listen_locally(self, loop: asyncio.AbstractEventLoop, http: _Http, path: Path) -> asyncio.Server:
        """The unix socket: open to its owner alone, and checked by peer credentials besides."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(path)
        before = os.umask(0o177)
        try:
            return await loop.create_unix_server(http, str(path), backlog=CONNECTIONS_WAITING)
        finally:
            os.umask(before)

    def _load_certificate(self) -> None:
        hosts = certificates.serving_hosts([self.listen.host], self.server.services.first_address)
        pair = self.authority.pair_for("apiserver", certificates.Identity("kube-apiserver", hosts=hosts))
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.load_cert_chain(pair.certificate, pair.key)
        self._tls.load_verify_locations(cadata=self.authority.pem.decode())
        self._tls.verify_mode = ssl.CERT_OPTIONAL
        self._tls.verify_flags |= NO_CHECK_TIME
        self._tls.set_alpn_protocols(["http/1.1"])

    async def renew_certificates(self) -> None:
        """Renew what comes near its end; pairs that are good stay as they are. Raises certificates.Unusable, OSError."""
        self._load_certificate()
        kubeconfigs.write_admin(self.kubeconfig, self.url, self.authority)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=bodies.MOST_BYTES + 1)
