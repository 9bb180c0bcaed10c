"""A webhook server for tests: real TLS, answers as a function of the request, remembers what it was asked."""

import base64
import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from aiohttp import web

from reconciler.api.auth import certificates
from reconciler.kit import clock

Answer = Callable[[dict[str, Any]], Any]


class Hooks:
    def __init__(self, url: str, port: int, authority: bytes, answer: Answer) -> None:
        self.url = url
        self.port = port
        self.authority = base64.b64encode(authority).decode()
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade") == "websocket":
            return await self._echo(request)
        body = await request.read()
        asked = orjson.loads(body) if body else {"path": request.path_qs, "method": request.method}
        self.asked.append(asked)
        self.headers.append(dict(request.headers))
        answered = self.answer(asked)
        if isinstance(answered, web.Response):
            return answered
        return web.json_response(answered)

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        """Speak a WebSocket that turns around what it hears."""
        self.headers.append(dict(request.headers))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data[::-1])
        return socket

    def config(self, **more: Any) -> dict[str, Any]:
        return {"url": f"{self.url}/hook", "caBundle": self.authority, **more}


@contextlib.asynccontextmanager
async def serving(folder: pathlib.Path, answer: Answer, *hosts: str, client_authority: bytes = b"") -> AsyncIterator[Hooks]:
    """`hosts` are further names in the certificate; with a client authority, clients must show a certificate of it."""
    authority = certificates.Authority(folder / "hooks-pki", clock.SystemClock())
    authority.load_or_make()
    pair = authority.pair_for("hooks", certificates.Identity("hooks", hosts=("127.0.0.1", *hosts)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if client_authority:
        context.load_verify_locations(cadata=client_authority.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    made = Hooks("", 0, authority.pem, answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    made.port = runner.addresses[0][1]
    made.url = f"https://127.0.0.1:{made.port}"
    try:
        yield made
    finally:
        await runner.cleanup()


def allowing(asked: dict[str, Any], *operations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An AdmissionReview that allows, with a JSON patch of `operations`."""
    patched = {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(list(operations))).decode()} if operations else {}
    response = {"uid": asked["request"]["uid"], "allowed": True, **patched, **more}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def refusing(asked: dict[str, Any], **status: Any) -> dict[str, Any]:
    return allowing(asked, allowed=False, **({"status": status} if status else {}))
