"""The values of restartPolicy: in Kubernetes' own order for a pod, sorted for a container."""

from typing import Any

from reconciler.kinds import pod


def refusals(spec: dict[str, Any]) -> dict[str, str]:
    found = pod.KIND.validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": spec}, None)
    return {error.path: error.message.partition(": ")[2].partition(": ")[2] for error in found if error.path.endswith("restartPolicy")}


def test_order_of_the_supported_values() -> None:
    container = {"name": "c", "image": "i", "restartPolicy": "Nope"}
    assert refusals({"restartPolicy": "Nope", "containers": [container]}) == {
        "spec.restartPolicy": 'supported values: "Always", "OnFailure", "Never"',
        "spec.containers[0].restartPolicy": 'supported values: "Always", "Never", "OnFailure"',
    }
