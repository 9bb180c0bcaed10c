"""Rules in the kernel, in a network namespace of their own, with real connections through them."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from reconciler.proxy.backends import nftables
from reconciler.proxy.plan import Endpoint, Route

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="nftables needs root and the nft program")

KEY = ("default", "web")
# One namespace with lo, where the "pods" are addresses of lo; answers with the address that was connected to.
SERVER = """
import socket, subprocess, threading
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for i in (1, 2, 3): subprocess.run(["ip", "addr", "add", f"10.99.0.{i}/32", "dev", "lo"], check=True)
subprocess.run(["ip", "route", "add", "default", "dev", "lo"], check=True)
def serve(address):
    s = socket.create_server((address, 8080))
    while True:
        c, _ = s.accept(); c.sendall(address.encode()); c.close()
for i in (1, 2): threading.Thread(target=serve, args=(f"10.99.0.{i}",), daemon=True).start()
print("up", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def namespace() -> Iterator[int]:
    process = subprocess.Popen(["unshare", "--net", sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    yield process.pid
    process.kill()
    process.wait()
    process.stdout.close()


def write_program(path: str, text: str) -> None:
    with open(path, "w") as script:
        script.write(text)
    os.chmod(path, 0o755)


def ruleset(namespace: int) -> str:
    words = ["nsenter", "-t", str(namespace), "-n", "nft", "list", "ruleset"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture
async def backend(namespace: int, tmp_path: object) -> AsyncIterator[nftables.NftablesBackend]:
    nft = f"{tmp_path}/nft"
    write_program(nft, f'#!/bin/sh\nexec nsenter -t {namespace} -n {shutil.which("nft")} "$@"\n')
    made = nftables.NftablesBackend(nft)
    await made.start()
    yield made
    await made.remove()


def route(*endpoints: Endpoint, affinity_seconds: int = 0, node_port: int = 0) -> Route:
    return Route("default/web", "tcp", ("10.96.0.20",), 80, node_port, endpoints, affinity_seconds)


A, B = Endpoint("10.99.0.1", 8080), Endpoint("10.99.0.2", 8080)


def ask(namespace: int, address: str, port: int, times: int = 1) -> list[str]:
    code = (
        "import socket\n"
        f"for _ in range({times}):\n"
        f"  try: print(socket.create_connection(('{address}', {port}), 2).recv(99).decode())\n"
        "  except OSError as e: print(type(e).__name__)\n"
    )
    done = subprocess.run(
        ["nsenter", "-t", str(namespace), "-n", sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


async def test_connections_are_spread_and_follow_changes(namespace: int, backend: nftables.NftablesBackend) -> None:
    await backend.apply({KEY: (route(A, B),)})
    assert set(ask(namespace, "10.96.0.20", 80, 30)) == {"10.99.0.1", "10.99.0.2"}
    await backend.apply({KEY: (route(B),)})
    assert set(ask(namespace, "10.96.0.20", 80, 5)) == {"10.99.0.2"}


async def test_no_endpoints_refuses_at_once_and_recovers(namespace: int, backend: nftables.NftablesBackend) -> None:
    await backend.apply({KEY: (route(),)})
    assert ask(namespace, "10.96.0.20", 80) == ["ConnectionRefusedError"]
    await backend.apply({KEY: (route(A),)})
    assert ask(namespace, "10.96.0.20", 80) == ["10.99.0.1"]


async def test_node_ports_answer_on_the_nodes_address(namespace: int, backend: nftables.NftablesBackend) -> None:
    await backend.apply({KEY: (route(A, node_port=30080),)})
    assert ask(namespace, "10.99.0.3", 30080) == ["10.99.0.1"]


async def test_affinity_keeps_a_client(namespace: int, backend: nftables.NftablesBackend) -> None:
    await backend.apply({KEY: (route(A, B, affinity_seconds=60),)})
    assert len(set(ask(namespace, "10.96.0.20", 80, 12))) == 1
    await backend.apply({KEY: (route(A, affinity_seconds=60),)})
    assert set(ask(namespace, "10.96.0.20", 80, 3)) == {"10.99.0.1"}


async def test_what_goes_leaves_nothing(namespace: int, backend: nftables.NftablesBackend) -> None:
    await backend.apply({KEY: (route(A, B, affinity_seconds=60, node_port=30080),), ("default", "b"): ()})
    await backend.apply({KEY: ()})
    listed = ruleset(namespace)
    assert "route-" not in listed
    assert "30080" not in listed
    assert "10.99" not in listed


async def test_a_refused_transaction_changes_nothing(namespace: int, backend: nftables.NftablesBackend) -> None:
    await backend.apply({KEY: (route(A),)})
    bad = Route("default/bad", "tcp", ("not-an-address",), 80, 0, (B,))
    with pytest.raises(nftables.NftError):
        await backend.apply({KEY: (route(B),), ("default", "bad"): (bad,)})
    assert ask(namespace, "10.96.0.20", 80) == ["10.99.0.1"]
    await backend.apply({KEY: (route(B),)})
    assert ask(namespace, "10.96.0.20", 80) == ["10.99.0.2"]


async def test_an_absent_program_is_an_error_not_a_hang() -> None:
    with contextlib.suppress(asyncio.CancelledError), pytest.raises(FileNotFoundError):
        await nftables.NftablesBackend("/nonexistent/nft").start()
