"""This machine as a node: keeper, runtime, pod network, service proxy and names, by what may be done here.

As root pods have addresses of their own and services are nftables rules. With user namespaces each pod is alone with
its loopback and the keeper's sockets connect them. With neither, pods share the host's ports. What is not possible is
said in `notes`, never silently left out.
"""

import asyncio
import ipaddress
import logging
import os
import pathlib
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from reconciler.api import publishing
from reconciler.client import protocol
from reconciler.daemon import reach
from reconciler.daemon.config import Config
from reconciler.dns import agent as dns
from reconciler.kit import clock as clocks
from reconciler.loop import cache as caches
from reconciler.loop import perform
from reconciler.model import meta
from reconciler.node import agent as nodes
from reconciler.node import loopback, rtnetlink
from reconciler.node import network as networks
from reconciler.node.keeper import client as keeper
from reconciler.node.keeper import launch
from reconciler.node.runtimes import process, types
from reconciler.node.runtimes.launch import Mode
from reconciler.proxy import agent as proxy
from reconciler.proxy.backends import nftables, userspace

logger = logging.getLogger(__name__)

UNPRIVILEGED_SERVICES = "127.96.0.0/16"
MODES = ("root", "userns", "plain")  # the most isolated first
DNS_OFFSET = 10  # of the service range, where Kubernetes' installers put it
MAX_ANCESTORS = 64

