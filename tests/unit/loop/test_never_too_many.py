"""The promise that matters most: however answers are lost, delayed or repeated, there are never too many pods.

A ReplicaSet of fixed size under one or two leaders, while pods are deleted by others and everything that can go wrong
on the way does. Each seed replays exactly.
"""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import kinds
from reconciler.controllers import replicaset
from reconciler.kit.clock import VirtualClock
from reconciler.loop import cache as caches
from reconciler.loop import driver as drivers
from reconciler.loop import perform
from reconciler.model import meta, plan
from tests.unit.loop import fakes

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


class Watching(fakes.Server):
    """Notes the most pods that there ever were."""

    most = 0

    def _store(self, *arguments: object) -> meta.Obj:
        stored = super()._store(*arguments)  # type: ignore[arg-type]
        self.most = max(self.most, len(self.objects["pods"]))
        return stored


async def ignore(action: plan.Action, origin: object) -> None:
    return


def leader(
    server: fakes.Server, clock: VirtualClock, chance: random.Random, faults: fakes.Faults, is_fed: bool
) -> list[asyncio.Task[None]]:
    client = (fakes.FedClient if is_fed else fakes.Client)(server, clock, chance, faults)
    cache = caches.Cache(client, clock, kinds=["pods", "replicasets.apps"])
    api = perform.Api(client, clock).perform
    performers: dict[type, perform.Performer] = dict.fromkeys((plan.Create, plan.Update, plan.Patch, plan.Delete), api)
    driver = drivers.Driver(client, cache, clock, {**performers, plan.Emit: ignore})
    driver.add(replicaset.CONTROLLER)
    return [asyncio.create_task(cache.run()), asyncio.create_task(driver.run())]


async def simulate(seed: int, leaders: int, is_fed: bool) -> tuple[int, int]:
    """The most pods at any moment and the pods at the end, of seven wanted."""
    chance, clock = random.Random(seed), VirtualClock()
    server = Watching(kinds.builtin())
    faults = fakes.Faults(lost_request=0.1, lost_answer=0.2, broken_watch=0.1, write_delay_seconds=0.3, watch_delay_seconds=2.0)
    running = [task for _ in range(leaders) for task in leader(server, clock, chance, faults, is_fed)]
    spec = {"replicas": 7, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}
    server.put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "ns"}, "spec": spec})
    for _ in range(10):
        await fakes.pass_time(clock, chance.random() * 5)
        if server.objects["pods"] and chance.random() < 0.5:
            server.remove("pods", chance.choice(list(server.objects["pods"])))
    await fakes.pass_time(clock, 2000)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return server.most, len(server.objects["pods"])


@pytest.mark.parametrize("is_fed", [True, False], ids=["feed", "watches"])
@pytest.mark.parametrize("leaders", [1, 2])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_replicas_are_never_exceeded(leaders: int, is_fed: bool, seed: int) -> None:
    assert asyncio.run(simulate(seed, leaders, is_fed)) == (7, 7)
