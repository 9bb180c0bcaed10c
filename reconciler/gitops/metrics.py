"""What dashboards made for Flux and Argo CD read, in their names."""

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.metrics import registry

_registry = registry.of("gitops")

DURATION = Histogram(
    "gotk_reconcile_duration_seconds",
    "Time from noticing a change to having applied it",
    ["kind", "name", "namespace"],
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_registry,
)
_APP = ("name", "namespace", "project")
SYNCS = Counter("argocd_app_sync", "Syncs that changed something, by outcome", [*_APP, "phase"], registry=_registry)
PROBLEMS = Gauge("reconciler_gitops_problems", "Problems in the folder now", ["name"], registry=_registry)
DOCUMENTS = Gauge("reconciler_gitops_documents", "Documents in the folder now", ["name"], registry=_registry)


class AppInfo(Collector):
    """argocd_app_info of one Sync; its states are asked for at each scrape."""

    def __init__(self, name: str, states: Callable[[], tuple[str, str]]) -> None:
        self._name = name
        self._states = states
        _registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "argocd_app_info",
            "A Sync with its sync and health status",
            labels=(*_APP, "sync_status", "health_status"),
        )
        family.add_metric((self._name, "", "default", *self._states()), 1)
        return [family]

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []

    def close(self) -> None:
        _registry.unregister(self)
