"""What the API costs the daemon: requests over TLS with a client certificate, lists, watches, memory.

CPU is that of the daemon's threads, to the nanosecond, so that it matters little what else the machine does. Clients
are bare: one request after another on connections that stay open, their own cost in another process.
"""

import asyncio
import functools
import json
import pathlib
import re
import time
import typing
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvloop

from reconciler.client import kubeconfig
from tests import servers
from tests.bench import Row

CLIENTS, ROUNDS, REQUESTS = 16, 20, 640  # requests of all clients in a round
PODS, MORE_PODS, POD_BYTES = 5000, 10_000, 2000
LISTS, APPLIES = 20, 400
WATCHERS, EVENTS, EVENT_SECONDS = 1000, 60, 0.05
TOLD = re.compile(rb'"name":"(told-\d+)"')
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/web?fieldManager=bench&force=true"
PEER = "kube-apiserver with etcd: "


def rows() -> Iterator[Row]:
    with servers.running("--runtime", "none") as server:
        yield from uvloop.run(_requests(server))
        latencies = uvloop.run(_watches(server))
        yield Row(f"one event to {WATCHERS} watchers over TLS, 20 a second", "ms", latencies, "p50 <= 30", "kube-apiserver: 44 to 128")
    with servers.running("--runtime", "none") as server:
        yield from uvloop.run(_pods(server))


