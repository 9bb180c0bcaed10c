"""A cluster that does not exist, under a scenario: hours of it in minutes, the same each time for the same seed.

A folder is applied to simulated nodes; then what the scenario says happens at its times, and what the controllers, the
scheduler and the autoscalers make of it is sampled and summed up. How that is shown is picture.py's and the verb's
business.
"""

import functools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.client import protocol
from reconciler.client import usage as uses
from reconciler.foresight import forecast, scenario, timeline, virtual, world
from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.loop.cache import Cache
from reconciler.model import errors, meta, plan
from reconciler.model.view import OWNER

SAMPLES = 240  # over the whole time
WINDOW_SECONDS = 15.0
ORIGIN = protocol.Origin(actor="user/simulation")
ZONE = "topology.kubernetes.io/zone"
Happening = Callable[[], Awaitable[None]]
START = 1_767_225_600.0  # 2026-01-01: a simulation does not depend on when it is run


@dataclass(frozen=True, slots=True)
class Moment:
    seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    nodes: int
    seconds: float
    samples: tuple[timeline.Sample, ...]
    moments: tuple[Moment, ...]
    started: int  # pods
    ended: int
    availability: tuple[forecast.Availability, ...]  # since the first event
    unplaced: tuple[forecast.Unplaced, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    folder: Path
    scenario: scenario.Scenario
    base: Path = Path()  # where the scenario's own folders start from
    seed: int = 0


def simulate(question: Question) -> Result:
    return virtual.run(_simulate(question))


async def _simulate(question: Question) -> Result:
    clock = virtual.Clock(START)
    objects = list(_nodes(question.scenario.nodes))
    beginning = world.Beginning(now=START, objects=objects, seed=question.seed)
    async with world.running(beginning, clock) as made:
        return await _Run(question, made).run()


class _Run:
    def __init__(self, question: Question, made: world.World) -> None:
        self._question = question
        self._world = made
        self._timeline = timeline.Timeline(made.cache)
        self._moments: list[Moment] = []
        self._problems: list[str] = []
        if question.scenario.loads:
            made.usage[:] = [Loads(made.cache, made.clock, question.scenario.loads)]

    async def run(self) -> Result:
        seconds = self._question.scenario.duration
        happenings = sorted(self._happenings(), key=lambda one: one[0])
        await self._follow(self._question.folder)
        for at, happen in happenings:
            if at > seconds:
                break
            await self._world.clock.sleep(at - self._world.clock.monotonic())
            await happen()
        return self._result(seconds)

    def _happenings(self) -> Iterator[tuple[float, Happening]]:
        """What is to be done and when; of one time in this order."""
        events = self._question.scenario.events
        for number in range(SAMPLES + 1):
            at = number * self._question.scenario.duration / SAMPLES
            yield at, functools.partial(self._sample, at)
        if events:
            yield min(event.at for event in events), self._begin
        for event in events:
            yield event.at, functools.partial(self._happen, event)
            loss = event.power_loss
            if loss is not None and loss.lasts is not None:
                yield event.at + loss.lasts, functools.partial(self._restore, loss)

    async def _sample(self, at: float) -> None:
        self._timeline.sample(at)

    async def _begin(self) -> None:
        self._world.observer.begin()

    async def _happen(self, event: scenario.Event) -> None:
        if event.power_loss is not None:
            await self._lose(event.power_loss)
        elif event.scale is not None:
            await self._scale(event.scale)
        elif event.apply is not None:
            await self._follow((self._question.base / event.apply).resolve())

    async def _lose(self, loss: scenario.PowerLoss) -> None:
        lost = self._meant(loss)
        for name in lost:
            self._world.nodes.switch_off(name)
        self._note(f"power is lost: {loss.zone or ', '.join(lost)} ({len(lost)} nodes)")

    async def _restore(self, loss: scenario.PowerLoss) -> None:
        back = self._meant(loss)
        for name in back:
            self._world.nodes.switch_on(name)
        self._note(f"power is back: {loss.zone or ', '.join(back)}")

    def _meant(self, loss: scenario.PowerLoss) -> list[str]:
        """The names of the nodes without power."""
        nodes = self._world.cache.every("nodes")
        return [meta.name(one) for one in nodes if meta.name(one) in loss.nodes or (loss.zone and meta.labels(one).get(ZONE) == loss.zone)]

    async def _scale(self, wanted: scenario.Scale) -> None:
        namespace, _, name = wanted.deployment.partition("/")
        size = {"spec": {"replicas": wanted.replicas}}
        patch = plan.Patch(kind="deployments.apps", namespace=namespace, name=name, type="merge", patch=size, why="the scenario says so")
        try:
            await self._world.client("simulation").perform(patch, ORIGIN)
        except errors.StatusError as error:
            self._problems.append(f"scale {wanted.deployment}: {error.message}")
        self._note(f"Deployment {wanted.deployment} is scaled to {wanted.replicas}")

    async def _follow(self, folder: Path) -> None:
        agent = await self._world.follow(folder)
        (report,) = agent.report()
        self._problems += report["errors"]
        self._note(f"{folder.name} is applied: {report['documents']} documents")

    def _note(self, text: str) -> None:
        self._moments.append(Moment(self._world.clock.monotonic(), text))

    def _result(self, seconds: float) -> Result:
        observer = self._world.observer
        return Result(
            nodes=sum(1 for _ in self._world.cache.every("nodes")),
            seconds=seconds,
            samples=tuple(self._timeline.samples),
            moments=tuple(self._moments),
            started=self._timeline.started,
            ended=self._timeline.ended,
            availability=tuple(forecast.availability(self._world)),
            unplaced=tuple(forecast.Unplaced(meta.path(one), why) for one, why in observer.unplaced()),
            problems=tuple(self._problems),
        )


class Loads:
    """Implements client/usage.Source: the pods of a Deployment under load share it evenly."""

    def __init__(self, cache: Cache, clock: clocks.Clock, loads: tuple[scenario.Load, ...]) -> None:
        self._cache = cache
        self._clock = clock
        self._loads = loads

    async def usage(self) -> tuple[uses.Node, ...]:
        now = self._clock.now()
        pods = tuple(one for load in self._loads for one in self._of(load, now))
        cpu = sum(container.cpu_nanocores for one in pods for container in one.containers)
        return (uses.Node(name="", timestamp=now, window_seconds=WINDOW_SECONDS, cpu_nanocores=cpu, memory_working_set_bytes=0, pods=pods),)

    def _of(self, load: scenario.Load, now: float) -> Iterator[uses.Pod]:
        deployment = self._cache.get("deployments.apps", *load.deployment.split("/"))
        if deployment is None:
            return
        sets = self._cache.by("replicasets.apps", OWNER, meta.uid(deployment))
        ready = [one for replica_set in sets for one in self._cache.by("pods", OWNER, meta.uid(replica_set)) if pod.is_ready(one)]
        share = load.nanocores(self._clock.monotonic()) // max(1, len(ready))
        for one in ready:
            names = [container["name"] for container in pod.containers(one)]
            yield uses.Pod(
                namespace=meta.namespace(one),
                name=meta.name(one),
                uid=meta.uid(one),
                timestamp=now,
                window_seconds=WINDOW_SECONDS,
                containers=tuple(uses.Container(name, share // len(names), 0) for name in names),
            )


def _nodes(wanted: scenario.Nodes) -> Iterator[tuple[str, meta.Obj]]:
    """sim-1 and so on, dealt out to the zones in turn."""
    capacity = {"cpu": wanted.cpu, "memory": wanted.memory, "pods": str(wanted.pods), "ephemeral-storage": "200Gi"}
    at = clocks.rfc3339(START)
    for number in range(1, wanted.count + 1):
        labels = {"kubernetes.io/hostname": f"sim-{number}", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        labels[ZONE] = f"zone-{(number - 1) % wanted.zones + 1}"
        metadata = {"name": f"sim-{number}", "uid": f"00000000-0000-4000-8000-{number:012d}", "creationTimestamp": at, "labels": labels}
        status = {"capacity": capacity, "allocatable": capacity}
        yield "nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": status}
