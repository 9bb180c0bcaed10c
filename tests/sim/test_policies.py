"""Bounds that others set, under seeded faults: budgets, quotas, one pod a node, one run at a time.

The faults and how a seed is replayed are those of test_workloads.py.
"""

import contextlib
from typing import Any

import pytest

from reconciler.kinds import job as jobs
from reconciler.kinds import pod
from reconciler.model import errors, meta, plan
from tests.sim.cluster import USER, running
from tests.sim.test_workloads import LABELS, SEEDS, Chaos, active, prepared, workload

MEASURED_ROUNDS = 120  # an autoscaler waits for a measurement of new pods, and acts once in 15 seconds
SELECTOR = {"matchLabels": LABELS}


class Evictor(Chaos):
    """Somebody who drains nodes without asking how the pods are."""

    wanted = ("replicaset-controller", "disruption-controller", "garbage-collector-controller")
    evicts = False

    async def kubelet(self) -> None:
        await super().kubelet()
        for one in await self.cluster.objects("pods") if self.evicts else ():
            if self.chance.random() < 0.3:
                body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": meta.name(one), "namespace": "default"}}
                with contextlib.suppress(errors.StatusError):  # the budget says no
                    await self.cluster.client.perform(plan.Create(kind="pods", subresource="eviction", body=body, why="test"), USER)


@pytest.mark.parametrize("seed", SEEDS)
async def test_evictions_keep_the_budget(seed: int) -> None:
    least = [0]

    def complaint(pods: list[meta.Obj]) -> str:
        return "fewer than minAvailable" if sum(map(pod.is_ready, active(pods))) < least[0] else ""

    async with running(seed) as cluster:
        _, complaints = await prepared(cluster, complaint)
        chaos = Evictor(cluster, seed)
        await cluster.create("replicasets.apps", workload("ReplicaSet", replicas=5, selector=SELECTOR))
        budget = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"minAvailable": 3, "selector": SELECTOR}}
        await cluster.create("poddisruptionbudgets.policy", {"kind": "PodDisruptionBudget", **budget})
        while sum(map(pod.is_ready, await cluster.objects("pods"))) < 5:
            await chaos.go_on(1)
        first = {meta.uid(one) for one in await cluster.objects("pods")}
        await cluster.settle()  # the observer sees what is now
        least[0], chaos.evicts = 3, True
        await chaos.go_on(15)
        chaos.evicts = False
        await chaos.heal()
        pods = await cluster.objects("pods")
        assert sum(map(pod.is_ready, pods)) == 5
        assert {meta.uid(one) for one in pods} != first
        assert not complaints


class Quotas(Chaos):
    wanted = ("replicaset-controller", "resourcequota-controller", "garbage-collector-controller")


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_quota_is_never_exceeded(seed: int) -> None:
    def complaint(pods: list[meta.Obj]) -> str:
        return "more than the quota" if len(active(pods)) > 4 else ""

    async with running(seed) as cluster:
        _, complaints = await prepared(cluster, complaint)
        chaos = Quotas(cluster, seed)
        quota = {"kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"pods": "4"}}}
        await cluster.create("resourcequotas", quota)
        for name in ("a", "b"):
            labels = {"app": name}
            body = workload("ReplicaSet", replicas=3, selector={"matchLabels": labels})
            body["metadata"]["name"] = name
            body["spec"]["template"]["metadata"]["labels"] = labels
            await cluster.create("replicasets.apps", body)
        await chaos.go_on(12)
        await cluster.patch("resourcequotas", "q", {"spec": {"hard": {"pods": "4", "count/pods": "4"}}})
        await chaos.heal()
        assert len(active(list(await cluster.objects("pods")))) == 4
        (quota,) = await cluster.objects("resourcequotas")
        assert meta.status(quota)["used"] == {"pods": "4", "count/pods": "4"}
        assert not complaints


class Nodes(Chaos):
    """Binds what DaemonSets make, each to the node that it was made for."""

    wanted = ("daemonset-controller", "garbage-collector-controller")

    async def kubelet(self) -> None:
        for one in await self.cluster.objects("pods"):
            if not pod.is_scheduled(one) and not meta.is_deleting(one):
                body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta.name(one), "namespace": "default"}}
                body["target"] = {"kind": "Node", "name": _meant_for(one)}
                await self.cluster.client.perform(plan.Create(kind="pods", subresource="binding", body=body, why="test"), USER)
        await super().kubelet()


