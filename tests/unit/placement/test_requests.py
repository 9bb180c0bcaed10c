"""Kubernetes' arithmetic of what a pod asks for."""

from typing import Any

import pytest

from reconciler.placement import requests

GIB = 2**30


def container(name: str = "c", always: bool = False, limits: dict[str, str] | None = None, **asked: str) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "resources": {"requests": asked, "limits": limits or {}}}
    return {**made, "restartPolicy": "Always"} if always else made


def pod(containers: list[dict[str, Any]], init: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": containers, "initContainers": init or [], **spec}}


def limited(cpu: str, memory: str) -> dict[str, Any]:
    return container(limits={"cpu": cpu, "memory": memory})


def test_the_known_example() -> None:
    made = pod([limited("2", "1Gi"), limited("1", "1Gi")], [limited("2", "3Gi"), limited("2", "1Gi")])
    assert requests.of_pod(made) == {"cpu": 3000, "memory": 3 * GIB}


@pytest.mark.parametrize(
    ("containers", "init", "cpu"),
    [
        ([container(cpu="1")], [container(cpu="3")], 3000),
        ([container(cpu="1"), container(cpu="500m")], [], 1500),
        ([container(cpu="1")], [container(always=True, cpu="3")], 4000),  # a sidecar runs beside the container
        ([container(cpu="1")], [container(always=True, cpu="1"), container(cpu="2")], 3000),  # and beside later init containers
        ([container(cpu="1")], [container(cpu="2"), container(always=True, cpu="1")], 2000),  # but not beside earlier ones
        ([container()], [container(cpu="1"), container(cpu="2")], 2000),  # one after the other
    ],
)
def test_init_containers(containers: list[dict[str, Any]], init: list[dict[str, Any]], cpu: int) -> None:
    assert requests.of_pod(pod(containers, init))["cpu"] == cpu


def test_overhead_and_pod_level() -> None:
    assert requests.of_pod(pod([container(cpu="1")], overhead={"cpu": "250m"})) == {"cpu": 1250}
    made = pod([container(cpu="1", memory="1Gi")], resources={"requests": {"cpu": "4", "example.com/x": "9"}})
    assert requests.of_pod(made) == {"cpu": 4000, "memory": GIB}, "only what pod-level resources support is taken from there"


def test_requests_before_limits_and_usual_ones_where_none_are() -> None:
    assert requests.of_pod(pod([container(limits={"cpu": "2"}, cpu="1")])) == {"cpu": 1000}
    assert requests.of_pod(pod([container(), container(cpu="0")]), requests.USUAL_REQUESTS) == {"cpu": 100, "memory": 400 * 2**20}


def test_a_resize_counts_the_larger() -> None:
    made = pod([container(cpu="1")])
    made["status"] = {"containerStatuses": [{"name": "c", "allocatedResources": {"cpu": "2"}, "resources": {"requests": {"cpu": "1500m"}}}]}
    assert requests.of_pod(made) == {"cpu": 2000}


def test_a_resize_that_the_node_refused_does_not_count() -> None:
    made = pod([container(cpu="4")])
    held = {"name": "c", "allocatedResources": {"cpu": "1"}}
    made["status"] = {"containerStatuses": [held], "conditions": [{"type": "PodResizePending", "reason": "Infeasible"}]}
    assert requests.of_pod(made) == {"cpu": 1000}
    made["status"]["conditions"][0]["reason"] = "Deferred"
    assert requests.of_pod(made) == {"cpu": 4000}


def test_a_resize_of_the_whole_pod_counts_the_larger() -> None:
    made = pod([container(cpu="1")], resources={"requests": {"cpu": "2"}})
    made["status"] = {"resources": {"requests": {"cpu": "3"}}, "allocatedResources": {"cpu": "2"}}
    assert requests.of_pod(made) == {"cpu": 3000}


def test_allocatable_falls_back_to_capacity() -> None:
    assert requests.allocatable({"status": {"capacity": {"cpu": "1500m", "pods": "10"}}}) == {"cpu": 1500, "pods": 10}
