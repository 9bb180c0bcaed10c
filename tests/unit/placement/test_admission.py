"""What a node re-checks, and where DaemonSets want their pods."""

from typing import Any

import pytest

from reconciler.placement import admission, affinity, ports, taints

NODE: dict[str, Any] = {
    "metadata": {"name": "n", "labels": {"zone": "a"}},
    "spec": {},
    "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "2"}},
}


def pod(cpu: str = "100m", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}, "ports": spec.pop("ports", [])}
    return {"metadata": {"name": "p"}, "spec": {"containers": [container], **spec}}


def tainted(effect: str) -> dict[str, Any]:
    return {**NODE, "spec": {"taints": [{"key": "k", "effect": effect}]}}


@pytest.mark.parametrize(
    ("wanted", "others", "reason"),
    [
        (pod(), [], None),
        (pod("2"), [], "OutOfcpu"),
        (pod("600m"), [pod("600m")], "OutOfcpu"),
        (pod(), [pod(), pod()], "OutOfpods"),
        (pod(nodeSelector={"zone": "b"}), [], "NodeAffinity"),
        (pod(ports=[{"hostPort": 80}]), [pod(ports=[{"hostPort": 80}])], "NodePorts"),
    ],
)
def test_refusal(wanted: dict[str, Any], others: list[dict[str, Any]], reason: str | None) -> None:
    found = admission.refusal(wanted, NODE, map(admission.share, others))
    assert (found.reason if found is not None else None) == reason


def test_out_of_names_the_numbers() -> None:
    found = admission.refusal(pod("600m"), NODE, [admission.share(pod("700m"))])
    assert found is not None
    assert found.message.endswith("Node didn't have enough resource: cpu, requested: 600, used: 700, capacity: 1000")


def test_resources_that_the_node_never_had_are_no_reason() -> None:
    wanted = pod()
    wanted["spec"]["containers"][0]["resources"]["requests"]["example.com/gpu"] = "1"
    assert admission.refusal(wanted, NODE, []) is None


COPES = {"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]}
BEST_EFFORT: dict[str, Any] = {"containers": [{"name": "c"}]}


@pytest.mark.parametrize(
    ("pressures", "spec", "message"),
    [
        (["MemoryPressure"], BEST_EFFORT, "The node had condition: [MemoryPressure]. "),
        (["MemoryPressure"], {}, None),
        (["MemoryPressure"], BEST_EFFORT | COPES, None),
        (["MemoryPressure"], BEST_EFFORT | {"priority": 2_000_000_000}, None),
        (["DiskPressure"], {}, "The node had condition: [DiskPressure]. "),
        (["MemoryPressure", "DiskPressure"], COPES, "The node had condition: [DiskPressure MemoryPressure]. "),
        (["PIDPressure"], {}, "The node had condition: [PIDPressure]. "),
        (["PIDPressure"], {"priority": 2_000_000_000}, None),
    ],
)
def test_a_node_under_pressure(pressures: list[str], spec: dict[str, Any], message: str | None) -> None:
    conditions = [
        {"type": one, "status": "True" if one in pressures else "False"} for one in ("MemoryPressure", "DiskPressure", "PIDPressure")
    ]
    node = {**NODE, "status": {**NODE["status"], "conditions": conditions}}
    found = admission.refusal(pod(**spec), node, [])
    assert (found.message if found is not None else None) == message
    assert found is None or found.reason == "Evicted"


@pytest.mark.parametrize(
    ("effect", "wanted", "stays"), [("NoSchedule", False, True), ("NoExecute", False, False), ("PreferNoSchedule", True, True)]
)
def test_daemon_pods_and_taints(effect: str, wanted: bool, stays: bool) -> None:
    node = tainted(effect)
    assert admission.is_wanted(pod(), node) is wanted
    assert admission.may_stay(pod(), node) is stays


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"value": "v"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], tolerated: bool) -> None:
    assert taints.toleration(toleration).tolerates(taints.Taint("k", "v", "NoSchedule")) is tolerated


@pytest.mark.parametrize(
    ("one", "other", "collides"),
    [
        (("10.0.0.1", "TCP", 80), ("10.0.0.2", "TCP", 80), False),
        (("10.0.0.1", "TCP", 80), ("0.0.0.0", "TCP", 80), True),
        (("0.0.0.0", "TCP", 80), ("0.0.0.0", "UDP", 80), False),
        (("0.0.0.0", "TCP", 80), ("0.0.0.0", "TCP", 81), False),
    ],
)
def test_ports(one: tuple[str, str, int], other: tuple[str, str, int], collides: bool) -> None:
    assert ports.HostPort(*one).collides(ports.HostPort(*other)) is collides
    assert ports.HostPort(*other).collides(ports.HostPort(*one)) is collides


def test_ports_of_host_network_and_sidecars() -> None:
    assert ports.of_pod(pod(ports=[{"containerPort": 80}])) == ()
    assert ports.of_pod(pod(ports=[{"containerPort": 80}], hostNetwork=True)) == (ports.HostPort("0.0.0.0", "TCP", 80),)
    sidecar = {"name": "s", "restartPolicy": "Always", "ports": [{"hostPort": 81, "protocol": "UDP"}]}
    init = {"name": "i", "ports": [{"hostPort": 82}]}
    assert ports.of_pod(pod(initContainers=[sidecar, init])) == (ports.HostPort("0.0.0.0", "UDP", 81),)


def test_names_that_terms_confine_to() -> None:
    def selector(*terms: dict[str, Any]) -> affinity.NodeSelector:
        return affinity.NodeSelector(terms=affinity.terms({"nodeSelectorTerms": list(terms)}))

    def named(*names: str) -> dict[str, Any]:
        return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]} for name in names]}

    assert selector(named("a"), named("b")).names() == {"a", "b"}
    assert selector(named("a", "b")).names() == frozenset()
    assert selector(named("a"), {"matchExpressions": [{"key": "k", "operator": "Exists"}]}).names() is None
    assert affinity.ANYWHERE.names() is None
    assert not selector({}).matches({}, "a"), "an empty term matches nothing"
