"""Carries the scheduler's decisions out: follows the cache, decides in short steps, binds, evicts, says why not.

Invariants:
- A step decides for at most STEP_SECONDS and begins at most STARTS_A_STEP requests, so that the event loop stays
  free for everybody else.
- A decision is in the table before its request is sent; a refused request takes it back out.
- Of one pod there is one request at a time: a binding waits for the condition that was written before it.
- At most MAX_IN_FLIGHT decisions are being carried out; until one ends no further pod is taken from the queue. Pods
  that wait for their volumes do not count.

What to decide is plan.py's business, who is next the queue's, and what is written actions.py's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop.cache import Cache
from reconciler.model import errors, meta, plan
from reconciler.placement import pods as pod_facts
from reconciler.scheduler import actions, config, gauges, volumes
from reconciler.scheduler import explain as explaining
from reconciler.scheduler import plan as decisions
from reconciler.scheduler.around import Around
from reconciler.scheduler.queue import Place, Queue, Waiting
from reconciler.scheduler.rules import RuleFailed
from reconciler.scheduler.shape import resizing
from reconciler.scheduler.table import Table

log = logging.getLogger(__name__)

STEP_SECONDS = 0.003
STARTS_A_STEP = 24  # requests begun in one step: each costs the API some time before its first wait
MAX_IN_FLIGHT = 128
OVERDUE_CHECK_SECONDS = 30.0

TABLED = ("namespaces", "nodes", "pods")
# Kinds that rules read through the view; a change of theirs spoils kept verdicts and may wake pods.
READ = (
    "services",
    "replicationcontrollers",
    "replicasets.apps",
    "statefulsets.apps",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "csidrivers.storage.k8s.io",
    "csistoragecapacities.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
)
KINDS = (*TABLED, *READ, decisions.BUDGETS)  # what the cache must follow
OWNERS = frozenset(("replicationcontrollers", "replicasets.apps", "statefulsets.apps"))

Emitter = Callable[[plan.Action, protocol.Origin], Awaitable[protocol.Written | None]]


def always_leads() -> bool:
    return True


class Agent:
    """`record` performs Emit actions (loop/events.Recorder.perform); `leads` is asked before every request."""

    def __init__(
        self,
        client: protocol.Client,
        cache: Cache,
        clock: clocks.Clock,
        record: Emitter,
        configuration: config.Configuration | None = None,
        leads: Callable[[], bool] = always_leads,
    ) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._record = record
        self._leads = leads
        settings = configuration or config.default()
        self._profiles = settings.profiles
        self.table = Table()
        rules = {rule.name: rule for profile in self._profiles.values() for rule in profile.filters}
        self.queue = Queue(rules.values(), settings.initial_backoff_seconds, settings.max_backoff_seconds)
        self.planner = decisions.Planner(self.table, Around(cache), self._profiles)
        self._wake = asyncio.Event()
        self._tasks = tasks.Tasks()
        self._in_flight: dict[meta.Key, asyncio.Task[None]] = {}
        self._for_volumes: dict[meta.Key, asyncio.Event] = {}  # pods whose volumes are being bound; set to look again

    async def run(self) -> None:
        """Schedule until cancelled."""
        await self._cache.synced()
        for kinds, follow in ((("namespaces",), self._on_namespace), (("nodes",), self._on_node), (("pods",), self._on_pod)):
            self._cache.subscribe(kinds, follow)
        self._cache.subscribe(READ, self._on_other)
        self._tasks.start(self._watch_time(), "scheduler time")
        self._tasks.start(self._schedule(), "scheduler")
        try:
            await self._tasks.join()
        finally:
            await self.close()

    async def close(self) -> None:
        await self._tasks.close()

    def explain(self, pod: meta.Obj) -> list[str]:
        """Where it stands in the queue, and what filters and scores say of the nodes; nothing for another's pod."""
        profile = self._profiles.get(pod_facts.scheduler_name(pod))
        if profile is None:
            return [f"no profile here is named {pod_facts.scheduler_name(pod)}"]
        if pod_facts.is_over(pod):
            return []
        place = self.queue.explain(meta.key(pod), self._clock.monotonic())
        try:
            found = explaining.explain(self._cache, pod, profile, self.table).lines()
        except RuleFailed as error:
            found = [str(error)]
        return [*([place] if place else []), *found]

    # What the cache tells.

    def _on_namespace(self, _: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        if new is not None:
            self.table.set_namespace(meta.name(new), meta.labels(new))
        elif old is not None:
            self.table.set_namespace(meta.name(old), None)

    def _on_node(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        if new is None:
            if old is not None:
                self.table.remove_node(meta.name(old))
                self._changed(kind, old, new)
        elif self.table.set_node(new):
            self._changed(kind, old, new)

    def _on_pod(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        pod = old if new is None else new
        if pod is None:
            return
        key = meta.key(pod)
        if new is None:
            self.queue.remove(key)
            self.table.remove_pod(key)
            if key in self._for_volumes:
                self._for_volumes[key].set()
        elif pod_facts.node_name(new) or pod_facts.is_over(new):
            self.queue.remove(key)
            self.table.set_pod(new)
        elif meta.is_deleting(new) or pod_facts.scheduler_name(new) not in self._profiles:
            self.queue.remove(key)
            self.table.forget(key)
            return
        else:
            self._put(key, new)
            return
        if pod_facts.node_name(pod) and not _alike(old, new):
            self._changed(kind, old, new)

    def _put(self, key: meta.Key, pod: meta.Obj) -> None:
        held = self.table.held.get(key)
        if held is not None and held.assumed:
            return  # its binding is under way
        shape = self.table.shapes.of(pod)
        nominated = pod_facts.nominated_node(pod)
        if nominated and held is None and not pod_facts.is_gated(pod):
            self.table.nominate(pod, shape, nominated)
        self.queue.put(pod, shape, self._clock.monotonic())
        self._wake.set()

    def _on_other(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        if kind in OWNERS and old is not None and new is not None and meta.generation(old) == meta.generation(new):
            return  # a new status: rules read selectors only
        self._compare_assumptions(kind, old, new)
        self.table.spoil()
        self._changed(kind, old, new)

    def _compare_assumptions(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        """What was assumed of a claim or volume holds until the cache shows it, or that it is gone."""
        obj = old if new is None else new
        if obj is None:
            return
        if kind == volumes.VOLUMES and (new is None or meta.spec(new).get("claimRef")):
            self.table.assumed_volumes.pop(meta.name(obj), None)
        elif kind == volumes.CLAIMS:
            if new is None or volumes.is_bound(new) or volumes.SELECTED_NODE in meta.annotations(new):
                self.table.assumed_claims.pop(meta.key(obj), None)
            for look_again in self._for_volumes.values():
                look_again.set()

    def _changed(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        if self.queue.change(kind, old, new, self._clock.monotonic()):
            self._wake.set()

    # Deciding.

    async def _schedule(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            more = True
            while more:
                more = self._leads() and self._step()
                await asyncio.sleep(0)

    async def _watch_time(self) -> None:
        """Wake the queue when a back-off ends, and now and then for what slept too long."""
        while True:
            now = self._clock.monotonic()
            deadline = self.queue.next_deadline()
            delay_seconds = OVERDUE_CHECK_SECONDS if deadline is None else min(max(deadline - now, 0.05), 1.0)
            await self._clock.sleep(min(delay_seconds, 1.0))
            self.queue.wake_overdue(self._clock.monotonic())
            for look_again in self._for_volumes.values():
                look_again.set()  # for their deadlines
            if self.queue.is_ready(self._clock.monotonic()):
                self._wake.set()
            for place, label in (
                (Place.ACTIVE, "active"),
                (Place.BACKOFF, "backoff"),
                (Place.UNSCHEDULABLE, "unschedulable"),
                (Place.GATED, "gated"),
            ):
                gauges.PENDING.labels(label).set(self.queue.count(place))

    def _step(self) -> bool:
        """Decide for STEP_SECONDS; whether there is more to do right away."""
        start = self._clock.monotonic()
        now = start
        for _ in range(STARTS_A_STEP):
            if now - start >= STEP_SECONDS:
                break
            if len(self._in_flight) - len(self._for_volumes) >= MAX_IN_FLIGHT:
                return False  # the next one to end wakes us
            waiting = self.queue.pop(now)
            if waiting is None:
                return False
            self._decide(waiting)
            now = self._clock.monotonic()
        return self.queue.is_ready(now)

    def _decide(self, waiting: Waiting) -> None:
        start = self._clock.monotonic()
        try:
            decision = self.planner.try_place(waiting.pod, waiting.shape)
        except RuleFailed as error:
            gauges.attempts("error", waiting.shape.scheduler_name).inc()
            self.queue.retry(waiting)
            self._start(waiting, self._explain(decisions.failed(waiting.pod, str(error))))
            return
        if isinstance(decision, decisions.Searching):
            self.queue.resume(waiting)
            return
        seconds = self._clock.monotonic() - start
        profile = waiting.shape.scheduler_name
        gauges.ALGORITHM_SECONDS.observe(seconds)
        if isinstance(decision, decisions.Placed):
            gauges.attempts("scheduled", profile).inc()
            gauges.extension_seconds("Filter", "Success", profile).observe(seconds)
            self._start(waiting, self._bind(waiting, decision))
        else:
            gauges.attempts("unschedulable", profile).inc()
            gauges.extension_seconds("Filter", "Unschedulable", profile).observe(seconds)
            self.queue.sleep(waiting, decision.filters)
            self._start(waiting, self._explain(decision))

    # Carrying out.

    def _start(self, waiting: Waiting, work: Coroutine[Any, Any, None]) -> None:
        key = meta.key(waiting.pod)
        before = self._in_flight.get(key)
        task = self._tasks.start(self._after(before, work) if before is not None else work, f"scheduler {key}")
        self._in_flight[key] = task
        task.add_done_callback(lambda ended: self._ended(key, ended))

    async def _after(self, before: asyncio.Task[None], work: Coroutine[Any, Any, None]) -> None:
        await asyncio.wait((before,))
        await work

    def _ended(self, key: meta.Key, task: asyncio.Task[None]) -> None:
        if self._in_flight.get(key) is task:
            del self._in_flight[key]
        self._wake.set()

    async def _bind(self, waiting: Waiting, placed: decisions.Placed) -> None:
        key = meta.key(placed.pod)
        origin = self._origin(placed.pod)
        action = actions.binding(placed)
        try:
            if placed.choice and not await self._prepare(placed, origin):
                self._take_back(waiting, placed)
                return
            start = self._clock.monotonic()
            await self._client.perform(action, origin)
        except (errors.StatusError, protocol.Unknown, OSError) as error:
            log.info("binding refused", extra={"facts": {"pod": "/".join(key), "node": placed.node, "error": error}})
            if self._take_back(waiting, placed):
                await self._explain(decisions.failed(waiting.pod, f'running Bind plugin "DefaultBinder": {error}'))
            return
        if action.announce is not None:
            await self._record(action.announce, origin)
        now = self._clock.monotonic()
        gauges.extension_seconds("Bind", "Success", waiting.shape.scheduler_name).observe(now - start)
        gauges.attempt_seconds("scheduled", waiting.shape.scheduler_name).observe(now - waiting.tried_at)
        gauges.sli_seconds(waiting.attempts).observe(now - waiting.first_seen)

    async def _prepare(self, placed: decisions.Placed, origin: protocol.Origin) -> bool:
        """Have the volumes bound; False if that cannot be, or takes too long."""
        for action in actions.preparations(placed):
            await self._client.perform(action, origin)
        key = meta.key(placed.pod)
        look_again = self._for_volumes[key] = asyncio.Event()
        deadline = self._clock.monotonic() + self._profiles[pod_facts.scheduler_name(placed.pod)].volumes_seconds
        self._wake.set()  # one fewer in flight
        try:
            while self._cache.get("pods", *key) is not None and self._clock.monotonic() < deadline:
                outcome = self._volumes_bound(placed)
                if outcome is not None:
                    return outcome
                await look_again.wait()
                look_again.clear()
        finally:
            del self._for_volumes[key]
        return False

    def _volumes_bound(self, placed: decisions.Placed) -> bool | None:
        """None while some claim is still on its way; False if the provisioner gave the node up."""
        for claim in (*(claim for _, claim in placed.choice.bindings), *placed.choice.provisions):
            current = self._cache.get(volumes.CLAIMS, *meta.key(claim))
            if current is None or meta.is_deleting(current):
                return False
            if not volumes.is_bound(current):
                asked = claim in placed.choice.provisions and meta.key(claim) not in self.table.assumed_claims
                return False if asked and meta.annotations(current).get(volumes.SELECTED_NODE) != placed.node else None
        return True

    def _take_back(self, waiting: Waiting, placed: decisions.Placed) -> bool:
        """The pod is not on the node after all: try again if it is still there and still without one; whether it is."""
        key = meta.key(placed.pod)
        self.planner.take_back(placed)
        current = self._cache.get("pods", *key)
        if current is None or pod_facts.node_name(current) or meta.is_deleting(current) or meta.uid(current) != meta.uid(waiting.pod):
            return False
        waiting.pod, waiting.shape = current, self.table.shapes.of(current)
        if key not in self.queue:
            self.queue.retry(waiting)
        return True

    async def _explain(self, refused: decisions.Refused) -> None:
        """Say why, evict the victims, and try the pod again once they are on their way out."""
        pod = refused.pod
        origin = self._origin(pod)
        now = clocks.rfc3339(self._clock.now())
        await self._record(actions.refusal_event(refused), origin)
        status = actions.refusal_status(refused, now)
        if status is not None:
            await self._perform(status, origin)
        for other in refused.displaced:
            await self._perform(actions.withdrawal(other), origin)
        if not refused.victims or refused.nominated is None:
            return
        gauges.PREEMPTIONS.inc()
        gauges.VICTIMS.observe(len(refused.victims))
        for victim in refused.victims:
            for action in actions.eviction(victim, pod_facts.scheduler_name(pod), now):
                await self._perform(action, origin)
            await self._record(actions.eviction_event(victim, pod, refused.nominated), origin)
        self.queue.activate(meta.key(pod))

    async def _perform(self, action: plan.ApiAction, origin: protocol.Origin) -> None:
        """One request whose failure costs nothing but the request: the next attempt will see what became of it."""
        try:
            await self._client.perform(action, origin)
        except (errors.StatusError, protocol.Unknown, OSError) as error:
            log.info("request refused", extra={"facts": {"why": action.why, "error": error}})

    @staticmethod
    def _origin(pod: meta.Obj) -> protocol.Origin:
        return protocol.Origin(actor=f"scheduler/{pod_facts.scheduler_name(pod)}", cause=meta.revision(pod))


def _alike(old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """Whether two states of a pod are the same to all rules, as most are that a node reports; a short cut."""
    if old is None or new is None:
        return False
    if meta.spec(old) is not meta.spec(new) or meta.labels(old) != meta.labels(new) or pod_facts.is_over(old) != pod_facts.is_over(new):
        return False
    return meta.is_deleting(old) == meta.is_deleting(new) and resizing(old) == resizing(new)
