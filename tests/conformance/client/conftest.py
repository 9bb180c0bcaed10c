"""One API server on a journal in memory, and every implementation of the client contract on it."""

import pathlib
from collections.abc import AsyncIterator

import pytest

from reconciler import kinds
from reconciler.api import apiserver, server
from reconciler.client import http, protocol
from reconciler.kit import clock
from tests.unit.api.memory import MemoryJournal


@pytest.fixture
async def api() -> AsyncIterator[apiserver.ApiServer]:
    made = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), clock.SystemClock())
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def listening(api: apiserver.ApiServer, tmp_path: pathlib.Path) -> AsyncIterator[server.HttpServer]:
    made = server.HttpServer(api, server.Listen(port=0, socket=tmp_path / "api.sock"), tmp_path)
    await made.start()
    yield made
    await made.close()


@pytest.fixture(params=["local", "socket", "https"])
async def client(request: pytest.FixtureRequest, api: apiserver.ApiServer, listening: server.HttpServer) -> AsyncIterator[protocol.Client]:
    if request.param == "local":
        yield api.client("tester")
        return
    assert listening.listen.socket is not None
    if request.param == "socket":
        target = http.Target.of_socket(listening.listen.socket)
    else:
        target = http.Target.of_kubeconfig(listening.kubeconfig)
    made = http.HttpClient(target, "tester")
    yield made
    await made.close()