NO_NFT = "nft is missing (apt-get install nftables): services go through the daemon; pods have no way out and no host ports"
NOT_ROOT = "not root: pods have no way out of this machine; services are on 127.96.0.0/16 and go through the daemon"
NOTHING = "no root, no user namespaces: pods share the host's files and ports; services are on 127.96.0.0/16 above port 1023; no DNS"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the keeper found that it may do."""

    mode: Mode
    nft: str | None
    cgroup: str  # /proc/PID/cgroup of the keeper

    def service_range(self, config: Config) -> str:
        return config.service_range if self.mode == "root" else UNPRIVILEGED_SERVICES


async def explore(config: Config) -> Abilities:
    """Start the keeper unless it runs, and ask it."""
    await launch.launch(config.run_dir)
    found = await keeper.request(config.run_dir / launch.SOCKET, "hello")
    possible = str(found["abilities"]["mode"])
    mode = possible if config.isolation == "auto" else config.isolation
    if MODES.index(mode) < MODES.index(possible):
        raise OSError(f"isolation {mode} is asked for, but only {possible} is possible here")
    return Abilities(
        cast(Mode, mode),
        find_nft() if mode == "root" else None,
        str(found["abilities"]["cgroup"]),
    )


def find_nft() -> str | None:
    return shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Machine:
    """Everything of the node that runs in the daemon; made once the cache is synced."""

    def __init__(
        self,
        config: Config,
        abilities: Abilities,
        client: protocol.Client,
        cache: caches.Cache,
        clock: clocks.Clock,
        performers: Mapping[type, perform.Performer],
    ) -> None:
        self._config, self._abilities, self._cache, self._clock = config, abilities, cache, clock
        self.notes: list[str] = []
        self.inner_address = ""  # of the machine, for its pods only; empty where there is none
        self.name = config.node_name or socket.gethostname().lower()
        self._address = publishing.own_address()
        self._dns_address = dns_address(abilities.service_range(config))
        self._names = dns.DnsAgent(cache, config.cluster_domain, dns.resolvers(ours=[self._dns_address]))
        settings = process.Settings(
            run_dir=config.run_dir,
            data_dir=config.data_dir,
            images={name: str(path) for name, path in config.images.items()},
            host_images=config.host_images,
            pod_pids_limit=config.pod_pids_limit,
            mode=abilities.mode,
            share_host_network=abilities.mode == "plain",
        )
        self.runtime = process.ProcessRuntime(settings)
        self._network, self._backend = self._connections()
        self.proxy = proxy.ProxyAgent(self._backend, clock)
        node = nodes.Config(
            name=self.name,
            address=self._address,
            data_dir=config.data_dir,
            log_root=log_root(config),
            cluster_dns=self._dns_address if abilities.mode != "plain" else "",
            cluster_domain=config.cluster_domain,
            pod_range=config.pod_range if abilities.mode == "root" else "",
            direct=abilities.mode != "userns",
            host_images=config.host_images,
            eviction=config.eviction,
        )
        self.agent = nodes.NodeAgent(client, cache, clock, self.runtime, self._network, node, performers)

    async def start(self) -> None:
        """Lay the network; pods follow when `agent.run` runs."""
        if isinstance(self._network, networks.PodNetwork):
            await self._network.open()
        await self._backend.start()
        if isinstance(self._backend, userspace.UserspaceBackend):
            await self._backend.add_place(userspace.HostPlace())
        if self._abilities.mode == "root":
            await self._serve_names()
        if self._config.host_images:
            self.notes.append("--host-images: images that are not loaded run on the host's own files; an event says so per pod")

    async def close(self) -> None:
        await self._names.close()

    # ---- what `reconciler why` and `explain` ask -------------------------------------------------------------

    def pod_of(self, pid: int) -> tuple[meta.Key, str] | None:
        """The pod that a process or one of its ancestors was started for."""
        owners = {
            container.pid: ((sandbox.namespace, sandbox.name), f"in container {container.name}")
            for sandbox in self.runtime.sandboxes().values()
            for container in sandbox.containers
            if container.pid
        }
        for _ in range(MAX_ANCESTORS):
            if pid in owners:
                key, words = owners[pid]
                return key, f"{words} of pod {'/'.join(key)}"
            pid = _parent(pid)
            if pid <= 1:
                break
        return None

    def notes_on(self, key: meta.Key) -> Sequence[str]:
        return [
            f"container {container.name}: attempt {container.attempt}, {container.state}{f', pid {container.pid}' if container.pid else ''}"
            for sandbox in self.runtime.sandboxes().values()
            if (sandbox.namespace, sandbox.name) == key
            for container in sandbox.containers
        ]

    # ---- what is possible ---------------------------------------------------------------------------------------

    def _connections(self) -> tuple[types.Network, proxy.Backend]:
        if self._abilities.mode == "root":
            instance = instance_of(self._config)
            network = networks.PodNetwork(self._config.pod_range, nft=self._abilities.nft, instance=instance)
            if self._abilities.nft:
                return network, nftables.NftablesBackend(self._abilities.nft, f"ip {instance}")
            self.notes.append(NO_NFT)
            return network, userspace.UserspaceBackend(userspace.HostDialer(), self._clock)
        if self._abilities.mode == "userns":
            self.notes.append(NOT_ROOT)
            alone = reach.PodsAlone(self._config.pod_range, self._settle_place, self._leave_place)
            return alone, userspace.UserspaceBackend(reach.PodDialer(self.runtime, alone), self._clock)
        self.notes.append(NOTHING)
        return types.HostNetwork(self._address), userspace.UserspaceBackend(userspace.HostDialer(), self._clock)

    async def _settle_place(self, pod_uid: str) -> None:
        """A pod that is alone with its loopback gets the services and the names there."""
        assert isinstance(self._backend, userspace.UserspaceBackend)
        assert isinstance(self._network, reach.PodsAlone)
        try:
            with await reach.opened(self.runtime, pod_uid, "udp", bind=("127.0.0.1", 0)) as inside:
                loopback.give(inside, self._network.address_of(pod_uid))
        except OSError as error:
            raise types.RuntimeFailure("FailedCreatePodSandBox", f"giving the pod its address: {error}") from error
        await self._backend.add_place(reach.PodPlace(self.runtime, pod_uid))
        try:
            datagrams = await reach.opened(self.runtime, pod_uid, "udp", bind=(self._dns_address, 53))
            stream = await reach.opened(self.runtime, pod_uid, "tcp", bind=(self._dns_address, 53))
        except OSError as error:
            logger.warning("a pod has no names", extra={"facts": {"pod": pod_uid, "error": error}})
            return
        await self._names.serve(datagrams, stream)

    async def _leave_place(self, pod_uid: str) -> None:
        assert isinstance(self._backend, userspace.UserspaceBackend)
        await self._backend.remove_place(pod_uid)

    async def _serve_names(self) -> None:
        """The cluster's DNS address is one of the machine's own."""
        try:
            with rtnetlink.open_socket() as channel:
                await asyncio.to_thread(
                    rtnetlink.transact,
                    channel,
                    [rtnetlink.add_address(socket.if_nametoindex("lo"), self._dns_address, address_label(self._config))],
                )
            self.inner_address = self._dns_address
            datagrams = await userspace.HostPlace().listen(self._dns_address, 53, "udp")
            stream = await userspace.HostPlace().listen(self._dns_address, 53, "tcp")
        except OSError as error:
            self.notes.append(f"names are not served: {self._dns_address} port 53: {error.strerror}")
            return
        await self._names.serve(datagrams, stream)


def instance_of(config: Config) -> str:
    """What tells this daemon's links and tables from another one's on the same machine."""
    return "reconciler" if config.run_dir.name == "reconciler" else config.run_dir.name.replace("reconciler-", "rc-")


def dns_address(service_range: str) -> str:
    return str(ipaddress.ip_network(service_range).network_address + DNS_OFFSET)


def address_label(config: Config) -> str:
    """Of the addresses that this daemon gave the machine, so that it takes back no other's."""
    return f"lo:{instance_of(config)[-12:]}"


def log_root(config: Config) -> pathlib.Path:
    is_system = os.geteuid() == 0 and config.run_dir.name == "reconciler"
    return pathlib.Path("/var/log/pods") if is_system else config.data_dir / "logs"


def _parent(pid: int) -> int:
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
