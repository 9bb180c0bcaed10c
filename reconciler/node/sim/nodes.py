"""The Node objects and Leases of simulated nodes. Pure: who writes them is agent.py."""

from collections.abc import Mapping
from typing import Any

from reconciler.kit import clock as clocks
from reconciler.model import meta, plan
from reconciler.node.eviction import plan as pressure

LEASE_NAMESPACE = "kube-node-lease"
LEASES = "leases.coordination.k8s.io"
LEASE_SECONDS = 40
CAPACITY: Mapping[str, str] = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "200Gi"}


def name_of(number: int) -> str:
    """sim-1, sim-2, ..."""
    return f"sim-{number}"


def creation(name: str) -> plan.Create:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}
    return plan.Create(kind="nodes", body=body, why="it is to be simulated")


def status_write(node: meta.Obj, now: float) -> plan.Patch | None:
    """Says that the node is ready, and what it offers where nobody has said; None when all that is there."""
    status = meta.status(node)
    missing: dict[str, Any] = {}
    if not status.get("capacity"):
        missing["capacity"] = dict(CAPACITY)
    if not status.get("allocatable"):
        missing["allocatable"] = dict(status.get("capacity") or CAPACITY)
    conditions = status.get("conditions") or ()
    ready = next((one for one in conditions if one.get("type") == "Ready"), None)
    if ready is None or ready.get("status") != "True":
        at = clocks.rfc3339(now)
        fresh = [_condition("Ready", "True", "KubeletReady", "simulated node is ready", at)]
        fresh += [_condition(kind, "False", reason, message, at) for kind, (reason, message) in pressure.CALM.items()]
        ours = {one["type"] for one in fresh}
        missing["conditions"] = [*(one for one in conditions if one.get("type") not in ours), *fresh]
    if not missing:
        return None
    if not status.get("addresses"):
        missing["addresses"] = [{"type": "Hostname", "address": meta.name(node)}]
    if not (status.get("nodeInfo") or {}).get("kubeletVersion"):
        missing["nodeInfo"] = node_info(meta.uid(node))
    return plan.Patch(
        kind="nodes", namespace="", name=meta.name(node), uid=meta.uid(node), type="merge", subresource="status", patch={"status": missing},
        why="a simulated node is always ready",
    )  # fmt: skip


def last_report(node: meta.Obj, now: float) -> plan.Patch:
    """Says that the node was alive a moment ago; whoever watches over nodes counts from here."""
    at = clocks.rfc3339(now)
    conditions = [{**one, "lastHeartbeatTime": at} for one in meta.status(node).get("conditions") or ()]
    return plan.Patch(
        kind="nodes", namespace="", name=meta.name(node), uid=meta.uid(node), type="merge", subresource="status",
        patch={"status": {"conditions": conditions}}, why="the last report of a node that is switched off",
    )  # fmt: skip


def node_info(uid: str) -> dict[str, str]:
    return {
        "machineID": uid,
        "systemUUID": uid,
        "bootID": uid,
        "kernelVersion": "simulated",
        "osImage": "simulated",
        "containerRuntimeVersion": "sim://1",
        "kubeletVersion": "v1.36.0",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }


def renewal(node: meta.Obj, now: float) -> plan.Update:
    """The node's heartbeat: creates the Lease where there is none."""
    name = meta.name(node)
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": meta.uid(node)}
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": clocks.rfc3339_micro(now)},
    }
    return plan.Update(kind=LEASES, body=body, why="heartbeat")


def _condition(kind: str, status: str, reason: str, message: str, at: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": at, "lastTransitionTime": at}
