"""Metric registries, one per component and scrape path.

Every component makes its metrics once, at import, in its own registry: `registry.of("scheduler")`. The daemon
serves each under /metrics/NAME. Label values are bounded by whoever sets them. Names follow Kubernetes' own.
"""

from prometheus_client import CollectorRegistry

API_BUCKETS_SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
FAST_BUCKETS_SECONDS = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

COMPONENTS = ("apiserver", "controllers", "scheduler", "kubelet", "cadvisor", "kube-state-metrics", "proxy", "journal", "gitops")

_registries = {name: CollectorRegistry(auto_describe=True) for name in COMPONENTS}


def of(component: str) -> CollectorRegistry:
    """The registry of one of COMPONENTS."""
    return _registries[component]
