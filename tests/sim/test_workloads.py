"""Workloads on a simulated cluster with seeded faults: no bound is ever broken, and all is well when the faults stop.

Lost requests and answers, events that come late and twice, kinds that lag behind each other, a control plane that dies
between any two actions, two control planes at once, a wall clock that jumps. SIM_SEEDS sets how many seeds run (1,000
are the long form); a failing one replays exactly: `pytest tests/sim -k "seed-7"`.
"""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.kinds import job as jobs
from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.loop.cache import Cache
from reconciler.model import meta
from tests.sim.cluster import Cluster, ControlPlane, running
from tests.sim.unreliable import Unreliable

SEEDS = [pytest.param(seed, id=f"seed-{seed}") for seed in range(int(os.environ.get("SIM_SEEDS", "50")))]
WANTED = ("deployment-controller", "replicaset-controller", "statefulset-controller", "job-controller", "garbage-collector-controller")
QUIET_ROUNDS, MOST_ROUNDS = 40, 1200  # half seconds
LABELS = {"app": "web"}


class Chaos:
    """A cluster whose control planes have bad luck, and a kubelet that has not."""

    wanted = WANTED
    jumps = True  # whether the wall clock does

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)
        self.clients: list[Unreliable] = []
        self.planes: list[ControlPlane] = []
        self.rounds = 0  # since the faults stopped
        self.succeeds = False  # pods run to their end instead of becoming ready
        for _ in range(1 + seed % 2):
            self.start()

    def start(self) -> None:
        client = Unreliable(self.cluster.api.client("kube-controller-manager"), self.cluster.clock, self.chance)
        self.clients.append(client)
        self.planes.append(self.cluster.run(self.wanted, client))

    async def go_on(self, seconds: int) -> None:
        """Let time pass; now and then a control plane dies and another takes its place."""
        for _ in range(2 * seconds):
            await self.cluster.pass_time(0.5)
            await self.kubelet()
            if self.jumps and self.chance.random() < 0.02:
                self.cluster.clock.jump(self.chance.uniform(-30, 30))
            if self.chance.random() < 0.05:
                plane = self.planes.pop(self.chance.randrange(len(self.planes)))
                self.cluster.planes.remove(plane)
                await plane.close()
                self.start()

    async def heal(self, quiet_rounds: int = QUIET_ROUNDS) -> None:
        """Without faults, until nothing has changed for a while."""
        for client in self.clients:
            client.is_healed = True
        quiet, revision = 0, 0
        while quiet < quiet_rounds:
            await self.cluster.pass_time(0.5)
            await self.kubelet()
            quiet, revision = (quiet + 1 if self.cluster.journal.revision == revision else 0), self.cluster.journal.revision
            self.rounds += 1
            assert self.rounds < MOST_ROUNDS, "it does not come to rest"

    def sicken(self) -> None:
        for client in self.clients:
            client.is_healed = False
        self.rounds = 0

    async def kubelet(self) -> None:
        """Pods become ready or succeed after a while, and end when they are told to."""
        now = clocks.rfc3339(self.cluster.clock.now())
        for one in await self.cluster.objects("pods"):
            name = meta.name(one)
            if meta.is_deleting(one) and not (meta.finalizers(one) and meta.meta(one).get("deletionGracePeriodSeconds") == 0):
                await self.cluster.delete("pods", name, grace_seconds=0)
            elif self.succeeds and not pod.is_terminal(one):
                await self.cluster.patch("pods", name, {"status": {"phase": self.chance.choice(["Succeeded", "Failed"])}}, "status")
            elif not self.succeeds and not pod.is_ready(one) and self.chance.random() < 0.5:
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
                await self.cluster.patch("pods", name, {"status": {"phase": "Running", "startTime": now, "conditions": [ready]}}, "status")


async def prepared(cluster: Cluster, complaint: Callable[[list[meta.Obj]], str]) -> tuple[Cache, list[str]]:
    """Call `complaint` with all pods after each change of one, as an observer sees them who misses nothing.

    Returns what the observer sees, and what it had to complain of.
    """
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await cluster.create("serviceaccounts", account)
    observer = cluster.run([], None)
    await cluster.settle()
    complaints: list[str] = []

    def look(*_: object) -> None:
        found = complaint(list(observer.cache.every("pods")))
        if found:
            complaints.append(f"{found} at {cluster.clock.monotonic():.1f} s")

    observer.cache.subscribe(["pods"], look)
    return observer.cache, complaints


