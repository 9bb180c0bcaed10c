"""Scheduling alone, on one core: `python -m tests.bench.scheduler [--nodes N] [--runs N] [--only WORKLOAD]`.

Workloads are those of kube-scheduler's own benchmark, made as objects in memory; what is measured is taking pods
from the queue, deciding, and counting the decision in the table. Nothing is written to a server.
"""

import argparse
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.daemon import heap
from reconciler.model import meta
from reconciler.scheduler import config
from reconciler.scheduler import plan as decisions
from reconciler.scheduler.agent import STEP_SECONDS
from reconciler.scheduler.queue import Queue
from tests.bench import Row
from tests.unit.scheduler import world

NODES, RUNS = 5000, 3
ZONES = 10
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
REQUIRED, PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
SMALL = {"cpu": "100m", "memory": "500Mi"}

Pods = list[dict[str, Any]]


@dataclass(frozen=True)
class Workload:
    """`prepare` fills the cluster; `pods` are measured; `bar` is what has to be reached, pods a second."""

    name: str
    bar: int
    pods: Callable[[int], Pods]
    count: int = 5000
    prepare: Callable[[world.World, int], None] = lambda _, __: None
    expect: str = "placed"


@dataclass(frozen=True)
class Result:
    rate: float
    placed: int
    longest_step_seconds: float


def cluster(count: int) -> world.World:
    made = world.World([world.namespace("default")])
    for number in range(count):
        zone = f"zone-{number % ZONES}"
        made.add(world.node(f"node-{number}", "4", "32Gi", labels={ZONE: zone}))
    return made


def basic(count: int, **more: Any) -> Pods:
    return [world.pod(f"pod-{number}", SMALL, **more) for number in range(count)]


def in_zone(count: int) -> Pods:
    terms = [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": [f"zone-{number}" for number in range(2)]}]}]
    return basic(count, affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}})


def spread(when: str) -> Callable[[int], Pods]:
    selector = {"matchLabels": {"app": "spread"}}
    constraint = {"topologyKey": ZONE, "maxSkew": 5, "whenUnsatisfiable": when, "labelSelector": selector}
    return lambda count: basic(count, labels={"app": "spread"}, topologySpreadConstraints=[constraint])


def related(kind: str, key: str, when: str = REQUIRED) -> Callable[[int], Pods]:
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"color": "blue"}}}
    terms = [term] if when == REQUIRED else [{"weight": 1, "podAffinityTerm": term}]
    return lambda count: basic(count, labels={"color": "blue"}, affinity={kind: {when: terms}})


def low_priority(made: world.World, nodes: int) -> None:
    for number in range(4 * nodes):
        made.add(
            world.pod(f"low-{number}", {"cpu": "900m", "memory": "500Mi"}, on=f"node-{number % nodes}", started="2026-01-01T00:00:00Z")
        )


