"""Addresses of load balancers on a machine: given once, shared, taken back."""

import os
import pathlib
import socket
import struct
import uuid
from collections.abc import Iterator

import pytest

from reconciler import kinds
from reconciler.client import protocol
from reconciler.daemon import announcing
from reconciler.loop.snapshot import Snapshot
from reconciler.model import plan
from reconciler.node import rtnetlink
from reconciler.proxy import announce

IPV6 = pathlib.Path("/proc/net/if_inet6")
ORIGIN = protocol.Origin(actor="test")


def is_own(ip: str) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
        return True


@pytest.fixture
def dummy() -> Iterator[str]:
    if os.geteuid() != 0:
        pytest.skip("only root gives addresses to a machine")
    name = f"rc{uuid.uuid4().hex[:6]}"
    with rtnetlink.open_socket() as channel:
        try:
            rtnetlink.transact(channel, [rtnetlink.add_veth(name, f"{name}p", os.getpid()), rtnetlink.set_up(name)])
        except OSError as error:
            pytest.skip(f"no links can be made here: {error}")
        yield name
        rtnetlink.transact(channel, [rtnetlink.delete_link(name)])


async def test_an_address_stays_while_some_service_has_it(dummy: str) -> None:
    announcer = announcing.Announcer(dummy, "reconciler-test")
    perform = announcer.performers()[announce.Announce]
    ours, both = "198.18.77.1", ("198.18.77.1", "198.18.77.9")
    await perform(announce.Announce(("ns", "a"), (ours,), "test"), ORIGIN)
    await perform(announce.Announce(("ns", "b"), both, "test"), ORIGIN)
    assert is_own(ours)
    await perform(announce.Announce(("ns", "a"), (), "test"), ORIGIN)
    assert is_own(ours)
    await perform(announce.Announce(("ns", "b"), ("198.18.77.2",), "test"), ORIGIN)
    assert not is_own(ours)
    assert is_own("198.18.77.2")
    await announcer.close()
    assert not is_own("198.18.77.2")


def test_the_frame_says_who_has_the_address() -> None:
    frame = announcing.gratuitous(bytes.fromhex("020000000001"), "192.0.2.1")
    assert frame.hex() == "ffffffffffff020000000001080600010800060400010200" + "00000001c0000201" + "000000000000c0000201"


@pytest.mark.skipif(not IPV6.exists(), reason="this kernel knows no IPv6")
async def test_an_address_of_ipv6_is_the_machines_own_too(dummy: str) -> None:
    announcer = announcing.Announcer(dummy, "reconciler-test")
    perform = announcer.performers()[announce.Announce]
    both = ("198.18.77.3", "2001:db8:77::1")
    await perform(announce.Announce(("ns", "a"), both, "test"), ORIGIN)
    assert all(map(is_own, both))
    await announcer.close()
    assert not any(map(is_own, both))


def test_the_advertisement_says_who_has_the_address() -> None:
    frame = announcing.advertisement(bytes.fromhex("020000000001"), "2001:db8::1")
    ethernet, ip, icmp = frame[:14], frame[14:54], frame[54:]
    assert ethernet.hex() == "333300000001" + "020000000001" + "86dd"
    assert ip.hex() == "60000000" + "0020" + "3aff" + "20010db8000000000000000000000001" + "ff020000000000000000000000000001"
    assert (icmp[:2] + icmp[4:]).hex() == "8800" + "20000000" + "20010db8000000000000000000000001" + "0201" + "020000000001"
    words = struct.unpack("!36H", ip[8:40] + struct.pack("!II", len(icmp), 58) + icmp)
    assert sum(words) % 0xFFFF == 0  # a right checksum makes the whole come to nothing


@pytest.mark.parametrize(
    ("spec", "addresses"),
    [({"type": "LoadBalancer"}, ("192.0.2.1",)), ({"type": "LoadBalancer", "loadBalancerClass": "x/y"}, ()), ({"type": "ClusterIP"}, ())],
)
def test_what_is_announced(spec: dict[str, str], addresses: tuple[str, ...]) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "resourceVersion": "1"},
        "spec": spec,
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    }
    (action,) = announce.planned(Snapshot.of(kinds.builtin(), [service], {"services"}), ("ns", "web"), 0.0).actions
    assert isinstance(action, announce.Announce)
    assert action.addresses == addresses
    gone = announce.planned(Snapshot.of(kinds.builtin(), [], {"services"}), ("ns", "web"), 0.0)
    assert isinstance(gone, plan.Plan)
    assert [one.addresses for one in gone.actions if isinstance(one, announce.Announce)] == [()]
