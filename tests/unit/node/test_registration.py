"""What the Node says of itself: pressures at once, and over a restart until somebody has looked."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from reconciler import kinds
from reconciler.api import apiserver
from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.model import meta
from reconciler.node import registration
from reconciler.node.eviction import thresholds
from tests.unit.api.memory import MemoryJournal

CAPACITY = {"cpu": "2", "memory": "1000Ki", "ephemeral-storage": "2000Ki", "pods": "110"}


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[protocol.Client]:
    api = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), clocks.SystemClock())
    await api.start()
    try:
        yield api.client("kubelet")
    finally:
        await api.close()


def daemon(client: protocol.Client) -> registration.Registration:
    facts = registration.Facts(name="n", address="10.0.0.1", runtime_version="process://1", capacity=CAPACITY, allocatable=CAPACITY)
    return registration.Registration(client, clocks.SystemClock(), facts)


async def condition(client: protocol.Client, kind: str) -> dict[str, Any]:
    node = await client.get("nodes", "", "n")
    return next(dict(one) for one in meta.status(node)["conditions"] if one["type"] == kind)


async def test_pressures_are_said_at_once_and_kept_over_a_restart() -> None:
    async with opened() as client:
        first = daemon(client)
        await first.register()
        assert (await condition(client, "DiskPressure"))["status"] == "False"
        await first.press({"DiskPressure": "nodefs.available is 5"})
        pressed = await condition(client, "DiskPressure")
        assert (pressed["status"], pressed["reason"], pressed["message"]) == ("True", "KubeletHasDiskPressure", "nodefs.available is 5")
        second = daemon(client)
        await second.register()
        assert (await condition(client, "DiskPressure"))["message"] == "nodefs.available is 5"
        await second.press({})
        assert (await condition(client, "DiskPressure"))["reason"] == "KubeletHasNoDiskPressure"
        assert (await condition(client, "Ready"))["status"] == "True"


async def test_figures_that_change_are_no_news() -> None:
    async with opened() as client:
        node = daemon(client)
        await node.register()
        await node.press({"MemoryPressure": "5 left"})
        revision = meta.revision(await client.get("nodes", "", "n"))
        await node.press({"MemoryPressure": "4 left"})
        assert meta.revision(await client.get("nodes", "", "n")) == revision


def test_what_hard_thresholds_keep_free_is_not_allocatable() -> None:
    hard = {"memory.available": "100Ki", "nodefs.available": "10%"}
    settings = thresholds.settings(hard=hard, soft={}, soft_grace={}, minimum_reclaim={})
    assert registration.allocatable(CAPACITY, settings) == {**CAPACITY, "memory": "900Ki", "ephemeral-storage": "1800Ki"}
    assert registration.allocatable(CAPACITY, thresholds.NEVER) == CAPACITY