class Connection:
    """One connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, server: servers.Server) -> "Connection":
        cluster = kubeconfig.load(server.kubeconfig)
        host, _, port = cluster.server.removeprefix("https://").rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), ssl=cluster.ssl_context()))

    def send(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n"
        if body:
            head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)

    async def head(self) -> bytes:
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 2"), head + await self._reader.read(500)
        return head

    async def ask(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
        self.send(method, path, body, content_type)
        length = re.search(rb"Content-Length: (\d+)", await self.head())
        assert length is not None
        return await self._reader.readexactly(int(length[1]))

    def close(self) -> None:
        self._writer.close()


async def _requests(server: servers.Server) -> list[Row]:
    connections = [await Connection.open(server) for _ in range(CLIENTS)]
    made = 0

    async def create(connection: Connection) -> None:
        nonlocal made
        made += 1
        await connection.ask("POST", CONFIG_MAPS, _config_map(f"made-{made}"))

    async def get(connection: Connection) -> None:
        await connection.ask("GET", f"{CONFIG_MAPS}/made-1")

    async def patch(connection: Connection) -> None:
        nonlocal made
        made += 1
        content = json.dumps({"data": {"changed": str(made)}}).encode()
        await connection.ask("PATCH", f"{CONFIG_MAPS}/made-{1 + made % 500}", content, "application/strategic-merge-patch+json")

    created, creates = await _rounds(server, connections, create)
    got, gets = await _rounds(server, connections, get)
    patched, patches = await _rounds(server, connections, patch)
    applied = await _applies(server, connections[0])
    for connection in connections:
        connection.close()
    clients = f", {CLIENTS} clients over TLS"
    return [
        Row("daemon's CPU per GET of a 1 KiB ConfigMap" + clients, "ms", got, "<= 0.2", f"{PEER}0.7; {gets:.0f} a second here"),
        Row("  ... per create", "ms", created, "<= 0.45", f"{PEER}1.6; {creates:.0f} a second here"),
        Row("  ... per strategic merge patch", "ms", patched, "<= 0.6", f"{PEER}2.1; {patches:.0f} a second here"),
        Row("  ... per server-side apply of an unchanged Deployment", "ms", applied, "<= 1, no new revision"),
    ]


async def _rounds(
    server: servers.Server, connections: list[Connection], one: Callable[[Connection], Awaitable[None]]
) -> tuple[list[float], float]:
    """Milliseconds of the daemon's CPU per request, a sample a round, and requests a second."""

    async def client(connection: Connection) -> None:
        for _ in range(REQUESTS // CLIENTS):
            await one(connection)

    samples, began = [], 0.0
    for number in range(ROUNDS + 1):
        before = _cpu_ms(server)
        await asyncio.gather(*map(client, connections))
        if number:  # the first round warms up
            samples.append((_cpu_ms(server) - before) / REQUESTS)
        else:
            began = time.perf_counter()
    return samples, ROUNDS * REQUESTS / (time.perf_counter() - began)


async def _applies(server: servers.Server, connection: Connection) -> list[float]:
    content = json.dumps(_deployment()).encode()

    async def apply() -> str:
        answer = json.loads(await connection.ask("PATCH", DEPLOYMENT, content, "application/apply-patch+yaml"))
        return str(answer["metadata"]["generation"]) + answer["metadata"]["resourceVersion"]

    before = ""
    while (found := await apply()) != before:  # until the controllers have said what they have to say
        before = found
        await asyncio.sleep(1)
    samples = []
    for _ in range(ROUNDS):
        began = _cpu_ms(server)
        for _ in range(APPLIES // ROUNDS):
            assert await apply() == before, "an apply that changes nothing made a revision"
        samples.append((_cpu_ms(server) - began) / (APPLIES // ROUNDS))
    return samples


class Watch(asyncio.Protocol):
    """A watcher that does nothing but note when it heard of what: a thousand share one process and must not wait for each other."""

    def __init__(self, path: str, sent: dict[bytes, float], heard: list[float], everything: asyncio.Event) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n\r\n".encode()
        self._sent, self._heard, self._everything = sent, heard, everything
        self._rest = b""
        self.begun = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        typing.cast(asyncio.WriteTransport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.begun.done():
            self.begun.set_result(None)
        whole, _, self._rest = (self._rest + data).rpartition(b"\n")
        self._heard += [(now - self._sent[name]) * 1000 for name in TOLD.findall(whole)]
        if len(self._heard) == EVENTS * WATCHERS:
            self._everything.set()


async def _watches(server: servers.Server) -> list[float]:
    """Milliseconds from sending a create to each watcher's seeing it."""
    heard: list[float] = []
    sent: dict[bytes, float] = {}
    everything = asyncio.Event()
    teller = await Connection.open(server)
    path = f"{CONFIG_MAPS}?watch=1&resourceVersion={await _revision(teller)}"
    cluster = kubeconfig.load(server.kubeconfig)
    host, _, port = cluster.server.removeprefix("https://").rpartition(":")
    open_one = functools.partial(asyncio.get_running_loop().create_connection, lambda: Watch(path, sent, heard, everything))
    watchers = [await open_one(host, int(port), ssl=cluster.ssl_context()) for _ in range(WATCHERS)]
    for _, watch in watchers:
        await watch.begun
    for number in range(EVENTS):
        name = f"told-{number}"
        sent[name.encode()] = time.perf_counter()
        await teller.ask("POST", CONFIG_MAPS, _config_map(name))
        await asyncio.sleep(max(0.0, sent[name.encode()] + EVENT_SECONDS - time.perf_counter()))
    await asyncio.wait_for(everything.wait(), 60)
    for transport, _ in watchers:
        transport.close()
    return heard


async def _revision(connection: Connection) -> str:
    return str(json.loads(await connection.ask("GET", f"{CONFIG_MAPS}?limit=1"))["metadata"]["resourceVersion"])


async def _pods(server: servers.Server) -> list[Row]:
    connections = [await Connection.open(server) for _ in range(CLIENTS)]

    async def create(connection: Connection, first: int, last: int) -> None:
        for number in range(first, last, CLIENTS):
            await connection.ask("POST", "/api/v1/namespaces/default/pods", json.dumps(_pod(number)).encode())

    await asyncio.gather(*(create(connection, number, PODS) for number, connection in enumerate(connections)))
    lists = []
    for _ in range(LISTS):
        before = _cpu_ms(server)
        found = await connections[0].ask("GET", "/api/v1/pods")
        lists.append(_cpu_ms(server) - before)
    each = len(found) / len(json.loads(found)["items"])
    await asyncio.gather(*(create(connection, PODS + number, MORE_PODS) for number, connection in enumerate(connections)))
    await asyncio.sleep(5)
    memory = []
    for _ in range(5):
        memory.append(_pss_mb(server))
        await asyncio.sleep(0.5)
    return [
        Row(f"daemon's CPU per LIST of {PODS} pods of {each:.0f} bytes as JSON over TLS", "ms", lists, "<= 50", "kube-apiserver: 210"),
        Row(f"PSS of the daemon with {MORE_PODS} such pods", "MB", memory, "<= 400"),
    ]


def _cpu_ms(server: servers.Server) -> float:
    """What all threads of the daemon have used so far."""
    threads = pathlib.Path(f"/proc/{server.process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6


def _pss_mb(server: servers.Server) -> float:
    found = re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{server.process.pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _config_map(name: str) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "x" * 1024}}).encode()


def _pod(number: int) -> dict[str, Any]:
    """Held back by a gate, so that the scheduler has no part in it."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}", "labels": {"app": f"app-{number % 50}", "tier": "web"}, "annotations": {"note": ""}},
        "spec": {
            "schedulingGates": [{"name": "bench"}],
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example/team/web:1.0",
                    "env": [{"name": f"SETTING_{index}", "value": f"value {number} {index}"} for index in range(2)],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                }
            ],
        },
    }
    pod["metadata"]["annotations"]["note"] = "x" * max(0, POD_BYTES - STORED_MORE_BYTES - len(json.dumps(pod)))  # type: ignore[index]
    return pod


STORED_MORE_BYTES = 1490  # what the server adds: defaults, managed fields, status


def _deployment() -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "schedulingGates": [{"name": "bench"}],
            "containers": [{"name": "main", "image": "web:1", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "b"}]}],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
