"""Probing the running containers: startup first, then liveness and readiness, each on its own period.

One task a probe of one attempt; it ends with the container, or when liveness gives up. Periods start with the
container and have no jitter. What comes of it goes into the pod's observation; what that means is plan.py's.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from prometheus_client import Counter

from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.metrics import registry
from reconciler.model import meta
from reconciler.node import lifecycle, observed

log = logging.getLogger(__name__)

ProbeType = Literal["startup", "liveness", "readiness"]
TYPES: tuple[ProbeType, ...] = ("startup", "liveness", "readiness")
PROBES = Counter(
    "prober_probe_total",
    "Cumulative number of a liveness, readiness or startup probe for a container by result",
    ["probe_type", "result", "container", "pod", "namespace", "pod_uid"],
    registry=registry.of("kubelet"),
)

Update = Callable[[str, observed.Attempt, observed.Probed], None]  # pod uid, attempt, what is known now
Unhealthy = Callable[[meta.Obj, str, str], None]  # pod, container name, message of the event


class Prober:
    def __init__(self, asker: lifecycle.Asker, clock: clocks.Clock, update: Update, unhealthy: Unhealthy) -> None:
        self._asker = asker
        self._clock = clock
        self._update = update
        self._unhealthy = unhealthy
        self._tasks = tasks.Tasks()
        self._probed: dict[tuple[str, observed.Attempt], _Container] = {}

    def begin(self, target: lifecycle.Target, attempt: observed.Attempt, started_at: float, known: observed.Probed | None) -> None:
        """Probe a container that runs; `known` is what a daemon before this one found out."""
        key = meta.uid(target.pod), attempt
        if key in self._probed or not has_probes(target.container):
            return
        container = self._probed[key] = _Container(target, attempt, known or initially(target.container))
        self._update(key[0], attempt, container.state)
        for kind in TYPES:
            if f"{kind}Probe" in target.container:
                wait = started_at - self._clock.now()
                container.running.append(self._tasks.start(self._probe(container, kind, wait), f"{kind} probe of {'/'.join(key[0:1])}"))

    def end(self, uid: str, attempt: observed.Attempt | None = None) -> None:
        """Stop probing an attempt, or all of a pod."""
        for key in [key for key in self._probed if key[0] == uid and attempt in (None, key[1])]:
            for task in self._probed.pop(key).running:
                task.cancel()

    def attempts(self, uid: str) -> list[observed.Attempt]:
        return [attempt for pod, attempt in self._probed if pod == uid]

    async def close(self) -> None:
        await self._tasks.close()

    async def _probe(self, container: "_Container", kind: ProbeType, wait_seconds: float) -> None:
        probe: Mapping[str, Any] = container.target.container[f"{kind}Probe"]
        await self._clock.sleep(wait_seconds + float(probe.get("initialDelaySeconds") or 0))
        if kind != "startup":
            await container.has_started.wait()
        successes = failures = 0
        while True:
            verdict = await self._asker.ask(container.target, probe, float(probe.get("timeoutSeconds") or 1))
            self._count(container, kind, verdict)
            if verdict.passed:
                successes, failures = successes + 1, 0
                if successes >= int(probe.get("successThreshold") or 1):
                    self._passed(container, kind)
                    if kind == "startup":
                        return
            else:
                successes, failures = 0, failures + 1
                self._unhealthy(
                    container.target.pod, container.target.container["name"], f"{kind.capitalize()} probe failed: {verdict.output}"
                )
                if failures >= int(probe.get("failureThreshold") or 3):
                    self._failed(container, kind)
                    if kind != "readiness":
                        return
            await self._clock.sleep(float(probe.get("periodSeconds") or 10))

    def _passed(self, container: "_Container", kind: ProbeType) -> None:
        if kind == "startup":
            container.has_started.set()
            self._change(container, started=True)
        elif kind == "readiness":
            self._change(container, ready=True)

    def _failed(self, container: "_Container", kind: ProbeType) -> None:
        if kind == "readiness":
            self._change(container, ready=False)
        else:
            self._change(container, alive=False, why=kind)

    def _change(self, container: "_Container", **changes: Any) -> None:
        state = dataclasses.replace(container.state, **changes)
        if state != container.state:
            container.state = state
            self._update(meta.uid(container.target.pod), container.attempt, state)

    def _count(self, container: "_Container", kind: ProbeType, verdict: lifecycle.Verdict) -> None:
        pod, name = container.target.pod, container.target.container["name"]
        result = "successful" if verdict.passed else "failed"
        PROBES.labels(kind.capitalize(), result, name, meta.name(pod), meta.namespace(pod), meta.uid(pod)).inc()


class _Container:
    def __init__(self, target: lifecycle.Target, attempt: observed.Attempt, state: observed.Probed) -> None:
        self.target = target
        self.attempt = attempt
        self.state = state
        self.running: list[asyncio.Task[None]] = []
        self.has_started = asyncio.Event()
        if state.started:
            self.has_started.set()


def has_probes(container: Mapping[str, Any]) -> bool:
    return any(f"{kind}Probe" in container for kind in TYPES)


def initially(container: Mapping[str, Any]) -> observed.Probed:
    """Before the first answer a container with a startup probe has not started, one with a readiness probe is not ready."""
    return observed.Probed(started="startupProbe" not in container, ready="readinessProbe" not in container)
