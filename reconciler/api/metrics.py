"""The API server's metrics, by kube-apiserver's names. Label values are bounded by the roster and by known verbs."""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram

from reconciler.metrics import registry

_registry = registry.of("apiserver")
_RESOURCE = ("verb", "group", "version", "resource", "subresource", "scope")

REQUESTS = Counter("apiserver_request_total", "Requests by code.", (*_RESOURCE, "dry_run", "component", "code"), registry=_registry)
DURATIONS = Histogram(
    "apiserver_request_duration_seconds",
    "Response latency.",
    (*_RESOURCE, "dry_run", "component"),
    buckets=registry.API_BUCKETS_SECONDS,
    registry=_registry,
)
SLI_DURATIONS = Histogram(
    "apiserver_request_sli_duration_seconds",
    "Response latency without the time spent in webhooks and queues.",
    (*_RESOURCE, "component"),
    buckets=registry.API_BUCKETS_SECONDS,
    registry=_registry,
)
SIZES = Histogram(
    "apiserver_response_sizes",
    "Response sizes in bytes.",
    (*_RESOURCE, "component"),
    buckets=(1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9),
    registry=_registry,
)
INFLIGHT = Gauge("apiserver_current_inflight_requests", "Requests being served.", ("request_kind",), registry=_registry)
LONG_RUNNING = Gauge("apiserver_longrunning_requests", "Watches and followed logs.", (*_RESOURCE, "component"), registry=_registry)
TERMINATIONS = Counter(
    "apiserver_request_terminations_total", "Requests ended in self-defence.", (*_RESOURCE, "component", "code"), registry=_registry
)
REFUSED = Counter("apiserver_dropped_requests_total", "Requests refused with 429.", ("request_kind",), registry=_registry)
OBJECTS = Gauge("apiserver_resource_objects", "Stored objects.", ("group", "resource"), registry=_registry)


class Target(NamedTuple):
    """The labels of one kind of request."""

    verb: str
    group: str
    version: str
    resource: str
    subresource: str
    scope: str


class _Meters(NamedTuple):
    total: Counter
    duration: Callable[[float], None]
    sli_duration: Callable[[float], None]
    size: Callable[[float], None]


_meters: dict[tuple[Target, str, int], _Meters] = {}


def observe(target: Target, dry_run: str, code: int, seconds: float, size_bytes: int) -> None:
    """Count one finished request. Children are kept, for looking them up costs more than counting."""
    key = (target, dry_run, code)
    meters = _meters.get(key)
    if meters is None:
        meters = _meters[key] = _Meters(
            REQUESTS.labels(*target, dry_run, "apiserver", str(code)),
            DURATIONS.labels(*target, dry_run, "apiserver").observe,
            SLI_DURATIONS.labels(*target, "apiserver").observe,
            SIZES.labels(*target, "apiserver").observe,
        )
    meters.total.inc()
    meters.duration(seconds)
    meters.sli_duration(seconds)
    meters.size(size_bytes)
