"""The proxy subresources: who is reached, and what of a request and its answer passes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import yarl
from aiohttp import web

from reconciler.api.connect import rewriting
from tests.unit.api.connect.world import World

PODS = "/api/v1/namespaces/default/pods/"
SERVICES = "/api/v1/namespaces/default/services/"


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    if request.headers.get("Upgrade") == "websocket":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data[::-1])
        return socket
    if request.path == "/page":
        return web.Response(text='<a href="/next" class=x>y</a><img src=/i.png>', content_type="text/html")
    if request.path == "/moved":
        return web.Response(status=302, headers={"Location": "/elsewhere?x=1"})
    if request.path == "/broken":
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"some")
        assert request.transport is not None
        request.transport.abort()
        return response
    body = await request.read()
    told = {"method": request.method, "target": request.raw_path, "body": len(body), "headers": dict(request.headers)}
    return web.json_response(told, headers={"X-Mine": "1"})


@contextlib.asynccontextmanager
async def program() -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(_answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_methods_bodies_queries_and_headers(world: World) -> None:
    await world.pod(podIP="10.1.2.3")
    async with program() as port:
        base = f"{PODS}p:{port}/proxy"
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            headers = {"X-Own": "kept", "Authorization": "Basic c2VjcmV0"}
            data = b"x" * 100_000 if method not in ("GET", "OPTIONS") else None
            url = yarl.URL(f"http://x{base}/a%20b/?c=d&c=%2F", encoded=True)
            async with world.session.request(method, url, headers=headers, data=data) as answer:
                told = await answer.json()
                assert answer.headers["X-Mine"] == "1"
            assert (told["method"], told["target"], told["body"]) == (method, "/a%20b/?c=d&c=%2F", len(data or b""))
            assert told["headers"]["X-Own"] == "kept"
            assert told["headers"]["X-Forwarded-Uri"] == f"{base}/a%20b/"
            assert told["headers"]["Host"] == "x"
            assert "Authorization" not in told["headers"]
        async with world.session.head(f"{base}/") as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_links_lead_through_the_proxy(world: World) -> None:
    await world.pod(podIP="10.1.2.3")
    async with program() as port:
        base = f"{PODS}p:{port}/proxy"
        async with world.session.get(base + "/page") as answer:
            assert await answer.text() == f'<a href="{base}/next" class=x>y</a><img src={base}/i.png>'
        async with world.session.get(base + "/moved", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, f"{base}/elsewhere?x=1")
        async with world.session.get(base + "?x=1", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, f"{base}/?x=1")


async def test_an_answer_that_breaks_off_does(world: World) -> None:
    await world.pod(podIP="10.1.2.3")
    async with program() as port:
        with pytest.raises(aiohttp.ClientError):
            async with world.session.get(f"{PODS}p:{port}/proxy/broken") as answer:
                await answer.read()


async def test_upgrades_pass(world: World) -> None:
    await world.pod(podIP="10.1.2.3")
    async with program() as port, world.session.ws_connect(f"{PODS}p:{port}/proxy/socket") as socket:
        await socket.send_bytes(b"abc")
        assert await socket.receive_bytes() == b"cba"


async def test_services_lead_to_ready_pods(world: World) -> None:
    made = await world.pod(podIP="10.1.2.3")
    ports: list[dict[str, Any]] = [{"name": "web", "port": 80}, {"name": "other", "port": 81}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"}, "spec": {"ports": ports}}
    await world.create("services", service)
    async with program() as port:
        endpoint = {
            "addresses": ["10.1.2.3"],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "p", "uid": made["metadata"]["uid"]},
        }
        stranger = {"addresses": ["10.9.9.9"], "conditions": {"ready": True}}
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "s-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4",
            "endpoints": [stranger, endpoint],
            "ports": [{"name": "web", "port": port}],
        }
        await world.create("endpointslices.discovery.k8s.io", slice_)
        for id in ("s:web", "s:80", "http:s:web"):
            assert (await world.get(f"{SERVICES}{id}/proxy/x"))[1]["target"] == "/x"
    unavailable = {
        "s:other": 'no endpoints available for service "s:other"',
        "s": 'no endpoints available for service "s"',
        "s:82": 'no service port 82 found for service "s"',
    }
    for id, words in unavailable.items():
        status, body = await world.get(f"{SERVICES}{id}/proxy/")
        assert (status, body["reason"], body["message"]) == (503, "ServiceUnavailable", words)
    status, body = await world.get(f"{SERVICES}s:web/proxy/")
    assert (status, body["message"]) == (503, f"error trying to reach service: dial tcp 10.1.2.3:{port}: connect: connection refused")


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        (PODS + "q/proxy/", 404, 'pods "q" not found'),
        (SERVICES + "q/proxy/", 404, 'services "q" not found'),
        (PODS + "ftp:p:1/proxy/", 400, 'invalid pod request "ftp:p:1"'),
        (PODS + "p/proxy/", 400, "address not allowed"),
        ("/api/v1/nodes/n/proxy/pods", 404, 'nodes "n" not found'),
    ],
)
async def test_refusals(world: World, path: str, code: int, words: str) -> None:
    await world.pod(podIP="127.0.0.1")
    status, body = await world.get(path)
    assert (status, body["message"]) == (code, words)


async def test_nodes_answer_themselves(world: World) -> None:
    await world.create("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    assert (await world.get("/api/v1/nodes/n:10250/proxy/logs/a?x=1"))[1]["message"] == "n /logs/a x=1"


async def test_a_client_that_hangs_up_ends_the_request(world: World) -> None:
    await world.pod(podIP="10.1.2.3")
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nbegun")
        while await reader.read(65536):
            continue
        gone.set()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    answer = await world.session.get(f"{PODS}p:{port}/proxy/")
    assert await answer.content.read(5) == b"begun"
    answer.close()
    await gone.wait()
    listening.close()


def test_links() -> None:
    hosts = ("10.1.2.3:80",)
    assert rewriting.link("/a?b#c", "/p", hosts) == "/p/a?b#c"
    assert rewriting.link("http://10.1.2.3:80/a/", "/p", hosts) == "/p/a/"
    for kept in ("a/b", "#x", "http://elsewhere/a", "/p/a", "//elsewhere/a", "mailto:x"):
        assert rewriting.link(kept, "/p", hosts) == kept
    page = b'<!-- <a> --><A HREF=\'/x\'><form\n action="/y" data-x="/z"><p title="/t"></p><script src=z.js></script>\xff'
    made = b'<!-- <a> --><A HREF=\'/p/x\'><form\n action="/p/y" data-x="/z"><p title="/t"></p><script src=z.js></script>\xff'
    assert rewriting.html(page, "/p", hosts) == made
