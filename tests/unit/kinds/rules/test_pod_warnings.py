"""What a pod or template is warned of."""

from typing import Any

import pytest

from reconciler.kinds.rules import pod_warnings
from reconciler.model import meta


def warnings(annotations: dict[str, str] | None = None, **spec: Any) -> list[str]:
    obj = {"metadata": {"name": "p", "annotations": annotations or {}}, "spec": spec}
    return list(pod_warnings.of_pod(obj, None))


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", **fields}]}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (container(), []),
        ({"volumes": [{"name": "v", "rbd": {}}]}, ["spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+"]),
        ({"volumes": [{"name": "v", "storageos": {}}]}, ["spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+"]),
        ({"imagePullSecrets": [{}]}, ['spec.imagePullSecrets[0].name: invalid empty name ""']),
        ({"hostAliases": [{"ip": "::1"}, {"ip": "::1"}]}, ['spec.hostAliases[1].ip: duplicate ip "::1"']),
        ({"overhead": {"memory": "1500m"}}, ['spec.overhead[memory]: fractional byte value "1500m" is invalid, must be an integer']),
        (
            {"nodeSelector": {"beta.kubernetes.io/os": "linux"}},
            ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
        ),
        (
            {"topologySpreadConstraints": [{"topologyKey": "zone"}]},
            ["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"],
        ),
        (
            {"terminationGracePeriodSeconds": -1},
            ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
        ),
        (
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}]}}},
            [
                "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector:"
                " a null labelSelector results in matching no pod"
            ],
        ),
    ],
)
def test_of_the_spec(spec: dict[str, Any], wanted: list[str]) -> None:
    assert warnings(**spec) == wanted


@pytest.mark.parametrize(
    ("second", "warned"), [({"value": "x"}, True), ({"value": "$(A)/x"}, False), ({"value": "$(A)"}, True), ({"valueFrom": {}}, True)]
)
def test_a_variable_may_only_build_upon_itself(second: dict[str, Any], warned: bool) -> None:
    found = warnings(**container(env=[{"name": "A", "value": "1"}, {"name": "A", **second}]))
    wanted = ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply']
    assert found == (wanted if warned else [])


@pytest.mark.parametrize(
    ("second", "word"),
    [
        ({}, "duplicate"),
        ({"hostPort": 8080}, "overlapping"),
        ({"protocol": "UDP"}, ""),
        ({"containerPort": 81}, ""),
    ],
)
def test_ports_of_all_containers_share_an_address(second: dict[str, Any], word: str) -> None:
    port = {"containerPort": 80, "protocol": "TCP"}
    both = [{"name": "a", "ports": [port]}, {"name": "b", "ports": [{**port, **second}]}]
    wanted = [f"spec.containers[1].ports[0]: {word} port definition with spec.containers[0].ports[0]"] if word else []
    assert warnings(containers=both) == wanted


def test_an_address_of_the_host_without_a_port_of_it() -> None:
    port = {"containerPort": 80, "protocol": "TCP", "hostIP": "1.2.3.4"}
    shown = "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}"
    assert warnings(**container(ports=[port])) == [f"spec.containers[0].ports[0]: hostIP set without hostPort: {shown}"]


def test_annotations_that_became_fields() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/c"
    template = {"metadata": {"annotations": {key: "unconfined"}}, "spec": container()}
    wanted = f'spec.template.metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'
    assert list(pod_warnings.of_template("spec.template", template)) == [wanted]
    seccomp = "seccomp.security.alpha.kubernetes.io/pod"
    assert warnings({seccomp: "unconfined"}) == [
        f'metadata.annotations[{seccomp}]: non-functional in v1.27+; use the "seccompProfile" field instead'
    ]


def test_a_name_that_is_no_host_name() -> None:
    obj: meta.Obj = {"metadata": {"name": "a.b"}, "spec": {}}
    (found,) = pod_warnings.of_pod(obj, None)
    assert found.startswith("metadata.name: this is used in the Pod's hostname")
    assert list(pod_warnings.of_pod(obj, obj)) == []


def test_an_update_that_leaves_the_spec_alone_is_not_warned_of() -> None:
    obj: meta.Obj = {"metadata": {"name": "a.b"}, "spec": {"template": {"spec": {"imagePullSecrets": [{}]}}}}
    assert len(list(pod_warnings.of_workload(obj, None))) == 2
    assert list(pod_warnings.of_workload(obj, obj)) == []
