"""The scheduler and simulated nodes over a real API in memory, on a virtual clock."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from reconciler.client import protocol
from reconciler.kit import tasks
from reconciler.model import errors, meta, plan
from reconciler.node.sim import agent as sim
from reconciler.scheduler import agent
from tests.sim import cluster

ONE = {"requests": {"cpu": "1"}}


class Conflicting:
    """A client whose first binding is refused."""

    def __init__(self, inner: protocol.Client) -> None:
        self._inner = inner
        self.refused = 0

    async def perform(
        self, action: plan.ApiAction, origin: protocol.Origin, options: protocol.Options = protocol.Options()
    ) -> protocol.Written:
        if isinstance(action, plan.Create) and action.subresource == "binding" and not self.refused:
            self.refused += 1
            raise errors.conflict("pods/binding", "", meta.name(action.body), "somebody was faster")
        return await self._inner.perform(action, origin, options)


@contextlib.asynccontextmanager
async def world(nodes: int = 0, client: Any = None) -> AsyncIterator[cluster.Cluster]:
    """A cluster with the scheduler; `nodes` simulated ones, and the controller that takes the first taint off ready ones."""
    async with cluster.running() as made:
        plane = made.run(["node-lifecycle-controller"])
        await made.settle()
        running = tasks.Tasks()
        scheduling = client(made.api.client("kube-scheduler")) if client is not None else made.api.client("kube-scheduler")
        running.start(agent.Agent(scheduling, plane.cache, made.clock, plane.recorder.perform).run(), "scheduler")
        if nodes:
            running.start(sim.Agent(made.api.client("kubelet"), plane.cache, made.clock, nodes).run(), "simulated nodes")
        await made.pass_time(1)
        try:
            yield made
        finally:
            await running.close()


def node(name: str, cpu: str = "4") -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
    labels = {"kubernetes.io/hostname": name}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": amounts, "capacity": amounts, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod(name: str, resources: Mapping[str, Any] = meta.EMPTY, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i", "resources": dict(resources)}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": containers, **spec},
    }


async def join(made: cluster.Cluster, made_by_hand: dict[str, Any]) -> None:
    """A node joins and is found ready."""
    await made.create("nodes", made_by_hand)
    await made.pass_time(1)


async def get(made: cluster.Cluster, name: str) -> meta.Obj:
    return await made.client.get("pods", "default", name)


def condition(obj: meta.Obj, kind: str) -> Mapping[str, Any]:
    return next((one for one in meta.status(obj).get("conditions") or () if one["type"] == kind), meta.EMPTY)


async def events(made: cluster.Cluster, reason: str) -> list[str]:
    return [str(event["message"]) for event in await made.objects("events") if event["reason"] == reason]


async def test_pods_are_bound_and_run_on_simulated_nodes() -> None:
    async with world(nodes=2) as made:
        for number in range(4):
            await made.create("pods", pod(f"p{number}", {"requests": {"cpu": "4", "memory": "16Gi"}}))
        await made.pass_time(5)
        pods = await made.objects("pods")
        assert sorted(meta.spec(one)["nodeName"] for one in pods) == ["sim-1", "sim-1", "sim-2", "sim-2"]
        assert all(condition(one, "Ready")["status"] == "True" for one in pods)
        assert len({meta.status(one)["podIP"] for one in pods}) == 4
        assert len(await events(made, "Scheduled")) == 4
        leases = await made.objects("leases.coordination.k8s.io", "kube-node-lease")
        assert sorted(meta.name(lease) for lease in leases) == ["sim-1", "sim-2"]


async def test_says_why_not_and_wakes_up() -> None:
    async with world() as made:
        await join(made, node("small", "1"))
        await made.create("pods", pod("p", {"requests": {"cpu": "2"}}))
        await made.pass_time(2)
        refused = condition(await get(made, "p"), "PodScheduled")
        assert refused["reason"] == "Unschedulable"
        assert str(refused["message"]).startswith("0/1 nodes are available: 1 Insufficient cpu.")
        assert await events(made, "FailedScheduling") == [refused["message"]]
        await join(made, node("large"))
        await made.pass_time(5)
        assert meta.spec(await get(made, "p"))["nodeName"] == "large"


async def test_gated_pods_wait() -> None:
    async with world(nodes=1) as made:
        await made.create("pods", pod("p", schedulingGates=[{"name": "example.com/g"}]))
        await made.pass_time(2)
        assert not meta.spec(await get(made, "p")).get("nodeName")
        await made.patch("pods", "p", {"spec": {"schedulingGates": None}})
        await made.pass_time(2)
        assert meta.spec(await get(made, "p"))["nodeName"] == "sim-1"


async def test_a_refused_binding_is_taken_back_and_tried_again() -> None:
    clients: list[Conflicting] = []

    def refusing(inner: protocol.Client) -> Conflicting:
        clients.append(Conflicting(inner))
        return clients[0]

    async with world(client=refusing) as made:
        await join(made, node("n", "1"))
        await made.create("pods", pod("p", ONE))
        await made.settle()
        assert clients[0].refused == 1
        refused = condition(await get(made, "p"), "PodScheduled")
        assert refused["reason"] == "SchedulerError"
        assert str(refused["message"]).startswith('running Bind plugin "DefaultBinder": ')
        await made.pass_time(3)
        assert meta.spec(await get(made, "p"))["nodeName"] == "n"


async def test_preemption_waits_for_the_victims() -> None:
    async with world() as made:
        await join(made, node("n", "1"))
        await made.create(
            "priorityclasses.scheduling.k8s.io",
            {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 10},
        )
        await made.create("pods", pod("victim", ONE, terminationGracePeriodSeconds=30))
        await made.pass_time(1)
        await made.create("pods", pod("p", ONE, priorityClassName="high"))
        await made.pass_time(2)
        victim, preemptor = await get(made, "victim"), await get(made, "p")
        assert meta.is_deleting(victim)
        assert condition(victim, "DisruptionTarget")["reason"] == "PreemptionByScheduler"
        assert meta.status(preemptor)["nominatedNodeName"] == "n"
        assert await events(made, "Preempted") == [f"Preempted by pod {meta.uid(preemptor)} on node n"]
        await made.delete("pods", "victim", grace_seconds=0)
        await made.pass_time(2)
        bound = await get(made, "p")
        assert meta.spec(bound)["nodeName"] == "n"
        assert "nominatedNodeName" not in meta.status(bound)


async def test_volumes_are_provisioned_before_the_pod_is_bound() -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "sc", "resources": {"requests": {"storage": "1Gi"}}}
    async with world() as made:
        await join(made, node("n"))
        storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "sc"}}
        await made.create(
            "storageclasses.storage.k8s.io", {**storage, "provisioner": "x.example.com", "volumeBindingMode": "WaitForFirstConsumer"}
        )
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"}, "spec": claim}
        await made.create("persistentvolumeclaims", body)
        await made.create("pods", pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]))
        await made.pass_time(2)
        waiting = await get(made, "p")
        assert not meta.spec(waiting).get("nodeName")
        assert meta.status(waiting)["nominatedNodeName"] == "n"
        (asked,) = await made.objects("persistentvolumeclaims")
        assert meta.annotations(asked)["volume.kubernetes.io/selected-node"] == "n"
        bound = {"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": "made"}}
        await made.patch("persistentvolumeclaims", "c", bound)
        await made.pass_time(2)
        assert meta.spec(await get(made, "p"))["nodeName"] == "n"


async def test_simulated_nodes_check_again_and_finish_deletions() -> None:
    async with world(nodes=1) as made:
        await made.create("pods", pod("a", {"requests": {"cpu": "10"}}, nodeName="sim-1"))
        await made.pass_time(1)
        await made.create("pods", pod("b", {"requests": {"cpu": "10"}}, nodeName="sim-1"))
        await made.pass_time(1)
        refused = await get(made, "b")
        assert (meta.status(refused)["phase"], meta.status(refused)["reason"]) == ("Failed", "OutOfcpu")
        await made.delete("pods", "a")
        await made.pass_time(1)
        assert [meta.name(one) for one in await made.objects("pods")] == ["b"]


async def test_nodes_made_by_hand_are_simulated_too() -> None:
    async with world(nodes=1) as made:
        await made.create("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mine"}})
        await made.pass_time(2)
        mine = await made.client.get("nodes", "", "mine")
        assert condition(mine, "Ready")["status"] == "True"
        assert meta.status(mine)["allocatable"]["pods"] == "110"
