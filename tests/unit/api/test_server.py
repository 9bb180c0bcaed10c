"""The listeners, as clients meet them: who is served, what is bounded, how it stops."""

import asyncio
import io
import pathlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson
import pytest

from reconciler import kinds
from reconciler.api import apiserver, bodies, openapi_protobuf, server
from reconciler.api.auth import certificates
from reconciler.client import kubeconfig
from reconciler.kit import clock
from tests.unit.api.memory import MemoryJournal

TOKEN = "s3cret"


@pytest.fixture
async def listening(tmp_path: pathlib.Path) -> AsyncIterator[server.HttpServer]:
    (tmp_path / "tokens.csv").write_text(f'{TOKEN},jane,u1,"system:masters"\nweak,joe,u2\n')
    api = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), clock.SystemClock())
    await api.start()
    made = server.HttpServer(api, server.Listen(port=0, socket=tmp_path / "api.sock", token_file=tmp_path / "tokens.csv"), tmp_path)
    await made.start()
    yield made
    await made.close()
    await api.close()


@pytest.fixture
async def closed(listening: server.HttpServer, tmp_path: pathlib.Path) -> AsyncIterator[server.HttpServer]:
    """The same server behind a listener that serves nobody anonymously."""
    made = server.HttpServer(listening.server, server.Listen(port=0, anonymous=False), tmp_path)
    await made.start()
    yield made
    await made.close()


def trusting(listening: server.HttpServer) -> ssl.SSLContext:
    """A client that trusts the server and has no certificate of its own."""
    return ssl.create_default_context(cadata=listening.authority_pem.decode())


async def ask(listening: server.HttpServer, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(listening.url + path, ssl=trusting(listening), headers=headers) as answer:
        raw = await answer.read()
        return answer.status, orjson.loads(raw) if raw[:1] == b"{" else {}


PODS = "/api/v1/namespaces/default/pods"


@pytest.mark.parametrize("path", ["/version", "/version/", "/healthz", "/livez", "/readyz"])
async def test_nobody_sees_health_and_version(listening: server.HttpServer, closed: server.HttpServer, path: str) -> None:
    assert (await ask(listening, path))[0] == 200
    assert (await ask(listening, path, Authorization="Bearer wrong"))[0] == 401
    assert (await ask(closed, path))[0] == 401


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/healthz/ping", "/nothing", "/openapi/v2", "/metrics", "/debug/pprof", "/logs", "/reconciler/status", "/openid/v1/jwks"],
)
async def test_nobody_sees_other_paths(listening: server.HttpServer, closed: server.HttpServer, path: str) -> None:
    status, body = await ask(listening, path)
    assert (status, body["message"]) == (403, f'forbidden: User "system:anonymous" cannot get path "{path}"')
    assert body["reason"] == "Forbidden"
    status, body = await ask(closed, path)
    assert (status, body["reason"]) == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("method", "path", "done"),
    [
        ("GET", PODS, 'cannot list resource "pods"'),
        ("GET", f"{PODS}?watch=1", 'cannot watch resource "pods"'),
        ("POST", PODS, 'cannot create resource "pods"'),
        ("GET", f"{PODS}/a/log", 'cannot get resource "pods/log"'),
        ("POST", f"{PODS}/a/exec?command=sh", 'cannot create resource "pods/exec"'),
        ("GET", f"{PODS}/a/proxy/", 'cannot get resource "pods/proxy"'),
        ("DELETE", PODS, 'cannot deletecollection resource "pods"'),
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", 'cannot create resource "selfsubjectreviews"'),
    ],
)
async def test_nobody_sees_resources(listening: server.HttpServer, method: str, path: str, done: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, listening.url + path, ssl=trusting(listening), json={}) as answer,
    ):
        refused = await answer.json()
    assert (answer.status, refused["reason"]) == (403, "Forbidden")
    assert f'User "system:anonymous" {done}' in refused["message"]


