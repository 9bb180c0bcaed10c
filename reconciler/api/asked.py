"""rest_client_requests_total: what components wrote through the in-process client, as their own binaries would count it.

Reading is not counted: in one process the cache is shared, and no component asks for what it watches.
"""

from functools import cache

from prometheus_client import Counter

from reconciler.metrics import registry
from reconciler.model import plan

HOST = "localhost"
_COMPONENTS = {"kube-controller-manager": "controllers", "kube-scheduler": "scheduler", "kubelet": "kubelet", "kube-proxy": "proxy"}
_METHODS: dict[type, tuple[str, int]] = {
    plan.Create: ("POST", 201),
    plan.Update: ("PUT", 200),
    plan.Patch: ("PATCH", 200),
    plan.Delete: ("DELETE", 200),
}
_COUNTERS = {
    manager: Counter(
        "rest_client_requests_total",
        "Number of HTTP requests, partitioned by status code, method, and host.",
        ["code", "method", "host"],
        registry=registry.of(component),
    )
    for manager, component in _COMPONENTS.items()
}


def count(manager: str, action: plan.ApiAction, refusal: int = 0) -> None:
    """`refusal` is the status of a write that was refused."""
    if manager in _COUNTERS:
        method, success = _METHODS[type(action)]
        _counter(manager, refusal or success, method).inc()


@cache
def _counter(manager: str, code: int, method: str) -> Counter:
    """Found once: every write counts."""
    return _COUNTERS[manager].labels(code, method, HOST)