def _meant_for(one: meta.Obj) -> Any:
    required = meta.spec(one)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_daemon_set_has_one_pod_a_node_and_updates_one_by_one(seed: int) -> None:
    least = [0]

    def complaint(pods: list[meta.Obj]) -> str:
        return "more than one is away" if sum(map(pod.is_ready, active(pods))) < least[0] else ""

    async with running(seed) as cluster:
        _, complaints = await prepared(cluster, complaint)
        chaos = Nodes(cluster, seed)
        for number in range(3):
            await cluster.create("nodes", {"kind": "Node", "metadata": {"name": f"n{number}"}})
            await cluster.patch("nodes", f"n{number}", {"spec": {"taints": None}}, namespace="")  # as once it is ready
        body = workload("DaemonSet", selector=SELECTOR)
        del body["spec"]["template"]["spec"]["nodeName"]
        await cluster.create("daemonsets.apps", body)
        while sum(map(pod.is_ready, await cluster.objects("pods"))) < 3:
            await chaos.go_on(1)
        await cluster.settle()  # the observer sees what is now
        least[0] = 2 if len(chaos.planes) == 1 else 0  # two leaders may choose different pods to delete
        await cluster.patch("daemonsets.apps", "web", {"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}})
        await chaos.go_on(12)
        await chaos.heal()
        pods = await cluster.objects("pods")
        assert sorted((pod.node_name(one), meta.labels(one).get("version")) for one in pods) == [(f"n{n}", "2") for n in range(3)]
        assert not complaints


class Times(Chaos):
    jumps = False  # the minutes are counted
    wanted = ("cronjob-controller", "job-controller", "garbage-collector-controller")


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_cron_job_runs_each_minute_once_and_never_twice_at_a_time(seed: int) -> None:
    async with running(seed) as cluster:
        seen, complaints = await prepared(cluster, lambda pods: "")
        runs: set[str] = set()

        def look(_: str, __: object, new: meta.Obj | None) -> None:
            runs.update([meta.name(new)] if new is not None else [])
            if sum(not jobs.is_finished(one) for one in seen.every("jobs.batch")) > 1:
                complaints.append("two runs at a time")

        seen.subscribe(["jobs.batch"], look)
        chaos = Times(cluster, seed)
        chaos.succeeds = True
        template = {"spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
        spec = {"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": {"template": template, "backoffLimit": 0}}}
        body = {"kind": "CronJob", "metadata": {"name": "tick", "namespace": "default"}, "spec": spec}
        began = cluster.clock.now()
        await cluster.create("cronjobs.batch", body)
        await chaos.go_on(100)
        await chaos.heal()
        minutes = int(cluster.clock.now() // 60 - began // 60)
        assert minutes // 2 <= len(runs) <= minutes
        assert not complaints


class Autoscaled(Chaos):
    wanted = ("horizontal-pod-autoscaler-controller", "deployment-controller", "replicaset-controller", "garbage-collector-controller")


@pytest.mark.parametrize("seed", SEEDS)
async def test_an_autoscaler_follows_the_load_within_its_bounds(seed: int) -> None:
    async with running(seed) as cluster:
        seen, complaints = await prepared(cluster, lambda pods: "more than maxReplicas and a surge" if len(active(pods)) > 7 else "")

        def look(_: str, __: object, new: meta.Obj | None) -> None:
            if new is not None and not 2 <= meta.spec(new)["replicas"] <= 6:
                complaints.append("replicas out of bounds")

        seen.subscribe(["deployments.apps"], look)
        chaos = Autoscaled(cluster, seed)
        body = workload("Deployment", replicas=3, selector=SELECTOR, strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
        body["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500m"}}
        await cluster.create("deployments.apps", body)
        metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
        spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 6}
        down = {"scaleDown": {"stabilizationWindowSeconds": 20}}
        scaler = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "default"}}
        await cluster.create("horizontalpodautoscalers.autoscaling", {**scaler, "spec": {**spec, "metrics": [metric], "behavior": down}})
        for load, size in ((1_500, 4), (90_000, 6), (100, 2)):
            cluster.load.millicores = load
            await chaos.go_on(15)
            await chaos.heal(MEASURED_ROUNDS)
            assert sum(map(pod.is_ready, await cluster.objects("pods"))) == size
            chaos.sicken()
        assert not complaints
