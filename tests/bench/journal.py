"""Durable puts, beside Debian's etcd on the same disk in alternating rounds, and beside a busy event loop.

Ours is called in process, as the API server calls it and with the daemon's garbage collection; etcd is a process of its own and
is asked over gRPC where grpcio is installed, else through its JSON gateway, which costs etcd about half. The client of etcd is
Python and uses the share of a core that the row tells.
"""

import asyncio
import base64
import contextlib
import importlib.util
import itertools
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import uvloop

from reconciler.daemon import heap
from reconciler.kit.clock import SystemClock
from reconciler.store.local import LocalJournal
from reconciler.store.types import Provenance, Put
from tests.bench import Row

WRITERS = 100
ROUNDS = 20
ROUND_SECONDS = 0.5
VALUE = bytes(range(256)) * 4
WHY = Provenance("bench", "measuring")
BUSY_SLICE_SECONDS = 0.001
BUSY_PUTS = 1000

Write = Callable[[str], Awaitable[Any]]


def rows() -> Iterator[Row]:
    heap.prepare()
    with tempfile.TemporaryDirectory(prefix="bench-journal-") as top:
        folder = pathlib.Path(top)
        yield Row("fdatasync of 8 KiB written over, the floor of every commit", "ms", _fdatasyncs(folder))
        ours, theirs, peer = uvloop.run(_throughput(folder))
        yield Row("durable puts of 1 KiB, 100 writers", "1/s", ours, ">= 5 times etcd", peer=peer)
        if theirs:
            ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
            yield Row("the same, as a multiple of etcd in the round beside it", "times", ratios, ">= 5")
        alone = uvloop.run(_latency(folder / "idle", busy=False))
        yield Row("durable put, one writer, idle event loop", "ms", alone)
        beside = uvloop.run(_latency(folder / "busy", busy=True))
        yield Row("durable put, event loop 100 % busy in slices of 1 ms", "ms", beside, "p99 <= 5")


def _fdatasyncs(folder: pathlib.Path) -> list[float]:
    file = os.open(folder / "floor", os.O_CREAT | os.O_WRONLY)
    os.write(file, bytes(8 << 20))
    os.fsync(file)
    taken = []
    for number in range(200):
        os.pwrite(file, VALUE * 8, number * 8192)
        started = time.perf_counter()
        os.fdatasync(file)
        taken.append((time.perf_counter() - started) * 1000)
    os.close(file)
    return taken


async def _throughput(folder: pathlib.Path) -> tuple[list[float], list[float], str]:
    journal = await LocalJournal.open(folder / "ours", SystemClock())

    async def put(key: str) -> None:
        await journal.commit([Put(key, VALUE)], WHY)

    ours, theirs, shares = [], [], []
    async with _etcd(folder / "etcd") as etcd:
        for write in (put, *([etcd[1]] if etcd else [])):
            await _round(write)
        for _ in range(ROUNDS):
            ours.append((await _round(put))[0])
            if etcd:
                speed, share = await _round(etcd[1])
                theirs.append(speed)
                shares.append(share)
    await journal.close()
    if not etcd:
        return ours, [], "etcd is not installed"
    middle = sorted(theirs)[len(theirs) // 2]
    return ours, theirs, f"{etcd[0]}: p50 {middle:.0f}, its client uses {100 * sum(shares) / len(shares):.0f} % of a core"


async def _round(write: Write) -> tuple[float, float]:
    """Puts a second, and the share of a core that this process used."""
    done = 0
    started, used = time.perf_counter(), time.process_time()
    end = started + ROUND_SECONDS

    async def writer(key: str) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await write(key)
            done += 1

    await asyncio.gather(*(writer(f"pods/default/web-{number}") for number in range(WRITERS)))
    seconds = time.perf_counter() - started
    return done / seconds, (time.process_time() - used) / seconds


@contextlib.asynccontextmanager
async def _etcd(folder: pathlib.Path) -> AsyncIterator[tuple[str, Write] | None]:
    """Its name and a put, None where it is not installed."""
    program = shutil.which("etcd")
    if program is None:
        yield None
        return
    clients, peers = (f"http://127.0.0.1:{port}" for port in _free_ports(2))
    options = {
        "data-dir": str(folder),
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
    }
    server = await asyncio.create_subprocess_exec(
        program, *(f"--{name}={value}" for name, value in options.items()), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession(clients, connector=aiohttp.TCPConnector(limit=0)) as session:
            await _ready(session)
            if importlib.util.find_spec("grpc") is not None:
                async with _grpc(clients.removeprefix("http://")) as put:
                    yield "etcd over gRPC", put
            else:
                yield "etcd through its JSON gateway", _gateway(session)
    finally:
        server.terminate()
        await server.wait()


async def _ready(session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get("/health") as answer:
                    if json.loads(await answer.text()).get("health") == "true":
                        return
            await asyncio.sleep(0.05)


def _gateway(session: aiohttp.ClientSession) -> Write:
    value = base64.b64encode(VALUE).decode()

    async def put(key: str) -> None:
        body = json.dumps({"key": base64.b64encode(key.encode()).decode(), "value": value})
        async with session.post("/v3/kv/put", data=body) as answer:
            answer.raise_for_status()
            await answer.read()

    return put


@contextlib.asynccontextmanager
async def _grpc(address: str) -> AsyncIterator[Write]:
    """Puts over four connections; a PutRequest is two length-prefixed fields."""
    import grpc.aio

    channels = [grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(4)]
    calls = itertools.cycle([channel.unary_unary("/etcdserverpb.KV/Put") for channel in channels])

    async def put(key: str) -> None:
        name = key.encode()
        await next(calls)(b"\x0a" + bytes([len(name)]) + name + b"\x12\x80\x08" + VALUE)

    yield put
    for channel in channels:
        await channel.close()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [made.getsockname()[1] for made in sockets]


async def _latency(folder: pathlib.Path, *, busy: bool) -> list[float]:
    """Milliseconds of one put after another, the event loop otherwise idle or never idle."""
    journal = await LocalJournal.open(folder, SystemClock())
    loop = asyncio.get_running_loop()
    spinning = busy

    def spin() -> None:
        end = time.perf_counter() + BUSY_SLICE_SECONDS
        while time.perf_counter() < end:
            pass
        if spinning:
            loop.call_soon(spin)

    if busy:
        loop.call_soon(spin)
    taken = []
    for number in range(BUSY_PUTS):
        started = time.perf_counter()
        await journal.commit([Put(f"pods/default/web-{number % WRITERS}", VALUE)], WHY)
        taken.append((time.perf_counter() - started) * 1000)
    spinning = False
    await journal.close()
    return taken
