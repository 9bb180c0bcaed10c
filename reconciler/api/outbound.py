"""HTTPS calls from the server to webhooks: by URL, or to a Service inside the cluster.

A Service is reached at its ready endpoints or, where none answers, its cluster address; the certificate must be for
NAME.NAMESPACE.svc. Connections are pooled and bounded, answers are bounded, every call has a deadline. What goes
wrong is raised as Failed, worded as Go's HTTP client words it.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp
import orjson
from aiohttp import abc

from reconciler.api.cache import Cache
from reconciler.kinds import service as services
from reconciler.model import meta

ANSWER_MOST_BYTES = 3 * 1024 * 1024
CONNECTIONS_MOST = 100
PER_HOST_MOST = 25
CONTEXTS_KEPT = 128
SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"


class Failed(Exception):
    """A call that brought no answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a webhook is: an admissionregistration or apiextensions clientConfig, made ready."""

    url: str
    authority: bytes  # PEM; empty for the system's own

    @classmethod
    def of(cls, config: Mapping[str, Any], authority: bytes) -> "Place":
        service = config.get("service")
        if service is None:
            return cls(str(config.get("url", "")), authority)
        path = str(service.get("path") or "/")
        return cls(f"https://{service['name']}.{service['namespace']}.svc:{service.get('port', 443)}{path}", authority)


class Outbound:
    """`close()` when the server ends. Connections are opened by the first call."""

    def __init__(self, cache: Cache) -> None:
        self.resolver = Resolver(cache)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, place: Place, body: Any, timeout_seconds: float) -> Any:
        """The JSON that a webhook answers. Raises Failed."""
        url = f"{place.url}?timeout={timeout_seconds:g}s" if "?" not in place.url else place.url
        try:
            async with asyncio.timeout(timeout_seconds):
                try:
                    return await self._posted(place, url, body)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError):
                    return await self._posted(place, url, body)  # an idle connection that the other side had just closed
        except TimeoutError:
            raise Failed(f'Post "{url}": context deadline exceeded') from None
        except (aiohttp.ClientError, OSError) as error:
            raise Failed(f'Post "{url}": {worded(error)}') from error

    async def _posted(self, place: Place, url: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*", "User-Agent": "kube-apiserver-admission"}
        context = _context(place.authority)
        async with self._opened().post(url, data=orjson.dumps(body), headers=headers, ssl=context, allow_redirects=False) as answer:
            return _read(answer.status, await bounded(answer))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=self.resolver, use_dns_cache=False, limit=CONNECTIONS_MOST, limit_per_host=PER_HOST_MOST
            )
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


class Resolver(abc.AbstractResolver):
    """Names of Services by what the watch cache knows of them, everything else by the system."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._system = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[abc.ResolveResult]:
        """Raises OSError that says what is missing."""
        parts = host.split(".")
        if len(parts) != 3 or parts[2] != "svc":
            return await self._system.resolve(host, port, family)
        name, namespace, _ = parts
        item = self._cache.get("services", namespace, name)
        if item is None:
            raise OSError(f'service "{name}" not found')
        if meta.spec(item.obj).get("type") == "ExternalName":
            return await self._system.resolve(str(meta.spec(item.obj)["externalName"]), port, family)
        wanted = next((one for one in meta.spec(item.obj).get("ports") or () if one.get("port") == port), None)
        if wanted is None:
            raise OSError(f'no service port {port} found for service "{name}"')
        found = [_result(host, address, at) for address, at in self._endpoints(namespace, name, wanted)]
        address = services.cluster_ip(item.obj)
        if address and address != services.HEADLESS:
            found.append(_result(host, address, port))
        if not found:
            raise OSError(f'no endpoints available for service "{name}"')
        return found

    async def close(self) -> None:
        await self._system.close()

    def _endpoints(self, namespace: str, name: str, wanted: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
        for _, item in self._cache.shelf(SLICES).in_order(namespace):
            if meta.labels(item.obj).get(SERVICE_NAME) != name:
                continue
            ports = [one["port"] for one in item.obj.get("ports") or () if (one.get("name") or "") == (wanted.get("name") or "")]
            for endpoint in item.obj.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True):
                    yield from ((address, port) for address in endpoint.get("addresses") or () for port in ports)


def _result(host: str, address: str, port: int) -> abc.ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": socket.IPPROTO_TCP, "flags": socket.AI_NUMERICHOST}


@lru_cache(maxsize=CONTEXTS_KEPT)
def _context(authority: bytes) -> ssl.SSLContext:
    return trusting(authority)


def trusting(authority: bytes) -> ssl.SSLContext:
    """A client that believes an authority (PEM). Raises ssl.SSLError for one that holds no certificate."""
    context = ssl.create_default_context(cadata=authority.decode("ascii", "replace") if authority else None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Go asks for less
    return context


async def bounded(answer: aiohttp.ClientResponse) -> bytes:
    """A whole answer. Raises Failed for one that is too long."""
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > ANSWER_MOST_BYTES:
            raise Failed(f"the answer is longer than {ANSWER_MOST_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _read(status: int, raw: bytes) -> Any:
    if not 200 <= status < 300:
        text = raw[:2048].decode("utf-8", "replace").strip()
        if status == 404:
            raise Failed("the server could not find the requested resource")
        if status >= 500:
            raise Failed(f'an error on the server ("{text}") has prevented the request from succeeding')
        raise Failed(f"the server responded with the status code {status} but did not return more information")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Failed(f"couldn't get version/kind; json parse error: {error}") from None


def worded(error: BaseException) -> str:
    """As Go words what its dialler and TLS say."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {_certificate(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if isinstance(cause, ConnectionRefusedError):
            return f"dial tcp {error.host}:{error.port}: connect: connection refused"
        return str(cause.strerror or cause) if cause.errno else str(cause)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error)


def _certificate(error: BaseException) -> str:
    text = getattr(error, "verify_message", "") or str(error)
    if "self-signed" in text or "unable to get" in text:
        return "certificate signed by unknown authority"
    return "certificate has expired or is not yet valid" if "expired" in text else str(text)
