"""What a node shows to Prometheus: kubelet_* and cAdvisor's container_*, from the runtime's own picture.

Usage is read from the control groups when somebody scrapes, in a thread and at most every few seconds; a scrape
shows the reading before it.
"""

import asyncio
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, UnknownMetricFamily
from prometheus_client.registry import Collector

from reconciler.kit import tasks
from reconciler.metrics import registry
from reconciler.model import meta
from reconciler.node import machine
from reconciler.node.eviction import choice
from reconciler.node.runtimes import types

REFRESH_SECONDS = 5.0
_kubelet = registry.of("kubelet")
OPERATIONS = Counter(
    "kubelet_runtime_operations", "Cumulative number of runtime operations by operation type.", ["operation_type"], registry=_kubelet
)
OPERATION_ERRORS = Counter(
    "kubelet_runtime_operations_errors",
    "Cumulative number of runtime operation errors by operation type.",
    ["operation_type"],
    registry=_kubelet,
)
OPERATION_SECONDS = Histogram(
    "kubelet_runtime_operations_duration_seconds",
    "Duration in seconds of runtime operations. Broken down by operation type.",
    ["operation_type"],
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_kubelet,
)
POD_START_SECONDS = Histogram(
    "kubelet_pod_start_duration_seconds",
    "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_kubelet,
)
POD_WORKER_SECONDS = Histogram(
    "kubelet_pod_worker_duration_seconds",
    "Duration in seconds to sync a single pod. Broken down by operation type.",
    ["operation_type"],
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_kubelet,
)
# The runtime pushes what happens; taking in one such report is what a relist is to a kubelet that polls.
RELIST_SECONDS = Histogram(
    "kubelet_pleg_relist_duration_seconds",
    "Duration in seconds for taking in what the runtime reports of a pod.",
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_kubelet,
)
RELIST_INTERVAL_SECONDS = Histogram(
    "kubelet_pleg_relist_interval_seconds",
    "Interval in seconds between two reports of the runtime.",
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_kubelet,
)

_evictions = dict.fromkeys(choice.SIGNALS, 0)

_GAUGES: tuple[tuple[str, str, Callable[[types.Usage], float | None]], ...] = (
    ("container_memory_working_set_bytes", "Current working set of the container in bytes", lambda u: u.memory_working_set_bytes),
    ("container_memory_rss", "Size of RSS in bytes", lambda u: u.memory_rss_bytes),
    ("container_memory_cache", "Number of bytes of page cache memory", lambda u: u.memory_cache_bytes),
    ("container_memory_swap", "Container swap usage in bytes", lambda u: u.memory_swap_bytes),
)
_COUNTERS: tuple[tuple[str, str, Callable[[types.Usage], float | None]], ...] = (
    ("container_cpu_usage_seconds", "Cumulative cpu time consumed", lambda u: u.cpu_seconds),
    ("container_cpu_cfs_periods", "Number of elapsed enforcement period intervals", lambda u: u.cfs_periods),
    ("container_cpu_cfs_throttled_periods", "Number of throttled period intervals", lambda u: u.cfs_throttled_periods),
    ("container_fs_reads_bytes", "Cumulative count of bytes read", lambda u: u.read_bytes),
    ("container_fs_writes_bytes", "Cumulative count of bytes written", lambda u: u.write_bytes),
)
_TRAFFIC: tuple[tuple[str, str, Callable[[machine.Traffic], int]], ...] = (
    ("container_network_receive_bytes", "Cumulative count of bytes received", lambda t: t.receive_bytes),
    ("container_network_receive_packets", "Cumulative count of packets received", lambda t: t.receive_packets),
    ("container_network_receive_packets_dropped", "Packets dropped while receiving", lambda t: t.receive_packets_dropped),
    ("container_network_transmit_bytes", "Cumulative count of bytes transmitted", lambda t: t.transmit_bytes),
    ("container_network_transmit_packets", "Cumulative count of packets transmitted", lambda t: t.transmit_packets),
    ("container_network_transmit_packets_dropped", "Packets dropped while transmitting", lambda t: t.transmit_packets_dropped),
)
_VOLUMES = (
    ("capacity_bytes", "Capacity in bytes of the volume"),
    ("available_bytes", "Number of available bytes in the volume"),
    ("used_bytes", "Number of used bytes in the volume"),
    ("inodes", "Maximum number of inodes in the volume"),
    ("inodes_free", "Number of free inodes in the volume"),
    ("inodes_used", "Number of used inodes in the volume"),
)
SANDBOX = "POD"  # cAdvisor's name for what a pod's containers share, its network