def mixed(count: int) -> Pods:
    kinds = (
        basic,
        in_zone,
        spread("DoNotSchedule"),
        spread("ScheduleAnyway"),
        related("podAffinity", ZONE),
        related("podAntiAffinity", HOSTNAME),
        related("podAffinity", HOSTNAME, PREFERRED),
        related("podAntiAffinity", HOSTNAME, PREFERRED),
    )
    groups = [kind(count // len(kinds)) for kind in kinds]
    found = [pod for group in zip(*groups, strict=True) for pod in group]
    return [meta.put(pod, ("metadata", "name"), f"mixed-{number}") for number, pod in enumerate(found)]


WORKLOADS = (
    Workload("basic", 8000, basic, 10_000),
    Workload("node affinity", 3000, in_zone),
    Workload("topology spread, required", 3000, spread("DoNotSchedule")),
    Workload("topology spread, preferred", 2000, spread("ScheduleAnyway")),
    Workload("pod affinity", 1000, related("podAffinity", ZONE)),
    Workload("required anti-affinity", 1500, related("podAntiAffinity", HOSTNAME), 4500),
    Workload("preferred affinity", 1000, related("podAffinity", HOSTNAME, PREFERRED)),
    Workload("preferred anti-affinity", 1000, related("podAntiAffinity", HOSTNAME, PREFERRED)),
    Workload(
        "preemption",
        2000,
        lambda count: [world.pod(f"high-{n}", {"cpu": "3", "memory": "500Mi"}, priority=10) for n in range(count)],
        5000,
        low_priority,
        "nominated",
    ),
    Workload(
        "unschedulable churn",
        5000,
        lambda count: [
            pod
            for pair in zip(basic(count // 2), [world.pod(f"huge-{n}", {"cpu": "9"}) for n in range(count // 2)], strict=True)
            for pod in pair
        ],
        10_000,
        expect="either",
    ),
    Workload(
        "gated",
        8000,
        lambda count: [world.pod(f"gated-{n}", SMALL, schedulingGates=[{"name": "g"}] if n % 2 else []) for n in range(count)],
        10_000,
        expect="either",
    ),
    Workload("mixed of all the above", 1500, mixed),
)


def settle_heap() -> None:
    """What exists is not walked again, as in a daemon that has had a quiet moment since its start."""
    gc.collect()
    gc.freeze()


def run(workload: Workload, nodes: int) -> Result:
    made = cluster(nodes)
    workload.prepare(made, nodes)
    pods = workload.pods(workload.count)
    planner = made.planner()
    queue = Queue(config.default_profile().filters)
    settle_heap()
    start = time.perf_counter()
    for pod in pods:
        queue.put(pod, made.table.shapes.of(pod), 0.0)
    placed, longest, step = 0, 0.0, time.perf_counter()
    while (waiting := queue.pop(0.0)) is not None:
        decision = planner.try_place(waiting.pod, waiting.shape)
        if isinstance(decision, decisions.Searching):
            queue.resume(waiting)
        elif isinstance(decision, decisions.Placed):
            placed += 1
        else:
            placed += bool(decision.nominated) if workload.expect == "nominated" else 0
            queue.sleep(waiting, decision.filters)
        now = time.perf_counter()
        if now - step > STEP_SECONDS:  # where the agent lets others run
            longest, step = max(longest, now - step), time.perf_counter()
    seconds = time.perf_counter() - start
    if workload.expect != "either" and placed != len(pods):
        sys.stderr.write(f"{workload.name}: only {placed} of {len(pods)} pods {workload.expect}\n")
    return Result(len(pods) / seconds, placed, longest)


def memory(nodes: int, pods: int, templates: int) -> float:
    """Megabytes that the table, its shapes and what is kept per shape add to the objects that the cache holds anyway."""
    objects = cluster(nodes).nodes
    objects += [
        world.pod(f"pod-{number}", SMALL, on=f"node-{number % nodes}", labels={"app": f"app-{number % templates}"})
        for number in range(pods)
    ]
    tracemalloc.start()
    made = world.World([world.namespace("default")])
    for obj in objects:
        made.table.set_node(obj) if obj["kind"] == "Node" else made.table.set_pod(obj)
    planner = made.planner()
    for kind in (basic, spread("DoNotSchedule"), spread("ScheduleAnyway"), related("podAffinity", ZONE)):
        planner.place(kind(1)[0])
    found = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return found / 1e6


def rows(nodes: int = NODES, runs: int = RUNS, only: str = "") -> Iterator[Row]:
    heap.prepare()
    for workload in WORKLOADS:
        if only in workload.name:
            results = [run(workload, nodes) for _ in range(runs)]
            yield Row(f"schedule, {nodes:,} nodes: {workload.name}", "pods/s", [one.rate for one in results], f">= {workload.bar:,}")
            yield Row("  ... longest step between which others run", "ms", [one.longest_step_seconds * 1000 for one in results], "<= 30")
    if only:
        return
    for size in (500, 5000, 50_000):
        yield Row(
            f"schedule, basic on {size:,} nodes", "pods/s", [run(WORKLOADS[0], size).rate for _ in range(runs)], "sub-linear in nodes"
        )
    for templates in (10, 5000, 50_000):
        yield Row(f"scheduler's table, 5,000 nodes, 50,000 pods of {templates} kinds", "MB", [memory(5000, 50_000, templates)], "<= 150")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--only", default="", help="workloads with this in their name")
    arguments = parser.parse_args()
    for row in rows(arguments.nodes, arguments.runs, arguments.only):
        print(f"{row.what:66} {row.unit:8} {row.p50:9.4g} {row.spread:>16}  {row.bar}", flush=True)


if __name__ == "__main__":
    main()
