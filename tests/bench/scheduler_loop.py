"""The scheduler's agent on an event loop: how long others wait while 10,000 pods are scheduled on 5,000 nodes.

The agent is the real one; the cache beside it is a plain view in memory, and the client answers every binding after
one turn of the loop. Pods arrive in the bursts in which the API publishes them. A stall is the CPU time between two
turns of the loop, so that a busy machine does not count.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from reconciler.client import protocol
from reconciler.daemon import heap
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.model import meta, plan
from reconciler.scheduler import agent
from tests.bench import Row
from tests.bench import scheduler as workloads
from tests.unit.scheduler import world

NODES, RUNS, BURST = 5000, 3, 128
Follower = Callable[[str, meta.Obj | None, meta.Obj | None], None]


class Cache(world.World):
    """The part of loop/cache.Cache that the agent uses."""

    def __init__(self, objects: Iterable[meta.Obj]) -> None:
        self._followers: dict[str, Follower] = {}
        super().__init__(objects)

    async def synced(self) -> None:
        return

    def subscribe(self, kinds: Iterable[str], follower: Follower) -> None:
        for kind in kinds:
            self._followers[kind] = follower
            for obj in self.objects.get(kind, {}).values():
                follower(kind, None, obj)

    def show(self, kind: str, obj: meta.Obj) -> None:
        old = self.objects[kind].get(meta.key(obj))
        self.objects[kind][meta.key(obj)] = obj
        self._followers[kind](kind, old, obj)


class Client:
    """Writes bindings, statuses and deletions straight into the cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.decided = 0

    async def perform(
        self, action: plan.ApiAction, origin: protocol.Origin, options: protocol.Options = protocol.Options()
    ) -> protocol.Written:
        await asyncio.sleep(0)
        if isinstance(action, plan.Create):
            metadata = action.body["metadata"]
            pod = self._cache.objects["pods"][metadata["namespace"], metadata["name"]]
            pod = meta.put(pod, ("spec", "nodeName"), action.body["target"]["name"])
            self._cache.show("pods", pod)
            self.decided += 1
        elif isinstance(action, plan.Patch) and action.kind == "pods" and action.subresource == "status":
            self.decided += 1
        return protocol.Written({}, 0)


async def record(action: plan.Action, origin: protocol.Origin) -> None:
    await asyncio.sleep(0)


async def run(workload: workloads.Workload, nodes: int) -> float:
    """The longest stall, in milliseconds."""
    made = workloads.cluster(nodes)
    workload.prepare(made, nodes)
    cache = Cache([obj for objects in made.objects.values() for obj in objects.values()])
    client = Client(cache)
    pods = workload.pods(workload.count)
    running = tasks.Tasks()
    running.start(agent.Agent(client, cache, clocks.SystemClock(), record).run(), "scheduler")  # type: ignore[arg-type]
    await asyncio.sleep(0)
    workloads.settle_heap()
    longest, turn, arrived = 0.0, time.perf_counter(), 0
    while client.decided < len(pods):
        now = time.perf_counter()
        longest, turn = max(longest, now - turn), now
        if client.decided >= arrived - 2 * BURST:
            for pod in pods[arrived : arrived + BURST]:
                cache.show("pods", pod)
            arrived += BURST
        await asyncio.sleep(0)
    await running.close()
    return longest * 1000


def rows() -> Iterator[Row]:
    heap.prepare()
    for workload in workloads.WORKLOADS:
        if workload.expect == "placed" or workload.name == "preemption":
            longest = [asyncio.run(run(workload, NODES)) for _ in range(RUNS)]
            yield Row(f"longest stall of the loop, {workload.name}, {NODES:,} nodes", "ms", longest, "<= 30")


def main() -> None:
    for row in rows():
        print(f"{row.what:66} {row.unit:8} {row.p50:9.4g} {row.spread:>16}  {row.bar}", flush=True)


if __name__ == "__main__":
    main()
