"""Gives the addresses of load balancers to this machine, and tells its neighbours.

An address is the machine's own while some Service has it: it answers ARP for it, and new ones are announced by a
gratuitous ARP, so that neighbours forget who had them before. IPv6 addresses are left to the proxy's rules. What is
given is labelled, so that nothing of others is ever taken back.
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
ETHER_ARP, ARP_REQUEST = 0x0806, 1
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
            await asyncio.to_thread(self._settle, frozenset(ip for ips in self._wanted.values() for ip in ips if "." in ip))
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
                wire.send(gratuitous(hardware, ip))
        except (OSError, ValueError) as error:
            log.warning("neighbours were not told", extra={"facts": {"address": ip, "interface": self._interface, "error": error}})


def gratuitous(hardware: bytes, ip: str) -> bytes:
    """An Ethernet frame that says that `ip` is at `hardware`, asked of everybody."""
    packed = socket.inet_aton(ip)
    return _FRAME.pack(BROADCAST, hardware, ETHER_ARP, 1, 0x0800, 6, 4, ARP_REQUEST, hardware, packed, bytes(6), packed)