async def test_an_empty_authorization_is_nobodys(listening: server.HttpServer) -> None:
    context = kubeconfig.load(listening.kubeconfig).ssl_context()
    async with aiohttp.ClientSession() as session:
        for sent, code in (("", 403), ("Bearer ", 200), ("Basic amFuZTpwdw==", 200)):
            async with session.get(listening.url + PODS, ssl=context, headers={"Authorization": sent}) as answer:
                assert answer.status == code, sent


async def test_tokens_are_believed_and_judged(listening: server.HttpServer) -> None:
    assert (await ask(listening, "/api/v1/pods", Authorization=f"Bearer {TOKEN}"))[0] == 200
    assert (await ask(listening, "/api/v1/pods", Authorization="Bearer weak"))[0] == 403
    assert (await ask(listening, "/api/v1/pods", Authorization="Bearer wrong"))[0] == 401


async def test_a_certificate_of_another_authority_opens_nothing(listening: server.HttpServer, tmp_path: pathlib.Path) -> None:
    other = certificates.Authority(tmp_path / "other", clock.SystemClock())
    other.load_or_make()
    pair = other.pair_for("admin", certificates.Identity("kubernetes-admin", ("system:masters",)))
    context = trusting(listening)
    context.load_cert_chain(pair.certificate, pair.key)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(listening.url + "/api", ssl=context)


async def test_the_sockets_owner_is_admin(listening: server.HttpServer) -> None:
    connector = aiohttp.UnixConnector(str(listening.listen.socket))
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://x/readyz?verbose") as answer:
        assert "readyz check passed" in await answer.text()


