"""Services and their endpoints: defaults, rules, warnings, columns."""

from typing import Any

import pytest

from reconciler.kinds import endpoints, service, service_rules
from reconciler.model import meta


def made(**spec: Any) -> meta.Obj:
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}
    return service.prepare(service.default(obj), None)


def paths(obj: meta.Obj, old: meta.Obj | None = None) -> list[str]:
    return [error.path for error in service_rules.validate(obj, old)]


def test_defaults() -> None:
    spec = made()["spec"]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert made(sessionAffinity="ClientIP")["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert made(type="NodePort")["spec"]["externalTrafficPolicy"] == "Cluster"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"ports": []}, ["spec.ports"]),
        ({"ports": [], "clusterIP": "None"}, []),
        ({"ports": [{"port": 0}]}, ["spec.ports[0].port", "spec.ports[0].targetPort"]),
        ({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}, ["spec.ports[1].name"]),
        ({"ports": [{"port": 80}, {"port": 81}]}, ["spec.ports[0].name", "spec.ports[1].name"]),
        ({"type": "Other"}, ["spec.type"]),
        ({"type": "ExternalName", "ports": None}, ["spec.externalName"]),
        ({"selector": {"a": "_"}}, ["spec.selector"]),
        ({"ports": [{"port": 80, "nodePort": 30000}]}, ["spec.ports[0].nodePort"]),
    ],
)
def test_rules(spec: dict[str, Any], wanted: list[str]) -> None:
    assert paths(made(**spec)) == wanted


def test_an_address_stays() -> None:
    old, new = made(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"]), made(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"])
    assert "spec.clusterIPs[0]" in paths(new, old)


def test_the_first_address_and_the_list_of_them_go_together() -> None:
    old = made(clusterIP="10.0.0.1")
    assert old["spec"]["clusterIPs"] == ["10.0.0.1"]
    moved = service.prepare(meta.put(old, ("spec", "clusterIP"), "10.0.0.2"), old)
    assert service.cluster_ips(moved) == ("10.0.0.2",)
    cleared = service.prepare(meta.without(old, ("spec", "clusterIP")), old)
    assert service.cluster_ips(cleared) == ()


@pytest.mark.parametrize(
    ("spec", "warning"),
    [
        ({"externalIPs": ["1.2.3.4"]}, "spec.externalIPs is deprecated and may no longer be implemented in some clusters"),
        ({"externalIPs": ["1.2.3.4"], "clusterIP": "None"}, "spec.externalIPs is ignored for headless services"),
        ({"trafficDistribution": "PreferClose"}, 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'),
        ({"loadBalancerIP": "::0"}, 'spec.loadBalancerIP: IPv6 address "::0" should be in RFC 5952 canonical format ("::")'),
    ],
)
def test_warnings(spec: dict[str, Any], warning: str) -> None:
    assert list(service_rules.warn(made(**spec), None)) == [warning]


def test_cells() -> None:
    obj = made(type="NodePort", ports=[{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}])
    row = {column.name: column.cell(obj, 0.0) for column in service.KIND.columns}
    assert (row["Type"], row["External-IP"], row["Port(s)"]) == ("NodePort", "<none>", "80:30080/TCP,53/UDP")


def test_readiness_of_endpoints() -> None:
    assert endpoints.is_ready({})
    assert not endpoints.is_ready({"conditions": {"ready": False}})
    assert endpoints.is_serving({"conditions": {"ready": False, "serving": True}})
    assert not endpoints.is_serving({"conditions": {"ready": False}})
    assert endpoints.is_terminating({"conditions": {"terminating": True}})


def test_slices_made_by_hand_are_looked_at() -> None:
    slice = {"metadata": {}, "addressType": "FQDN", "endpoints": []}
    assert list(endpoints.warn_of_slice(slice, None)) == ["spec.addressType: FQDN endpoints are deprecated"]
    managed = meta.put(slice, ("metadata", "labels"), {endpoints.MANAGED_BY_LABEL: "x"})
    assert list(endpoints.warn_of_slice(managed, None)) == []