def workload(kind: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}}
    return {"kind": kind, "metadata": {"name": "web", "namespace": "default"}, "spec": {"template": template, **spec}}


def active(pods: list[meta.Obj]) -> list[meta.Obj]:
    return [one for one in pods if pod.is_active(one)]


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_rolling_update_keeps_both_bounds(seed: int) -> None:
    least = [0]

    def complaint(pods: list[meta.Obj]) -> str:
        if len(active(pods)) > 6:
            return "more than replicas + maxSurge"
        return "fewer than replicas - maxUnavailable" if sum(map(pod.is_ready, active(pods))) < least[0] else ""

    async with running(seed) as cluster:
        _, complaints = await prepared(cluster, complaint)
        chaos = Chaos(cluster, seed)
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
        await cluster.create("deployments.apps", workload("Deployment", replicas=5, selector={"matchLabels": LABELS}, strategy=rolling))
        while sum(map(pod.is_ready, await cluster.objects("pods"))) < 5:
            await chaos.go_on(1)
        await cluster.settle()  # the observer sees what is now
        least[0] = 4 if len(chaos.planes) == 1 else 0  # two leaders may choose different pods to delete
        for version in ("2", "3"):
            await cluster.patch("deployments.apps", "web", {"spec": {"template": {"metadata": {"labels": {"version": version}}}}})
            await chaos.go_on(10)
        await chaos.heal()
        pods = await cluster.objects("pods")
        assert sorted(meta.labels(one).get("version") for one in pods) == ["3"] * 5
        (deployment,) = await cluster.objects("deployments.apps")
        assert meta.status(deployment)["availableReplicas"] == 5
        assert not complaints


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_stateful_set_never_has_a_pod_twice_and_updates_one_by_one(seed: int) -> None:
    least = [0]

    def complaint(pods: list[meta.Obj]) -> str:
        return "more than one is away" if sum(map(pod.is_ready, active(pods))) < least[0] else ""

    async with running(seed) as cluster:
        _, complaints = await prepared(cluster, complaint)
        chaos = Chaos(cluster, seed)
        await cluster.create("statefulsets.apps", workload("StatefulSet", replicas=3, selector={"matchLabels": LABELS}, serviceName="web"))
        while sum(map(pod.is_ready, await cluster.objects("pods"))) < 3:
            await chaos.go_on(1)
        await cluster.settle()  # the observer sees what is now
        least[0] = 2 if len(chaos.planes) == 1 else 0
        await cluster.patch("statefulsets.apps", "web", {"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}})
        await chaos.go_on(12)
        await chaos.heal()
        pods = await cluster.objects("pods")
        assert [(meta.name(one), meta.labels(one).get("version")) for one in pods] == [(f"web-{ordinal}", "2") for ordinal in range(3)]
        assert not complaints


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_job_counts_every_pod_once(seed: int) -> None:
    ended: dict[str, str] = {}

    def complaint(pods: list[meta.Obj]) -> str:
        if not any(map(jobs.is_finished, seen.every("jobs.batch"))):
            ended.update({meta.uid(one): pod.phase(one) for one in pods if pod.is_terminal(one)})
        return "more than parallelism" if len(active(pods)) > 3 else ""

    async with running(seed) as cluster:
        seen, complaints = await prepared(cluster, complaint)
        chaos = Chaos(cluster, seed)
        chaos.succeeds = True
        body = workload("Job", completions=6, parallelism=3, backoffLimit=1000)
        body["spec"]["template"]["spec"]["restartPolicy"] = "Never"
        await cluster.create("jobs.batch", body)
        await chaos.go_on(20)
        await chaos.heal()
        (job,) = await cluster.objects("jobs.batch")
        status = meta.status(job)
        counted = (status.get("succeeded", 0), status.get("failed", 0))
        phases = list(ended.values())
        assert counted == (phases.count("Succeeded"), phases.count("Failed"))
        assert all(not meta.finalizers(one) for one in await cluster.objects("pods") if pod.is_terminal(one))
        assert not complaints
