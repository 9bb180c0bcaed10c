"""Small pods and what is observed of them."""

from typing import Any

from reconciler.node import observed
from reconciler.node.runtimes import types

NOW = 1_700_000_000.0
NODE = observed.Node(name="n", address="10.0.0.1", runtime="process", allocatable={"cpu": "4", "memory": "8Gi"})


def pod(containers: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    wanted = {"nodeName": "n", "containers": containers or [{"name": "main", "image": "host"}], **spec}
    metadata = {"name": "web", "namespace": "default", "uid": "u1", "generation": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": wanted, "status": {"phase": "Pending"}}


def container(name: str = "main", state: types.State = "running", attempt: int = 0, **more: Any) -> types.Container:
    times = {"created_at": NOW - 60, "started_at": NOW - 60}
    if state in ("exited", "unknown"):
        times["finished_at"] = NOW - 1
    return types.Container(**{"name": name, "attempt": attempt, "state": state, "id": f"{name}{attempt}", "image": "host", **times, **more})


def seen(*containers: types.Container, ready: bool = True, **more: Any) -> observed.Pod:
    """A pod with a sandbox, an address and volumes in place."""
    sandbox = types.Sandbox(uid="u1", namespace="default", name="web", ready=ready, pid=1, containers=containers)
    return observed.Pod(**{"sandbox": sandbox, "ip": "10.1.0.2" if ready else "", "volumes": "v", **more})
