"""The recorded conversations of a real kube-apiserver, replayed against the server in this process.

No controllers run, so sequences that wait for one are left out; the full replay is `make oracle`. Every answer is the
recorded one, but for the differences that are meant: tests/oracle/meant.txt lists them with their reasons.
"""

import asyncio
import gzip
import json
import pathlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconciler import kinds
from reconciler.api import apiserver, server
from reconciler.client import protocol
from reconciler.controllers import rootca
from reconciler.kit import clock
from reconciler.model import plan
from tests.oracle import __main__ as oracle
from tests.oracle import replay
from tests.unit.api.memory import MemoryJournal

RECORDINGS = pathlib.Path(__file__).parents[1] / "oracle"
GROUPS = ("discovery", "defaulting", "watch", "verbs", "patch", "apply", "crd", "subresources", "admission")
NEEDS_CONTROLLERS = ("dependents", "namespace-terminating")
AT_ONCE = 8
AUTHORITY = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
ORIGIN = protocol.Origin(actor="test/oracle")


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
        said = {"kubernetes.io/description": rootca.DESCRIPTION}
        trust = {"metadata": {"name": rootca.NAME, "namespace": namespace, "annotations": said}, "data": {"ca.crt": AUTHORITY}}
        await client.perform(plan.Create(kind="configmaps", body=trust, why="every namespace has one"), ORIGIN)

    revision = api.cache.revision
    for _, item in list(api.cache.shelf("namespaces").in_order()):
        await furnish(item.obj["metadata"]["name"])
    async for batch in client.watch("namespaces", revision):
        for event in batch:
            if event.type == "ADDED":
                await furnish(event.obj["metadata"]["name"])


@pytest.mark.parametrize("group", GROUPS)
async def test_answers_are_those_of_kubernetes(listening: server.HttpServer, group: str) -> None:
    def differences(sequence: dict[str, Any]) -> list[str]:
        talking = replay.Server(listening.kubeconfig)
        try:
            return list(replay.replay(talking, sequence))
        finally:
            talking.connection.close()

    wanted, meant = sequences(group), oracle.meant()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = await asyncio.gather(*(loop.run_in_executor(pool, differences, sequence) for sequence in wanted))
        unlisted = [one for one, different in zip(wanted, found, strict=True) if different and one["name"] not in meant]
        # Once more on its own: times that are part of some answers suffer where much else runs.
        alone = {one["name"]: await loop.run_in_executor(pool, differences, one) for one in unlisted}
    assert not {name: different for name, different in alone.items() if different}
