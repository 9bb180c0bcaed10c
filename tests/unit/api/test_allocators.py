"""Addresses and node ports of Services."""

from typing import Any

import pytest

from reconciler import kinds
from reconciler.api import allocators
from reconciler.model import errors, meta

SERVICE = kinds.builtin()["services"]


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "protocol": "TCP"}], **spec},
    }


def test_every_service_gets_an_address_of_its_own_from_the_range() -> None:
    services = allocators.Services("127.96.0.0/29")
    taken = {meta.spec(services.allocate(SERVICE, service(f"s{n}"), None)[0])["clusterIP"] for n in range(5)}
    assert len(taken) == 5
    assert all(address.startswith("127.96.0.") for address in taken)
    with pytest.raises(errors.StatusError, match=r"127\.96\.0\.0/29 is full"):
        services.allocate(SERVICE, service("more"), None)


def test_a_wanted_address_is_given_or_refused_by_name() -> None:
    services = allocators.Services()
    services.allocate(SERVICE, service("a", clusterIP="10.96.0.9"), None)
    with pytest.raises(errors.StatusError, match="provided IP is already allocated"):
        services.allocate(SERVICE, service("b", clusterIP="10.96.0.9"), None)
    with pytest.raises(errors.StatusError, match="does not match the current range"):
        services.allocate(SERVICE, service("c", clusterIP="10.1.0.1"), None)


def test_headless_and_external_services_need_none() -> None:
    services = allocators.Services()
    headless, _ = services.allocate(SERVICE, service("h", clusterIP="None"), None)
    assert meta.spec(headless)["clusterIPs"] == ["None"]
    external = service("e", type="ExternalName", externalName="x.example")
    assert services.allocate(SERVICE, external, None)[0] is external


def test_an_update_keeps_the_address_and_takes_new_node_ports() -> None:
    services = allocators.Services(node_ports=range(30000, 30002))
    old, _ = services.allocate(SERVICE, service("s"), None)
    exposed, _ = services.allocate(SERVICE, service("s", type="NodePort"), old)
    assert meta.spec(exposed)["clusterIP"] == meta.spec(old)["clusterIP"]
    assert meta.spec(exposed)["ports"][0]["nodePort"] in (30000, 30001)


def test_what_a_failed_write_took_is_given_back() -> None:
    services = allocators.Services(node_ports=range(30000, 30001))
    _, release = services.allocate(SERVICE, service("a", type="NodePort"), None)
    with pytest.raises(errors.StatusError, match="range is full"):
        services.allocate(SERVICE, service("b", type="NodePort"), None)
    release()
    services.allocate(SERVICE, service("b", type="NodePort"), None)


def test_repair_takes_what_is_stored() -> None:
    services = allocators.Services()
    stored = service("a", clusterIP="10.96.0.9", clusterIPs=["10.96.0.9"], ports=[{"port": 80, "nodePort": 30080}])
    services.repair([stored])
    with pytest.raises(errors.StatusError, match="already allocated"):
        services.allocate(SERVICE, service("b", clusterIP="10.96.0.9"), None)
    services.release(SERVICE, stored)
    services.allocate(SERVICE, service("b", clusterIP="10.96.0.9"), None)


def test_one_number_serves_both_protocols() -> None:
    services = allocators.Services()
    both = [{"port": 53, "protocol": "TCP", "name": "t"}, {"port": 53, "protocol": "UDP", "name": "u"}]
    made, _ = services.allocate(SERVICE, service("dns", type="NodePort", ports=both), None)
    assert len({port["nodePort"] for port in meta.spec(made)["ports"]}) == 1
