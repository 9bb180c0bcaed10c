"""The Node object of this machine: registered once, kept alive by a Lease.

Renewals are volatile (kinds/lease.py, kinds/node.py say what is a measurement). The node's status is written when
something in it changed, and at least every five minutes, as the kubelet does.
"""

import asyncio
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.model import conditions, errors, meta, plan, quantity
from reconciler.node.eviction import plan as pressure
from reconciler.node.eviction import thresholds

log = logging.getLogger(__name__)

NODES, LEASES, LEASE_NAMESPACE = "nodes", "leases.coordination.k8s.io", "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
STATUS_SECONDS = 300.0
RETRY_SECONDS = 1.0
MAX_PODS = 110
KUBELET_VERSION = "v1.36.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What this machine is and has."""

    name: str
    address: str
    runtime_version: str  # "process://0.1.0"
    capacity: Mapping[str, str]
    allocatable: Mapping[str, str]  # what of it pods may use
    info: Mapping[str, str] = field(default_factory=dict)
    pod_range: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def read_capacity(data_dir: Path, max_pods: int = MAX_PODS) -> dict[str, str]:
    disk = os.statvfs(data_dir)
    memory_kib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    return {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{memory_kib}Ki",
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": str(max_pods),
    }


def allocatable(capacity: Mapping[str, str], settings: thresholds.Settings) -> dict[str, str]:
    """Capacity without what hard eviction thresholds keep free."""
    found = dict(capacity)
    for resource, signal in (("memory", thresholds.MEMORY), ("ephemeral-storage", thresholds.NODE_DISK)):
        whole = quantity.value(capacity[resource])
        found[resource] = quantity.from_value(max(0, whole - settings.reserved(signal, whole)))
    return found


def read_info() -> dict[str, str]:
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "bootID": _text("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "machineID": _text("/etc/machine-id"),
        "operatingSystem": "linux",
        "osImage": _os_image(),
        "systemUUID": _text("/sys/class/dmi/id/product_uuid") or _text("/etc/machine-id"),
    }


class Registration:
    def __init__(self, client: protocol.Client, clock: clocks.Clock, facts: Facts) -> None:
        self._client = client
        self._clock = clock
        self._facts = facts
        self._origin = protocol.Origin(actor=f"node/kubelet/{facts.name}")
        self._node: meta.Obj = {}
        self._lease: meta.Obj | None = None
        self._status_at = float("-inf")  # monotonic
        self._turn = asyncio.Lock()
        self._pressures: Mapping[str, str] | None = None  # those that are true, with their messages; None until somebody has looked

    async def run(self) -> None:
        """Renew until cancelled; `register` comes first."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            await self._try(self._beat())

    async def register(self) -> None:
        """The Node exists and is Ready; waits for an API that refuses."""
        while not await self._try(self._beat()):
            await self._clock.sleep(RETRY_SECONDS)

    async def press(self, pressures: Mapping[str, str]) -> None:
        """Have the status say which pressures there are; at once where they are others than before."""
        if self._pressures is not None and pressures.keys() == self._pressures.keys():
            return
        self._pressures = pressures
        self._status_at = float("-inf")
        await self._try(self._beat())

    async def _try(self, work: Any) -> bool:
        try:
            await work
        except (errors.StatusError, protocol.Unknown, OSError) as error:
            log.warning("node not renewed", extra={"facts": {"node": self._facts.name, "error": error}})
            self._lease = None
            return False
        return True

    async def _beat(self) -> None:
        async with self._turn:
            if self._clock.monotonic() - self._status_at >= STATUS_SECONDS:
                await self._write_status()
            await self._renew()

    async def _write_status(self) -> None:
        try:
            self._node = await self._client.get(NODES, "", self._facts.name)
        except errors.StatusError as error:
            if error.code != 404:
                raise
            body = self._new_node()
            self._node = (await self._client.perform(plan.Create(kind=NODES, body=body, why="this machine is a node"), self._origin)).obj
        wanted = self._wanted_status(meta.status(self._node))
        if wanted != meta.status(self._node):
            body = meta.put(self._node, ("status",), wanted)
            action = plan.Update(kind=NODES, body=body, why="the node is alive", subresource="status")
            self._node = (await self._client.perform(action, self._origin)).obj
        self._status_at = self._clock.monotonic()

    def _new_node(self) -> dict[str, Any]:
        facts = self._facts
        architecture = facts.info.get("architecture", "")
        known = {"kubernetes.io/arch": architecture, "kubernetes.io/hostname": facts.name, "kubernetes.io/os": "linux"}
        labels = {"beta.kubernetes.io/arch": architecture, "beta.kubernetes.io/os": "linux", **known, **facts.labels}
        spec = {"podCIDR": facts.pod_range, "podCIDRs": [facts.pod_range]} if facts.pod_range else {}
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": facts.name, "labels": labels}, "spec": spec}

    def _wanted_status(self, old: Mapping[str, Any]) -> dict[str, Any]:
        facts = self._facts
        info = {
            **facts.info,
            "containerRuntimeVersion": facts.runtime_version,
            "kubeProxyVersion": "",
            "kubeletVersion": KUBELET_VERSION,
        }
        return {
            **old,
            "addresses": [{"type": "InternalIP", "address": facts.address}, {"type": "Hostname", "address": facts.name}],
            "allocatable": dict(facts.allocatable),
            "capacity": dict(facts.capacity),
            "conditions": self._conditions(old.get("conditions") or ()),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": info,
        }

    def _conditions(self, old: Any) -> Any:
        now = self._clock.now()
        beat = clocks.rfc3339(now)
        ready = ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
        for kind, value, reason, message in (*self._pressure_conditions(old), ready):
            old = conditions.updated(old, conditions.made(kind, value, reason, message, now, lastHeartbeatTime=beat))
        return old

    def _pressure_conditions(self, old: Any) -> Iterator[tuple[str, str, str, str]]:
        """Until somebody has looked, a daemon before this one may know better."""
        for kind in pressure.CALM:
            known = conditions.find(old, kind) if self._pressures is None else None
            if known is not None:
                yield kind, known["status"], known["reason"], known["message"]
            elif self._pressures is not None and kind in self._pressures:
                yield kind, "True", pressure.PRESSED[kind][0], self._pressures[kind]
            else:
                yield kind, "False", *pressure.CALM[kind]

    async def _renew(self) -> None:
        now = clocks.rfc3339_micro(self._clock.now())
        lease = self._lease
        if lease is None:
            try:
                lease = await self._client.get(LEASES, LEASE_NAMESPACE, self._facts.name)
            except errors.StatusError as error:
                if error.code != 404:
                    raise
                lease = self._new_lease()
        lease = meta.put(lease, ("spec", "renewTime"), now)
        if not meta.uid(lease):
            action: plan.ApiAction = plan.Create(kind=LEASES, body=lease, why="this machine is a node")
        else:
            action = plan.Update(kind=LEASES, body=lease, why="the node is alive")
        self._lease = (await self._client.perform(action, self._origin)).obj

    def _new_lease(self) -> dict[str, Any]:
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._facts.name, "uid": meta.uid(self._node)}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._facts.name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {"holderIdentity": self._facts.name, "leaseDurationSeconds": LEASE_SECONDS},
        }


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return "Linux"
