"""What simulated pods use: what their annotations say, else what they request. Pure: who asks is agent.py.

sim.reconciler.dev/cpu       quantity per container, such as 250m
sim.reconciler.dev/memory    quantity per container, such as 64Mi
"""

from collections.abc import Iterable

from reconciler.client import usage
from reconciler.model import meta
from reconciler.node.sim import plan as lives
from reconciler.placement import requests

WINDOW_SECONDS = 15.0


def of_node(node: meta.Obj, pods: Iterable[meta.Obj], now: float) -> usage.Node:
    measured = tuple(one for one in (_of_pod(pod, now) for pod in pods) if one.containers)
    containers = [container for pod in measured for container in pod.containers]
    return usage.Node(
        name=meta.name(node),
        timestamp=now,
        window_seconds=WINDOW_SECONDS,
        cpu_nanocores=sum(one.cpu_nanocores for one in containers),
        memory_working_set_bytes=sum(one.memory_working_set_bytes for one in containers),
        pods=measured,
    )


def _of_pod(pod: meta.Obj, now: float) -> usage.Pod:
    spec = meta.spec(pod)
    specs = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    asked = {one["name"]: requests.of_container(one) for one in specs}
    status = meta.status(pod)
    statuses = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    running = [one["name"] for one in statuses if "running" in (one.get("state") or {})]
    containers = (
        usage.Container(name, _amount(pod, requests.CPU, asked[name]) * 1_000_000, _amount(pod, requests.MEMORY, asked[name]))
        for name in running
        if name in asked
    )
    return usage.Pod(
        namespace=meta.namespace(pod),
        name=meta.name(pod),
        uid=meta.uid(pod),
        timestamp=now,
        window_seconds=WINDOW_SECONDS,
        containers=tuple(containers),
    )


def _amount(pod: meta.Obj, resource: str, asked: requests.Amounts) -> int:
    """Thousandths of a core or bytes; an annotation that is no quantity counts as none."""
    text = meta.annotations(pod).get(lives.PREFIX + resource)
    try:
        return requests.amount(resource, text) if text else asked.get(resource, 0)
    except ValueError:
        return 0
