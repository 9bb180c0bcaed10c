"""Gives the addresses of load balancers to this machine, and tells its neighbours.

An address is the machine's own while some Service has it: the kernel answers ARP and neighbour solicitations for it,
and new ones are announced by a gratuitous ARP or an unsolicited neighbour advertisement (RFC 4861, 7.2.6), so that
neighbours forget who had them before. What is given is labelled (IPv4) or a whole prefix of its own (IPv6, /128), so
that nothing of others is ever taken back.
"""

import asyncio
import logging
import socket
import struct
from pathlib import Path

from reconciler.client import protocol
from reconciler.loop import perform
from reconciler.model import meta, plan
from reconciler.node import rtnetlink
from reconciler.proxy import announce

log = logging.getLogger(__name__)

LOOPBACK = "lo"
LABEL_MOST = 15
BROADCAST = b"\xff" * 6
ALL_NODES = socket.inet_pton(socket.AF_INET6, "ff02::1")
ALL_NODES_HARDWARE = bytes.fromhex("333300000001")
ETHER_ARP, ARP_REQUEST = 0x0806, 1
ETHER_IPV6, ICMPV6, HOP_LIMIT = 0x86DD, 58, 255
NEIGHBOUR_ADVERTISEMENT, OVERRIDE, TARGET_HARDWARE = 136, 0x20000000, 2
_FRAME = struct.Struct("!6s6sHHHBBH6s4s6s4s")


class Announcer:
    """`interface` gets the addresses; `instance` is what tells this daemon's from another one's."""

    def __init__(self, interface: str, instance: str) -> None:
        self._interface = interface
        self._label = f"{interface}:{instance[-(LABEL_MOST - len(interface) - 1) :]}"
        self._wanted: dict[meta.Key, tuple[str, ...]] = {}
        self._given: set[str] = set()
        self._turn = asyncio.Lock()

    def performers(self) -> dict[type, perform.Performer]:
        return {announce.Announce: self._perform}

    async def close(self) -> None:
        """Take back what was given."""
        self._wanted.clear()
        async with self._turn:
            await asyncio.to_thread(self._settle, frozenset())

    async def _perform(self, action: plan.Action, origin: protocol.Origin) -> protocol.Written | None:
        assert isinstance(action, announce.Announce)
        async with self._turn:
            self._wanted[action.key] = action.addresses
            if not action.addresses:
                del self._wanted[action.key]
            await asyncio.to_thread(self._settle, frozenset(ip for ips in self._wanted.values() for ip in ips))
        return None

    def _settle(self, wanted: frozenset[str]) -> None:
        """Raises OSError where the kernel refuses; the plan is tried again."""
        if wanted == self._given:
            return
        index = socket.if_nametoindex(self._interface)
        with rtnetlink.open_socket() as channel:
            for ip in sorted(self._given - wanted):
                try:
                    rtnetlink.transact(channel, [rtnetlink.delete_address(index, ip, self._label)])
                except OSError as error:
                    if not rtnetlink.is_absent(error):
                        raise
                self._given.discard(ip)
            for ip in sorted(wanted - self._given):
                rtnetlink.transact(channel, [rtnetlink.add_address(index, ip, self._label)])
                self._given.add(ip)
                self._tell(ip)

    def _tell(self, ip: str) -> None:
        if self._interface == LOOPBACK:
            return
        try:
            hardware = bytes.fromhex(Path(f"/sys/class/net/{self._interface}/address").read_text().strip().replace(":", ""))
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
                wire.bind((self._interface, 0))
                wire.send(advertisement(hardware, ip) if ":" in ip else gratuitous(hardware, ip))
        except (OSError, ValueError) as error:
            log.warning("neighbours were not told", extra={"facts": {"address": ip, "interface": self._interface, "error": error}})


def gratuitous(hardware: bytes, ip: str) -> bytes:
    """An Ethernet frame that says that `ip` is at `hardware`, asked of everybody."""
    packed = socket.inet_aton(ip)
    return _FRAME.pack(BROADCAST, hardware, ETHER_ARP, 1, 0x0800, 6, 4, ARP_REQUEST, hardware, packed, bytes(6), packed)


def advertisement(hardware: bytes, ip: str) -> bytes:
    """An Ethernet frame that tells all nodes of the link, unasked, that `ip` is at `hardware` now."""
    address = socket.inet_pton(socket.AF_INET6, ip)
    option = struct.pack("!BB6s", TARGET_HARDWARE, 1, hardware)

    def message(checksum: int) -> bytes:
        return struct.pack("!BBHI16s", NEIGHBOUR_ADVERTISEMENT, 0, checksum, OVERRIDE, address) + option

    size = len(message(0))
    pseudo = address + ALL_NODES + struct.pack("!II", size, ICMPV6)
    packet = struct.pack("!IHBB16s16s", 6 << 28, size, ICMPV6, HOP_LIMIT, address, ALL_NODES) + message(_checksum(pseudo + message(0)))
    return ALL_NODES_HARDWARE + hardware + struct.pack("!H", ETHER_IPV6) + packet


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