def count_eviction(signal: str) -> None:
    """In kubelet_evictions: a counter without the suffix that counters have, so it is shown without a type."""
    _evictions[signal] += 1


class NodeMetrics:
    """Registers itself with the registries of kubelet and cadvisor for as long as the agent runs."""

    def __init__(self, node: str, runtime: types.Runtime, claims: Callable[[], Mapping[meta.Key, str]]) -> None:
        self._node = node
        self._runtime = runtime
        self._claims = claims  # (namespace, name) of a claim -> its folder
        self._usage: list[tuple[tuple[str, str, str, str], types.Usage]] = []
        self._traffic: list[tuple[tuple[str, str, str, str], machine.Traffic]] = []
        self._read_at = float("-inf")
        self._tasks: tasks.Tasks | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._collectors: tuple[Collector, Collector] = (_Collector(self._kubelet), _Collector(self._cadvisor))

    def register(self, running: tasks.Tasks) -> None:
        self._tasks, self._loop = running, asyncio.get_running_loop()
        for name, collector in zip(("kubelet", "cadvisor"), self._collectors, strict=True):
            registry.of(name).register(collector)

    def close(self) -> None:
        if self._loop is None:
            return
        self._loop = None
        for name, collector in zip(("kubelet", "cadvisor"), self._collectors, strict=True):
            registry.of(name).unregister(collector)

    def _kubelet(self) -> Iterator[Metric]:
        yield _gauge("kubelet_node_name", "The node's name. The count is always 1.", ["node"], [((self._node,), 1.0)])
        sandboxes = self._runtime.sandboxes().values()
        yield _gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox", [], [((), sum(s.ready for s in sandboxes))])
        states = Counts(c.state for s in sandboxes for c in s.containers)
        samples = [((state,), float(states[state])) for state in sorted({"running", "exited", *states})]
        yield _gauge("kubelet_running_containers", "Number of containers currently running", ["container_state"], samples)
        evictions = UnknownMetricFamily(
            "kubelet_evictions", "Cumulative number of pod evictions by eviction signal", labels=["eviction_signal"]
        )
        for signal, count in _evictions.items():
            evictions.add_metric([signal], count)
        yield evictions
        found = [(claim, machine.filesystem(Path(folder))) for claim, folder in sorted(self._claims().items())]
        labels = ["namespace", "persistentvolumeclaim"]
        for name, help_text in _VOLUMES:
            yield _gauge(f"kubelet_volume_stats_{name}", help_text, labels, [(claim, one[name]) for claim, one in found if one])

    def _cadvisor(self) -> Iterator[Metric]:
        now = time.monotonic()
        if now - self._read_at >= REFRESH_SECONDS and self._loop is not None:
            self._read_at = now
            self._loop.call_soon_threadsafe(self._refresh)
        labels = ["namespace", "pod", "container", "image"]
        for name, help_text, of in _GAUGES:
            yield _gauge(name, help_text, labels, [(who, value) for who, usage in self._usage if (value := of(usage)) is not None])
        for name, help_text, of in _COUNTERS:
            family = CounterMetricFamily(name, help_text, labels=labels)
            for who, usage in self._usage:
                value = of(usage)
                if value is not None:
                    family.add_metric(who, value)
            yield family
        for name, help_text, count in _TRAFFIC:
            family = CounterMetricFamily(name, help_text, labels=[*labels, "interface"])
            for who, traffic in self._traffic:
                family.add_metric([*who, traffic.interface], count(traffic))
            yield family

    def _refresh(self) -> None:
        if self._tasks is not None:
            self._tasks.start(self._read(), "usage of containers")

    async def _read(self) -> None:
        found, networks = [], []
        for uid, sandbox in list(self._runtime.sandboxes().items()):
            usage = await self._runtime.usage(uid)
            images = {c.name: c.image for c in sandbox.containers}
            found += [((sandbox.namespace, sandbox.name, name, images.get(name, "")), one) for name, one in usage.items()]
            if sandbox.ready and sandbox.pid:
                who = sandbox.namespace, sandbox.name, SANDBOX, SANDBOX.lower()
                networks += [(who, one) for one in await asyncio.to_thread(machine.traffic, sandbox.pid)]
        self._usage, self._traffic = found, networks


class _Collector(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()

    def describe(self) -> Iterator[Metric]:
        return iter(())


def _gauge(name: str, help_text: str, labels: list[str], samples: Sequence[tuple[Sequence[str], float]]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
