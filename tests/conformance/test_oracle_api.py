"""The recorded conversations of a real kube-apiserver, replayed against the server in this process.

No controllers run, so sequences that wait for one are left out; the full replay is `make oracle`. What is asked here
is that no group falls below the share that was reached.
"""

import asyncio
import gzip
import importlib.util
import json
import pathlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from reconciler import kinds
from reconciler.api import apiserver, server
from reconciler.client import protocol
from reconciler.kit import clock
from reconciler.model import plan
from tests.unit.api.memory import MemoryJournal

RECORDINGS = pathlib.Path(__file__).parents[1] / "oracle"
REACHED = {"discovery": 0.94, "watch": 0.88, "verbs": 0.84, "patch": 0.84, "apply": 0.84}
NEEDS_CONTROLLERS = ("dependents", "namespace-terminating")
AT_ONCE = 8
ORIGIN = protocol.Origin(actor="test/oracle")


def replayer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replay", RECORDINGS / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sequences(group: str) -> list[dict[str, Any]]:
    with gzip.open(RECORDINGS / f"{group}.jsonl.gz", "rt") as lines:
        found = [json.loads(line) for line in lines]
    return [one for one in found if not any(word in one["name"] for word in NEEDS_CONTROLLERS)]


@pytest.fixture
async def listening(tmp_path: pathlib.Path) -> AsyncIterator[server.HttpServer]:
    api = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), clock.SystemClock())
    await api.start()
    made = server.HttpServer(api, server.Listen(port=0), tmp_path)
    await made.start()
    furnishing = asyncio.create_task(_furnish(api))
    yield made
    furnishing.cancel()
    await made.close()
    await api.close()


async def _furnish(api: apiserver.ApiServer) -> None:
    """Put into every new namespace what its controllers would: the recordings count on it."""
    client = api.client("kube-controller-manager")

    async def furnish(namespace: str) -> None:
        account = {"metadata": {"name": "default", "namespace": namespace}}
        await client.perform(plan.Create(kind="serviceaccounts", body=account, why="every namespace has one"), ORIGIN)
        trust = {"metadata": {"name": "kube-root-ca.crt", "namespace": namespace}, "data": {"ca.crt": "-"}}
        await client.perform(plan.Create(kind="configmaps", body=trust, why="every namespace has one"), ORIGIN)

    revision = api.cache.revision
    for _, item in list(api.cache.shelf("namespaces").in_order()):
        await furnish(item.obj["metadata"]["name"])
    async for batch in client.watch("namespaces", revision):
        for event in batch:
            if event.type == "ADDED":
                await furnish(event.obj["metadata"]["name"])


@pytest.mark.parametrize("group", REACHED)
async def test_answers_are_those_of_kubernetes(listening: server.HttpServer, group: str) -> None:
    replay = replayer()
    wanted = sequences(group)

    def one(sequence: dict[str, Any]) -> list[str]:
        talking = replay.Server(listening.kubeconfig)
        try:
            found: list[str] = replay.replay(talking, sequence)
            return found
        finally:
            talking.connection.close()

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        differences = await asyncio.gather(*(loop.run_in_executor(pool, one, sequence) for sequence in wanted))
    different = [f"{sequence['name']}: {found[0]}" for sequence, found in zip(wanted, differences, strict=True) if found]
    share = 1 - len(different) / len(wanted)
    assert share >= REACHED[group], f"{share:.2f} equal:\n" + "\n".join(different)
