"""Pods as bare network namespaces, connected for real."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from reconciler.node import network
from reconciler.node.runtimes import types

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root")

RANGE = "10.251.7.0/24"
# Answers each TCP connection with its own name, and says so when it listens.
SERVER = """
import socket, sys
s = socket.create_server(("", 80))
print("up", flush=True)
while True:
    c, _ = s.accept()
    c.sendall(sys.argv[1].encode())
    c.close()
"""


class Pod:
    """A process that serves on port 80 in a network namespace of its own."""

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.process = subprocess.Popen(["unshare", "--net", sys.executable, "-c", SERVER, uid], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n"

    def stop(self) -> None:
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def pods() -> Iterator[list[Pod]]:
    made = [Pod("pod-a"), Pod("pod-b")]
    yield made
    for pod in made:
        pod.stop()


@pytest.fixture
async def connected() -> AsyncIterator[network.PodNetwork]:
    made = network.PodNetwork(RANGE, nft=shutil.which("nft"), instance="rc-test")
    await made.open()
    yield made
    await made.remove()


async def asked(address: str, port: int, *, from_pod: Pod | None = None) -> str:
    code = f"import socket; print(socket.create_connection(('{address}',{port}),3).recv(99).decode())"
    words = ["nsenter", "-t", str(from_pod.process.pid), "-n"] if from_pod else []
    process = await asyncio.create_subprocess_exec(*words, sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode().strip()


async def test_pods_reach_each_other_and_the_node_reaches_them(pods: list[Pod], connected: network.PodNetwork) -> None:
    a, b = [await connected.attach(pod.process.pid, pod.uid) for pod in pods]
    assert await asked(b, 80, from_pod=pods[0]) == "pod-b"
    assert await asked(a, 80, from_pod=pods[1]) == "pod-a"
    assert await asked(a, 80) == "pod-a"


async def test_attaching_again_changes_nothing(pods: list[Pod], connected: network.PodNetwork) -> None:
    first = await connected.attach(pods[0].process.pid, pods[0].uid)
    assert await connected.attach(pods[0].process.pid, pods[0].uid) == first


async def test_a_new_daemon_knows_the_addresses(pods: list[Pod], connected: network.PodNetwork) -> None:
    first = await connected.attach(pods[0].process.pid, pods[0].uid)
    restarted = network.PodNetwork(RANGE, nft=shutil.which("nft"), instance="rc-test")
    await restarted.open()
    assert await restarted.attach(pods[0].process.pid, pods[0].uid) == first
    assert await restarted.attach(pods[1].process.pid, pods[1].uid) != first


async def test_detaching_frees_the_address_and_may_be_repeated(pods: list[Pod], connected: network.PodNetwork) -> None:
    await connected.attach(pods[0].process.pid, pods[0].uid)
    await connected.detach(pods[0].uid)
    await connected.detach(pods[0].uid)
    assert network.link_name(pods[0].uid) not in os.listdir("/sys/class/net")


@pytest.mark.skipif(shutil.which("nft") is None, reason="host ports need nft")
async def test_host_ports_lead_to_the_pod_and_are_taken_once(pods: list[Pod], connected: network.PodNetwork) -> None:
    address = await connected.attach(pods[0].process.pid, pods[0].uid, [("TCP", 28431, 80)])
    other = await connected.attach(pods[1].process.pid, pods[1].uid)
    assert await asked(connected.gateway, 28431, from_pod=pods[1]) == "pod-a"
    assert {address, other} <= {"10.251.7.2", "10.251.7.3"}
    with pytest.raises(types.RuntimeFailure, match="28431/TCP is taken"):
        await connected.attach(pods[1].process.pid, pods[1].uid, [("TCP", 28431, 80)])


async def test_a_process_that_is_gone_is_said(connected: network.PodNetwork) -> None:
    with pytest.raises(types.RuntimeFailure, match="connecting the pod"):
        await connected.attach(2**22 - 7, "gone")


def test_a_range_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        network.PodNetwork("10.0.0.0/30", nft=None)
