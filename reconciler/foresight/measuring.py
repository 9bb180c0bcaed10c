"""Measures for the autoscalers, and keeps their memories.

Resources are what the nodes of this daemon measure of their pods; all other metrics come from Prometheus, where one is
configured. Each autoscaler asks for its own, once a period; nothing is measured for nobody.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from reconciler.client import protocol
from reconciler.client import usage as uses
from reconciler.controllers import horizontalpodautoscaler, measures
from reconciler.kit import clock as clocks
from reconciler.loop import perform
from reconciler.model import meta, plan, selectors
from reconciler.model.view import View

FAILED = "unable to fetch metrics from {} metrics API: {}"
ABSENT = "the server could not find the requested resource (get {})"
NO_CUSTOM = "no custom metrics API (custom.metrics.k8s.io) registered"
NOTHING_MEASURED = "no metrics returned from resource metrics API"

Wake = Callable[[str, meta.Key], None]


class Reader(Protocol):
    """Where metrics come from that nodes do not measure."""

    async def answer(self, query: measures.Query) -> measures.Answer: ...


class Measuring:
    """Performs `Measure` and `Remember`. `memories` is what the planner reads."""

    def __init__(self, view: View, clock: clocks.Clock, sources: Sequence[uses.Source], reader: Reader | None) -> None:
        self._view, self._clock, self._sources, self._reader = view, clock, sources, reader
        self._memories: dict[meta.Key, measures.Memory] = {}
        self._wake: Wake | None = None

    @property
    def memories(self) -> measures.Memories:
        return self._memories

    def wakes(self, wake: Wake) -> None:
        """Whom to tell of measurements: the driver that plans the autoscalers."""
        self._wake = wake

    def performers(self) -> dict[type, perform.Performer]:
        return {measures.Measure: self._perform, measures.Remember: self._perform}

    async def _perform(self, action: plan.Action, origin: protocol.Origin) -> protocol.Written | None:
        if isinstance(action, measures.Measure):
            answers = await self._answers(action.queries)
            measured = measures.Measurement(self._clock.now(), action.generation, answers)
            before = self._memories.get(action.key) or measures.Memory()
            self._memories[action.key] = replace(before, measured=measured, is_decided=False)
            if self._wake is not None:
                self._wake(horizontalpodautoscaler.NAME, action.key)
        elif isinstance(action, measures.Remember) and action.memory is None:
            self._memories.pop(action.key, None)
        elif isinstance(action, measures.Remember) and action.memory is not None:
            self._memories[action.key] = action.memory
        return None

    async def _answers(self, queries: Iterable[measures.Query]) -> Mapping[measures.Query, measures.Answer]:
        answers = {}
        for query in queries:
            answers[query] = await self._resource(query) if query.source == "resource" else await self._other(query)
        return answers

    async def _other(self, query: measures.Query) -> measures.Answer:
        if self._reader is not None:
            return await self._reader.answer(query)
        if query.source == "external":
            return measures.Answer(error=FAILED.format("external", ABSENT.format(f"{query.metric}.external.metrics.k8s.io")))
        return measures.Answer(error=FAILED.format("custom", NO_CUSTOM))

    async def _resource(self, query: measures.Query) -> measures.Answer:
        if not self._sources:
            return measures.Answer(error=FAILED.format("resource", ABSENT.format("pods.metrics.k8s.io")))
        selector, samples = selectors.parse(query.selector), {}
        for source in self._sources:
            for pod in (pod for node in await source.usage() for pod in node.pods):
                if pod.namespace != query.namespace or not self._is_meant(pod, selector):
                    continue
                parts = [one for one in pod.containers if query.container in ("", one.name)]
                if not parts:
                    return measures.Answer(error=f"container {query.container} not present in metrics for pod {pod.namespace}/{pod.name}")
                milli = sum(_milli(one, query.metric) for one in parts)
                samples[pod.name] = measures.Sample(milli, pod.timestamp, pod.window_seconds)
        return measures.Answer(samples) if samples else measures.Answer(error=NOTHING_MEASURED)

    def _is_meant(self, pod: uses.Pod, selector: selectors.Selector) -> bool:
        obj = self._view.get("pods", pod.namespace, pod.name)
        return obj is not None and meta.uid(obj) == pod.uid and selector.matches(meta.labels(obj))


def _milli(container: uses.Container, resource: str) -> int:
    """Thousandths of a core, or of a byte."""
    if resource == "cpu":
        return -(-container.cpu_nanocores // 10**6)
    return container.memory_working_set_bytes * 1000 if resource == "memory" else 0
