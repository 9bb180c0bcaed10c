"""The few rtnetlink(7) requests that connect a pod: links, addresses, routes.

A request is bytes; `transact` sends several in one system call and waits for every acknowledgement. A netlink
socket belongs for ever to the network namespace that it was made in, so requests for a pod go out through a socket
made there. Not a general library: routes of IPv4, veth, and nothing that is not used.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_DUMP = 0x1, 0x4, 0x200, 0x400, 0x100, 0x300
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE = 16, 17, 18, 19, 20, 21, 24
IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_PID, IFLA_IFALIAS = 3, 18, 19, 20
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_F_NODAD = 1, 2, 3, 2
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
IFF_UP = 1
SCOPE_UNIVERSE, SCOPE_LINK = 0, 253
TABLE_MAIN, PROTOCOL_STATIC, TYPE_UNICAST = 254, 4, 1
CLONE_NEWNET = 0x40000000

_MESSAGE = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Link:
    index: int
    name: str
    alias: str
    is_up: bool


def open_socket(pid: int = 0) -> socket.socket:
    """A netlink socket of the network namespace of `pid` (0: this one). Raises OSError.

    Moves the calling thread there and back: never call it from a thread that runs an event loop.
    """
    if not pid:
        return _bound()
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(libc, there)
            try:
                return _bound()
            finally:
                _setns(libc, home)
        finally:
            os.close(there)
    finally:
        os.close(home)


def transact(channel: socket.socket, requests: Sequence[bytes]) -> None:
    """Send all requests at once; raises the OSError of the first that the kernel refused."""
    channel.send(b"".join(_numbered(requests)))
    waiting = set(range(1, len(requests) + 1))
    failure: OSError | None = None
    while waiting:
        for kind, sequence, body in _messages(channel.recv(65536)):
            if kind == NLMSG_ERROR and sequence in waiting:
                waiting.discard(sequence)
                code = -struct.unpack_from("=i", body)[0]
                if code and failure is None:
                    failure = OSError(code, os.strerror(code))
    if failure is not None:
        raise failure


def links(channel: socket.socket) -> Iterator[Link]:
    """Every link of the socket's namespace."""
    channel.send(_MESSAGE.pack(_MESSAGE.size + _LINK.size, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + _LINK.pack(0, 0, 0, 0, 0))
    while True:
        for kind, _, body in _messages(channel.recv(262144)):
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                raise OSError(-struct.unpack_from("=i", body)[0], "the kernel refused to list its links")
            _, _, index, flags, _ = _LINK.unpack_from(body)
            found = dict(_attributes(body[_LINK.size :]))
            name, alias = (found.get(key, b"").rstrip(b"\0").decode(errors="replace") for key in (IFLA_IFNAME, IFLA_IFALIAS))
            yield Link(index, name, alias, bool(flags & IFF_UP))


def add_veth(name: str, peer: str, peer_pid: int) -> bytes:
    """A pair whose other end appears as `peer` in the namespace of `peer_pid`."""
    other = _LINK.pack(0, 0, 0, 0, 0) + _text(IFLA_IFNAME, peer) + _attribute(IFLA_NET_NS_PID, struct.pack("=I", peer_pid))
    info = _text(IFLA_INFO_KIND, "veth") + _attribute(IFLA_INFO_DATA, _attribute(VETH_INFO_PEER, other))
    body = _LINK.pack(0, 0, 0, 0, 0) + _text(IFLA_IFNAME, name) + _attribute(IFLA_LINKINFO, info)
    return _request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def delete_link(name: str) -> bytes:
    return _request(RTM_DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + _text(IFLA_IFNAME, name))


def set_up(name: str, alias: str = "") -> bytes:
    body = _LINK.pack(0, 0, 0, IFF_UP, IFF_UP) + _text(IFLA_IFNAME, name) + (_text(IFLA_IFALIAS, alias) if alias else b"")
    return _request(RTM_SETLINK, 0, body)


def add_address(index: int, address: str, label: str = "") -> bytes:
    """`label`, such as "lo:us", has 15 characters at most and begins with the link's name; IPv6 knows none.

    An IPv6 address is usable at once: nobody is asked first whether it is a duplicate.
    """
    return _request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, _address(index, address, label))


def delete_address(index: int, address: str, label: str = "") -> bytes:
    """Only the one of that label, where one is given."""
    return _request(RTM_DELADDR, 0, _address(index, address, label))


def _address(index: int, address: str, label: str) -> bytes:
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address)
        return _ADDRESS.pack(socket.AF_INET6, 128, IFA_F_NODAD, SCOPE_UNIVERSE, index) + _attribute(IFA_ADDRESS, packed)
    packed = socket.inet_aton(address)
    body = _ADDRESS.pack(socket.AF_INET, 32, 0, SCOPE_UNIVERSE, index) + _attribute(IFA_LOCAL, packed) + _attribute(IFA_ADDRESS, packed)
    return body + (_text(IFA_LABEL, label) if label else b"")


def add_route(index: int, destination: str = "", gateway: str = "") -> bytes:
    """To one address, or with no destination the default route; without a gateway the destination is on the link."""
    prefix, scope = (32 if destination else 0), (SCOPE_UNIVERSE if gateway else SCOPE_LINK)
    body = _ROUTE.pack(socket.AF_INET, prefix, 0, 0, TABLE_MAIN, PROTOCOL_STATIC, scope, TYPE_UNICAST, 0)
    body += _attribute(RTA_DST, socket.inet_aton(destination)) if destination else b""
    body += _attribute(RTA_GATEWAY, socket.inet_aton(gateway)) if gateway else b""
    body += _attribute(RTA_OIF, struct.pack("=I", index))
    return _request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def is_absent(error: OSError) -> bool:
    return error.errno in (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)


def _bound() -> socket.socket:
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    channel.settimeout(TIMEOUT_SECONDS)
    channel.bind((0, 0))
    return channel


def _setns(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, f"entering a network namespace: {os.strerror(code)}")


def _request(kind: int, flags: int, body: bytes) -> bytes:
    return _MESSAGE.pack(_MESSAGE.size + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, 0, 0) + body


def _numbered(requests: Sequence[bytes]) -> Iterator[bytes]:
    for sequence, request in enumerate(requests, 1):
        yield request[:8] + struct.pack("=I", sequence) + request[12:]


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + _MESSAGE.size <= len(data):
        length, kind, _, sequence, _ = _MESSAGE.unpack_from(data, at)
        yield kind, sequence, data[at + _MESSAGE.size : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")
