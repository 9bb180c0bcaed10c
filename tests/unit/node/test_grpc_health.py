"""One health check over HTTP/2: what servers answer, and what is none."""

import asyncio
from collections.abc import Callable

import pytest

from reconciler.node import grpc_health
from tests.unit.node import health_server
from tests.unit.node.health_server import DATA, GOAWAY, HEADERS, PING, RESET, SETTINGS, answer, frame


async def checked(script: Callable[[str], bytes], service: str = "") -> str:
    async with health_server.serving(script) as port:
        return await asked(port, service)


async def asked(port: int, service: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            return await grpc_health.check(reader, writer, service)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(("status", "word"), [(0, "UNKNOWN"), (1, "SERVING"), (2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN"), (9, "UNKNOWN")])
async def test_statuses(status: int, word: str) -> None:
    assert await checked(lambda _: answer(status)) == word


async def test_the_service_is_named() -> None:
    known = {"": 2, "store.v1": 1}
    assert await checked(lambda name: answer(known[name]), "store.v1") == "SERVING"
    assert await checked(lambda name: answer(known[name])) == "NOT_SERVING"
    with pytest.raises(ValueError, match="too long"):
        await checked(lambda _: answer(1), "x" * 200)


async def test_other_frames_come_between() -> None:
    noise = frame(PING, 0, 0, b"12345678") + frame(SETTINGS, 1, 0) + frame(0x8, 0, 0, b"\0\0\1\0")
    whole = answer(1)
    assert await checked(lambda _: noise + whole) == "SERVING"
    halves = frame(DATA, 0, 1, b"\0\0\0") + frame(DATA, 0, 1, b"\0\2\x08\x01")
    assert await checked(lambda _: frame(HEADERS, 4, 1, health_server.OK_HEADERS) + halves) == "SERVING"


@pytest.mark.parametrize(
    "refusal",
    [
        frame(HEADERS, 5, 1, health_server.OK_HEADERS + b"\x00\x0bgrpc-status\x0212"),
        frame(RESET, 0, 1, b"\0\0\0\7"),
        frame(GOAWAY, 0, 0, b"\0" * 8),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_no_answer(refusal: bytes) -> None:
    with pytest.raises(ValueError, match=r"grpc\.health\.v1|no HTTP/2"):
        await checked(lambda _: refusal)


async def test_a_real_server() -> None:
    """Where grpcio is installed: the library that most services use."""
    grpc = pytest.importorskip("grpc")
    from concurrent import futures

    def check(request: bytes, _: object) -> bytes:
        return b"\x08\x01" if request == b"\x0a\x01s" else b"\x08\x02"

    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert [await asked(port, service) for service in ("s", "")] == ["SERVING", "NOT_SERVING"]
    finally:
        server.stop(None)
