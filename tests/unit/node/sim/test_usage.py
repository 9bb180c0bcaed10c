"""What simulated pods say that they use."""

from typing import Any

from reconciler.node.sim import usage

NODE = {"metadata": {"name": "n"}}


def pod(state: str = "running", **annotations: str) -> dict[str, Any]:
    resources = {"requests": {"cpu": "100m", "memory": "1Mi"}}
    return {
        "metadata": {
            "name": "p",
            "namespace": "d",
            "uid": "u",
            "annotations": {f"sim.reconciler.dev/{k}": v for k, v in annotations.items()},
        },
        "spec": {"containers": [{"name": "c", "resources": resources}, {"name": "bare"}]},
        "status": {"containerStatuses": [{"name": "c", "state": {state: {}}}, {"name": "bare", "state": {state: {}}}]},
    }


def used(**annotations: str) -> list[tuple[str, int, int]]:
    node = usage.of_node(NODE, [pod(**annotations)], 1000.0)
    return [(one.name, one.cpu_nanocores, one.memory_working_set_bytes) for one in node.pods[0].containers]


def test_what_it_requests_unless_annotated() -> None:
    assert used() == [("c", 100_000_000, 1 << 20), ("bare", 0, 0)]
    assert used(cpu="1500m", memory="2Ki") == [("c", 1_500_000_000, 2048), ("bare", 1_500_000_000, 2048)]
    assert used(cpu="plenty")[0] == ("c", 0, 1 << 20)


def test_the_node_sums_what_runs() -> None:
    node = usage.of_node(NODE, [pod(), pod(state="waiting"), pod(cpu="1")], 1000.0)
    assert (node.cpu_nanocores, len(node.pods)) == (2_100_000_000, 2)
