"""Pod addresses on this node: a point-to-point veth and one /32 route per pod, no bridge.

What is connected is read back from the kernel (the alias of a link names its pod and address), so that nothing has
to be remembered and a restarted daemon knows every address that is taken. Outbound traffic and host ports need
nftables; where it is missing, pods reach each other and the node only.
"""

import asyncio
import hashlib
import ipaddress
import pathlib
import socket
from collections.abc import Sequence

from reconciler.node import rtnetlink
from reconciler.node.runtimes import types

PREFIX = "rc"  # of our links' names, which have 15 characters at most
NFT_SECONDS = 30.0


class PodNetwork:
    """Implements runtimes.types.Network over a range of addresses of which the first is the gateway."""

    def __init__(self, pod_range: str, *, nft: str | None, instance: str = "reconciler") -> None:
        network = ipaddress.ip_network(pod_range)
        if not isinstance(network, ipaddress.IPv4Network) or network.num_addresses < 8:
            raise ValueError(f"{pod_range}: want an IPv4 range of at least 8 addresses")
        self._range = network
        self.gateway = str(network.network_address + 1)
        self._nft = nft
        self._instance = instance  # tells our links and rules from those of another daemon on this machine
        self._table = f"ip {instance}-pods"
        self._addresses: dict[str, str] = {}  # pod uid -> address
        self._taken: set[str] = set()
        self._next = 2  # offset that is tried first, so that addresses are not reused at once
        self._host_ports: dict[str, tuple[tuple[str, int, int], ...]] = {}
        self._rules = asyncio.Lock()

    async def open(self) -> None:
        """Forwarding on, the table laid, and the addresses of running pods learnt."""
        _enable_forwarding()
        with rtnetlink.open_socket() as channel:
            for link in await asyncio.to_thread(lambda: list(rtnetlink.links(channel))):
                words = link.alias.split()
                if link.name.startswith(PREFIX) and len(words) == 3 and words[0] == self._instance:
                    self._addresses[words[1]] = words[2]
                    self._taken.add(words[2])
        await self._load(_skeleton(self._table, self._range))

    async def remove(self) -> None:
        """Leave neither links nor rules behind."""
        await asyncio.to_thread(self._remove_links)
        await self._load(f"table {self._table}\ndelete table {self._table}\n")

    async def attach(self, pid: int, pod_uid: str, host_ports: Sequence[tuple[str, int, int]] = ()) -> str:
        """Connect the network namespace of `pid`; returns the pod's address. Harmless to repeat."""
        address = self._addresses.get(pod_uid)
        if address is None:
            address = self._allocate(pod_uid)
            try:
                await asyncio.to_thread(self._connect, pid, pod_uid, address)
            except OSError as error:
                self._release(pod_uid)
                raise types.RuntimeFailure("FailedCreatePodSandBox", f"connecting the pod to the network: {error}") from error
        if host_ports and self._host_ports.get(pod_uid) != tuple(host_ports):
            await self._publish(pod_uid, address, host_ports)
        return address

    async def detach(self, pod_uid: str) -> None:
        """Harmless to repeat; the link also goes by itself with the pod's namespace."""
        if self._host_ports.pop(pod_uid, None):
            await self._lay_host_ports()
        try:
            await asyncio.to_thread(_disconnect, pod_uid)
        except OSError as error:
            if not rtnetlink.is_absent(error):
                raise types.RuntimeFailure("KillPodSandboxError", f"disconnecting the pod: {error}") from error
        self._release(pod_uid)

    def _remove_links(self) -> None:
        with rtnetlink.open_socket() as channel:
            names = [link.name for link in rtnetlink.links(channel) if link.alias.startswith(self._instance + " ")]
            for name in names:
                try:
                    rtnetlink.transact(channel, [rtnetlink.delete_link(name)])
                except OSError as error:  # it went meanwhile, with its pod
                    if not rtnetlink.is_absent(error):
                        raise

    def _connect(self, pid: int, pod_uid: str, address: str) -> None:
        name = link_name(pod_uid)
        with rtnetlink.open_socket() as host:
            rtnetlink.transact(
                host, [rtnetlink.add_veth(name, "eth0", pid), rtnetlink.set_up(name, f"{self._instance} {pod_uid} {address}")]
            )
            index = socket.if_nametoindex(name)
            rtnetlink.transact(host, [rtnetlink.add_address(index, self.gateway), rtnetlink.add_route(index, address)])
        with rtnetlink.open_socket(pid) as pod:
            inside = {link.name: link.index for link in rtnetlink.links(pod)}
            requests = [rtnetlink.set_up("lo"), rtnetlink.set_up("eth0"), rtnetlink.add_address(inside["eth0"], address)]
            requests += [rtnetlink.add_route(inside["eth0"], self.gateway), rtnetlink.add_route(inside["eth0"], gateway=self.gateway)]
            rtnetlink.transact(pod, requests)

    def _allocate(self, pod_uid: str) -> str:
        size = self._range.num_addresses
        for step in range(size):
            offset = (self._next + step) % size
            address = str(self._range.network_address + offset)
            if 2 <= offset < size - 1 and address not in self._taken:
                self._next = offset + 1
                self._addresses[pod_uid] = address
                self._taken.add(address)
                return address
        raise types.RuntimeFailure("FailedCreatePodSandBox", f"all {size - 3} addresses of {self._range} are taken")

    def _release(self, pod_uid: str) -> None:
        address = self._addresses.pop(pod_uid, None)
        if address is not None:
            self._taken.discard(address)

    async def _publish(self, pod_uid: str, address: str, host_ports: Sequence[tuple[str, int, int]]) -> None:
        wanted = {(protocol, port) for protocol, port, _ in host_ports}
        taken = {(protocol, port) for uid, ports in self._host_ports.items() if uid != pod_uid for protocol, port, _ in ports}
        if wanted & taken:
            protocol, port = sorted(wanted & taken)[0]
            raise types.RuntimeFailure("FailedCreatePodSandBox", f"host port {port}/{protocol} is taken by another pod")
        self._host_ports[pod_uid] = tuple(host_ports)
        await self._lay_host_ports()

    async def _lay_host_ports(self) -> None:
        elements = [
            f"{protocol.lower()} . {port} : {self._addresses[uid]} . {target}"
            for uid, ports in sorted(self._host_ports.items())
            for protocol, port, target in ports
        ]
        added = f"add element {self._table} host_ports {{ {', '.join(elements)} }}\n" if elements else ""
        await self._load(f"flush map {self._table} host_ports\n" + added)

    async def _load(self, script: str) -> None:
        if self._nft is None:
            return
        async with self._rules:
            process = await asyncio.create_subprocess_exec(
                self._nft, "-f", "-", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(NFT_SECONDS):
                _, errors = await process.communicate(script.encode())
        if process.returncode:
            raise types.RuntimeFailure("FailedCreatePodSandBox", f"nft refused the pods' rules: {errors.decode(errors='replace')[:500]}")


def link_name(pod_uid: str) -> str:
    return PREFIX + hashlib.blake2b(pod_uid.encode(), digest_size=6).hexdigest()


def _enable_forwarding() -> None:
    switch = pathlib.Path("/proc/sys/net/ipv4/ip_forward")
    if switch.read_text().strip() != "1":
        switch.write_text("1")


def _disconnect(pod_uid: str) -> None:
    with rtnetlink.open_socket() as channel:
        rtnetlink.transact(channel, [rtnetlink.delete_link(link_name(pod_uid))])


def _skeleton(table: str, pods: ipaddress.IPv4Network) -> str:
    return f"""\
table {table}
delete table {table}
table {table} {{
  map host_ports {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  chain prerouting {{
    type nat hook prerouting priority dstnat + 1; policy accept;
    fib daddr type local dnat ip to meta l4proto . th dport map @host_ports
  }}
  chain output {{
    type nat hook output priority -99; policy accept;
    fib daddr type local ip daddr != 127.0.0.0/8 dnat ip to meta l4proto . th dport map @host_ports
  }}
  chain postrouting {{ type nat hook postrouting priority srcnat + 1; policy accept; ip saddr {pods} ip daddr != {pods} masquerade; }}
}}
"""
