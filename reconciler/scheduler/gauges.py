"""The scheduler's metrics, under kube-scheduler's names."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from reconciler.metrics import registry

_registry = registry.of("scheduler")
_BUCKETS = registry.FAST_BUCKETS_SECONDS
_SLI_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68)
MAX_ATTEMPTS_LABEL = 15  # as kube-scheduler: "15+" bounds the label

ATTEMPTS = Counter(
    "scheduler_schedule_attempts", "Number of attempts to schedule pods, by the result", ["result", "profile"], registry=_registry
)
ATTEMPT_SECONDS = Histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
    ["result", "profile"],
    buckets=_BUCKETS,
    registry=_registry,
)
ALGORITHM_SECONDS = Histogram(
    "scheduler_scheduling_algorithm_duration_seconds", "Scheduling algorithm latency in seconds", buckets=_BUCKETS, registry=_registry
)
SLI_SECONDS = Histogram(
    "scheduler_pod_scheduling_sli_duration_seconds",
    "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue",
    ["attempts"],
    buckets=_SLI_BUCKETS,
    registry=_registry,
)
EXTENSION_SECONDS = Histogram(
    "scheduler_framework_extension_point_duration_seconds",
    "Latency for running all plugins of a specific extension point (Filter covers scoring and preemption too)",
    ["extension_point", "status", "profile"],
    buckets=_BUCKETS,
    registry=_registry,
)
PENDING = Gauge("scheduler_pending_pods", "Number of pending pods, by the queue type", ["queue"], registry=_registry)
for _queue in ("active", "backoff", "gated", "unschedulable"):
    PENDING.labels(_queue)  # a queue that nobody was in yet has nobody in it
PREEMPTIONS = Counter("scheduler_preemption_attempts", "Total preemption attempts in the cluster till now", registry=_registry)
VICTIMS = Histogram(
    "scheduler_preemption_victims", "Number of selected preemption victims", buckets=(1, 2, 4, 8, 16, 32, 64), registry=_registry
)


# What every pod counts is found once for each combination of labels.


@cache
def attempts(result: str, profile: str) -> Counter:
    return ATTEMPTS.labels(result, profile)


@cache
def attempt_seconds(result: str, profile: str) -> Histogram:
    return ATTEMPT_SECONDS.labels(result, profile)


@cache
def extension_seconds(point: str, status: str, profile: str) -> Histogram:
    return EXTENSION_SECONDS.labels(point, status, profile)


def sli_seconds(attempts: int) -> Histogram:
    return _sli_seconds(min(attempts, MAX_ATTEMPTS_LABEL))


@cache
def _sli_seconds(attempts: int) -> Histogram:
    return SLI_SECONDS.labels(str(attempts) if attempts < MAX_ATTEMPTS_LABEL else f"{MAX_ATTEMPTS_LABEL}+")