async def test_bodies_and_headers_are_bounded(listening: server.HttpServer) -> None:
    context = kubeconfig.load(listening.kubeconfig).ssl_context()
    url = f"{listening.url}/api/v1/namespaces/default/configmaps"
    async with aiohttp.ClientSession() as session:
        body = io.BytesIO(b"x" * (bodies.MOST_BYTES + 1))
        async with session.post(url, data=body, ssl=context, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 413
        async with session.get(url, ssl=context, headers={"X-Long": "x" * 100_000}) as answer:
            assert answer.status in (400, 431)


@pytest.mark.parametrize(
    ("sent", "code", "shown"),
    [
        ("FOO /api/v1/pods HTTP/1.1\r\nHost: x\r\n\r\n", 405, b'"reason":"MethodNotAllowed"'),
        ("GET /api/v1/pods NONSENSE\r\n\r\n", 400, b"400 Bad Request"),
        ("GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", 400, b"400 Bad Request"),
    ],
)
async def test_what_is_no_http_is_answered_and_not_logged(
    listening: server.HttpServer, caplog: pytest.LogCaptureFixture, sent: str, code: int, shown: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port, ssl=trusting(listening))
    writer.write(sent.encode())
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert answer.split(b" ")[1] == str(code).encode()
    assert shown in answer
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_who_hangs_up_in_the_middle_of_a_body_is_not_logged(listening: server.HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", listening.port, ssl=trusting(listening))
    head = f"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"a":')
    await writer.drain()
    assert (await ask(listening, PODS, Authorization=f"Bearer {TOKEN}"))[0] == 200  # by now the first request waits for its body
    writer.close()
    assert (await ask(listening, PODS, Authorization=f"Bearer {TOKEN}"))[0] == 200
    await listening.close()  # waits for the request that is left
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_stopping_ends_watches(listening: server.HttpServer) -> None:
    context = kubeconfig.load(listening.kubeconfig).ssl_context()
    url = f"{listening.url}/api/v1/pods?watch=1&resourceVersion=1"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as answer:
        assert answer.status == 200
        await asyncio.wait_for(listening.close(), 10)
        assert await answer.content.read() == b""


async def test_stopping_does_not_wait_for_idle_connections(listening: server.HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 3600.0)
    async with aiohttp.ClientSession() as session:
        async with session.get(listening.url + "/version", ssl=trusting(listening)) as answer:
            await answer.read()
        async with asyncio.timeout(60):
            await listening.close()


async def test_a_taken_port_is_an_error(listening: server.HttpServer, tmp_path: pathlib.Path) -> None:
    second = server.HttpServer(listening.server, server.Listen(port=listening.port), tmp_path)
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    await second.close()


async def test_long_lists_are_compressed_and_complete(listening: server.HttpServer) -> None:
    context = kubeconfig.load(listening.kubeconfig).ssl_context()
    url = f"{listening.url}/api/v1/namespaces/default/configmaps"
    async with aiohttp.ClientSession() as session:
        for number in range(8):
            body = {"metadata": {"name": f"c{number}"}, "data": {"x": str(number) * 40_000}}
            async with session.post(url, json=body, ssl=context) as answer:
                assert answer.status == 201
        async with session.get(url, ssl=context) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            items = orjson.loads(await answer.read())["items"]
        assert [item["data"]["x"][0] for item in items] == list("01234567")


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def test_documents_are_kept_until_they_change(listening: server.HttpServer) -> None:
    context = kubeconfig.load(listening.kubeconfig).ssl_context()
    async with aiohttp.ClientSession(listening.url) as session:

        async def got(path: str, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
            async with session.get(path, ssl=context, headers=headers, allow_redirects=False) as answer:
                return answer.status, await answer.read(), answer.headers

        for path, accept in (("/api", AGGREGATED), ("/apis", AGGREGATED), ("/openapi/v2", "*/*"), ("/openapi/v3/apis/apps/v1", "*/*")):
            status, body, headers = await got(path, Accept=accept)
            assert (status, bool(body), "Accept" in headers["Vary"]) == (200, True, True)
            status, body, again = await got(path, **{"Accept": accept, "If-None-Match": headers["ETag"]})
            assert (status, body, again["ETag"]) == (304, b"", headers["ETag"])
            assert (await got(path, **{"Accept": accept, "If-None-Match": '"other"'}))[0] == 200

        for accept in (openapi_protobuf.MEDIA, openapi_protobuf.ANSWERED_AS):
            assert (await got("/openapi/v2", Accept=accept))[2]["Content-Type"] == openapi_protobuf.ANSWERED_AS

        address = orjson.loads((await got("/openapi/v3"))[1])["paths"]["apis/apps/v1"]["serverRelativeURL"]
        status, _, headers = await got(address)
        assert (status, headers["Cache-Control"], "Expires" in headers) == (200, "public, immutable", True)
        status, _, headers = await got(f"{address[:-4]}0000")
        assert (status, headers["Location"]) == (301, address)


async def test_a_certificate_near_its_end_is_renewed_for_new_connections(tmp_path: pathlib.Path) -> None:
    time = clock.VirtualClock()
    api = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), time)
    await api.start()
    made = server.HttpServer(api, server.Listen(port=0), tmp_path)
    await made.start()
    first = await _certificate(made)
    await made.renew_certificates()
    assert await _certificate(made) == first
    time.advance((certificates.LEAF_DAYS - 1) * 86_400)
    kubeconfig_before = made.kubeconfig.read_bytes()
    await made.renew_certificates()
    assert await _certificate(made) != first
    assert made.kubeconfig.read_bytes() != kubeconfig_before
    await made.close()
    await api.close()


async def _certificate(made: server.HttpServer) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", made.port, ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return bytes(found)


async def test_a_scale_as_a_table_has_its_own_columns(listening: server.HttpServer) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    path, headers = "/apis/apps/v1/namespaces/default/deployments", {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(listening.url + path, json=body, headers=headers, ssl=trusting(listening)) as answer,
    ):
        assert answer.status == 201
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    status, found = await ask(listening, f"{path}/d/scale", **headers, Accept=table)
    assert (status, found["kind"]) == (200, "Table")
    assert [column["name"] for column in found["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert found["rows"][0]["cells"][:3] == ["d", 3, 0]
