"""Performs the plans of all controllers.

Invariants:
- A key has one plan in flight. Keys of one controller run concurrently up to its bound.
- Gate: a key is not planned again before the cache holds everything that the key last wrote, per kind written.
  After an unknown outcome that is the revision of a fresh quorum read of the kind.
- A create is held until the cache of its kind is as new as the object it is made for, so that a leader which lags
  in one kind does not make again what another one made. Controllers that count (is_causal) hold every plan so.
- A plan that fails is dropped and planned afresh with back-off; a planner that raises costs its key only.
- A key whose plan is expensive rests before changes may wake it again, so that no key takes more than a twentieth
  of the loop. Partial plans (again_at = now) do not rest.

Decides nothing itself and reads no object but for a gate. How one plan is performed is loop/perform.py.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import Counter, Histogram

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop import leader, perform
from reconciler.loop.cache import Cache, Subscriber
from reconciler.loop.queue import Queue
from reconciler.metrics import registry
from reconciler.model import errors, meta, plan

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.002  # planning goes on for so long before others get the loop,
SLICE_PLANS = 200  # or for so many plans
REST_FACTOR = 19  # a key rests this many times as long as its plan took
CLOCK_CHECK_SECONDS = 30.0  # how soon a jump of the wall clock is noticed
GATE_RETRY_SECONDS = 1.0
NUDGE_SECONDS = 1.0  # how long a key waits for the cache before the cache is asked to look
CHEAP_SECONDS = 0.001  # a plan that took less needs no rest
NEVER = float("inf")

_metrics = registry.of("controllers")
RECONCILES = Counter("controller_runtime_reconcile", "Reconciliations per controller", ["controller", "result"], registry=_metrics)
ERRORS = Counter("controller_runtime_reconcile_errors", "Reconciliation errors per controller", ["controller"], registry=_metrics)
TIMES = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "Time per reconciliation, plan and actions",
    ["controller"],
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_metrics,
)
PLANNING = Histogram(
    "reconciler_plan_duration_seconds",
    "Time that a planner took for one plan",
    ["controller"],
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_metrics,
)
OVER_BUDGET = Counter("reconciler_plans_over_budget", "Plans that took longer than their budget", ["controller"], registry=_metrics)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a key is where it is: what would be done now, and what holds it."""

    controller: str
    key: meta.Key
    plan: plan.Plan
    in_flight: bool
    failures: int
    error: str  # of the last failure, "" after a success
    gate: Mapping[str, int]  # kind -> revision that the cache has yet to reach
    again_at: float | None  # seconds since the epoch


@dataclass(slots=True)
class _State:
    """What is remembered of one key between its plans; dropped when there is nothing to remember."""

    cause: int = 0  # revision of the newest change that woke the key
    gate: dict[str, int] = field(default_factory=dict)
    again_at: float | None = None
    rest_until: float = 0.0  # monotonic
    error: str = ""
    in_flight: bool = False
    parked: bool = False

    def is_blank(self, now: float) -> bool:
        busy = self.in_flight or self.parked or self.rest_until > now
        return not (busy or self.gate or self.error or self.again_at is not None)


class _Loop:
    """One controller's queue, keys and metrics."""

    def __init__(self, controller: plan.Controller, clock: clocks.Clock) -> None:
        self.controller = controller
        self.queue = Queue(controller.name, clock)
        self.states: dict[meta.Key, _State] = {}
        self.in_flight = 0
        self.results = {r: RECONCILES.labels(controller.name, r) for r in ("success", "error", "requeue", "requeue_after")}
        self.errors = ERRORS.labels(controller.name)
        self.times = TIMES.labels(controller.name)
        self.planning = PLANNING.labels(controller.name)
        self.over_budget = OVER_BUDGET.labels(controller.name)

    def state(self, key: meta.Key) -> _State:
        state = self.states.get(key)
        if state is None:
            state = self.states[key] = _State()
        return state


class Driver:
    """Plans what changes wake, performs what is planned.

    `performers` says who performs which action type: loop/perform.Api for the API's own, loop/events.Recorder for
    Emit, and whatever an agent adds. `actor` begins the provenance: "controller/replicaset-controller".
    """

    def __init__(
        self,
        client: protocol.Client,
        cache: Cache,
        clock: clocks.Clock,
        performers: Mapping[type, perform.Performer],
        *,
        leadership: leader.Leadership | None = None,
        actor: str = "controller",
    ) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._performers = dict(performers)
        self._leadership = leadership or leader.Alone()
        self._actor = actor
        self._loops: dict[str, _Loop] = {}
        self._woken = asyncio.Event()
        self._tasks = tasks.Tasks()
        self._sequence = itertools.count()
        self._parked: dict[str, list[tuple[int, int, _Loop, meta.Key]]] = {}  # kind -> heap by revision
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = NEVER  # monotonic
        self._clock_offset = clock.now() - clock.monotonic()
        cache.on_advance(self._unpark)

    def add(self, controller: plan.Controller) -> None:
        """Drive `controller` from now on, beginning with every object that the cache has."""
        if controller.name in self._loops:
            raise ValueError(f"two controllers are named {controller.name}")
        loop = self._loops[controller.name] = _Loop(controller, self._clock)
        if controller.kind:
            self._cache.subscribe([controller.kind], self._of_itself(loop))
        for kind, follow in sorted(controller.follows.items()):
            self._cache.subscribe([kind], self._of_other(loop, follow))

    def wake(self, name: str, key: meta.Key, cause: int = 0) -> None:
        """Plan `key` of the controller `name` soon; for facts that no object carries."""
        self._add(self._loops[name], key, cause)

    async def run(self) -> None:
        """Plan and perform until cancelled."""
        await self._cache.synced()
        self._tasks.start(self._plan_forever(), f"driver {self._actor}")
        try:
            await self._tasks.join()
        finally:
            await self._tasks.close()

    async def close(self) -> None:
        await self._tasks.close()

    @property
    def controllers(self) -> Iterable[plan.Controller]:
        return [loop.controller for loop in self._loops.values()]

    @property
    def is_idle(self) -> bool:
        """Nothing is planned, performed, held or due but for deadlines."""
        held = any(heap for heap in self._parked.values())
        return not held and all(loop.in_flight == 0 and len(loop.queue) == 0 for loop in self._loops.values())

    def explain(self, name: str, key: meta.Key) -> Explanation:
        """What the controller `name` would do for `key` now, and what keeps it from doing so."""
        loop = self._loops[name]
        state = loop.states.get(key) or _State()
        return Explanation(
            controller=name,
            key=key,
            plan=loop.controller.plan(self._cache, key, self._clock.now()),
            in_flight=state.in_flight,
            failures=loop.queue.failures(key),
            error=state.error,
            gate=self._unmet(state.gate),
            again_at=self._due(loop, key),
        )

    def _due(self, loop: _Loop, key: meta.Key) -> float | None:
        deadline = loop.queue.deadline(key)
        return None if deadline is None else deadline + self._clock.now() - self._clock.monotonic()

    def find(self, kind: str, key: meta.Key) -> list[Explanation]:
        """An explanation from each controller that plans objects of `kind`, and from those of several kinds that have one."""
        found = []
        for name, loop in self._loops.items():
            controller = loop.controller
            if controller.kind == kind:
                found.append(self.explain(name, key))
            elif not controller.kind and (plan.EVERY_KIND in controller.follows or kind in controller.follows):
                place = (f"{kind}/{key[0]}", key[1]) if plan.EVERY_KIND in controller.follows else key
                shared = self.explain(name, place)
                found += [shared] if shared.plan != plan.NOTHING else []
        return found

    # What wakes a key.

    def _of_itself(self, loop: _Loop) -> Subscriber:
        gather_seconds = loop.controller.gather_seconds

        def changed(kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
            obj = new if new is not None else old
            if obj is not None:
                waits = gather_seconds and old is not None and new is not None and _asks_the_same(old, new)
                self._add(loop, meta.key(obj), self._cache.revision(kind), gather_seconds if waits else 0.0)

        return changed

    def _of_other(self, loop: _Loop, follow: plan.Follow) -> Subscriber:
        cache, gather_seconds = self._cache, loop.controller.gather_seconds

        def changed(kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
            for key in follow(cache, old, new):
                self._add(loop, key, cache.revision(kind), gather_seconds)

        return changed

    def _add(self, loop: _Loop, key: meta.Key, cause: int, gather_seconds: float = 0.0) -> None:
        state = loop.state(key)
        state.cause = max(state.cause, cause)
        delay_seconds = max(loop.controller.delay_seconds, gather_seconds)
        if delay_seconds:
            self._add_at(loop, key, self._clock.monotonic() + delay_seconds)
        else:
            loop.queue.add(key)
            self._woken.set()

    def _add_at(self, loop: _Loop, key: meta.Key, deadline: float) -> None:
        loop.queue.add_at(key, deadline)
        self._set_alarm(deadline)

    def _set_alarm(self, deadline: float) -> None:
        """Ring at `deadline`; meanwhile look from time to time whether the wall clock jumped."""
        if deadline == NEVER:
            return
        deadline = min(deadline, self._clock.monotonic() + CLOCK_CHECK_SECONDS)
        if deadline < self._alarm_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = deadline
            self._alarm = self._tasks.start(self._ring(deadline), f"driver alarm {self._actor}")

    async def _ring(self, deadline: float) -> None:
        await self._clock.sleep(deadline - self._clock.monotonic())
        self._alarm, self._alarm_at = None, NEVER
        self._follow_clock()
        for loop in self._loops.values():
            loop.queue.promote()
        self._woken.set()
        deadlines = [loop.queue.next_deadline() for loop in self._loops.values()]
        self._set_alarm(min((d for d in deadlines if d is not None), default=NEVER))

    def _follow_clock(self) -> None:
        """When the wall clock jumped, again_at means another moment of the monotonic clock."""
        offset = self._clock.now() - self._clock.monotonic()
        if abs(offset - self._clock_offset) < 1:
            return
        self._clock_offset = offset
        for loop in self._loops.values():
            for key, state in loop.states.items():
                if state.again_at is not None:
                    loop.queue.cancel(key)
                    loop.queue.add_at(key, state.again_at - offset)

    # What holds a key.

    def _unmet(self, gate: Mapping[str, int]) -> dict[str, int]:
        cache = self._cache
        return {kind: revision for kind, revision in gate.items() if cache.has(kind) and cache.revision(kind) < revision}

    def _park(self, loop: _Loop, key: meta.Key, kind: str, revision: int) -> None:
        loop.state(key).parked = True
        if not self._parked.get(kind):
            self._tasks.start(self._nudge(kind), f"driver nudge {kind}")
        heapq.heappush(self._parked.setdefault(kind, []), (revision, next(self._sequence), loop, key))

    async def _nudge(self, kind: str) -> None:
        """A watch of a quiet kind does not say that nothing happened: then the cache has to ask."""
        await self._clock.sleep(NUDGE_SECONDS)
        while self._parked.get(kind):
            await self._cache.refresh(kind)
            await self._clock.sleep(NUDGE_SECONDS)

    def _unpark(self) -> None:
        for kind, heap in self._parked.items():
            reached = self._cache.revision(kind) if self._cache.has(kind) else 2**63
            while heap and heap[0][0] <= reached:
                _, _, loop, key = heapq.heappop(heap)
                loop.state(key).parked = False
                loop.queue.add(key)
                self._woken.set()

    def _is_held(self, loop: _Loop, key: meta.Key, state: _State) -> bool:
        """Whether `key` must wait; then it has been arranged that it is taken up again."""
        if state.parked:
            return True
        state.gate = self._unmet(state.gate)
        for kind, revision in state.gate.items():
            self._park(loop, key, kind, revision)
            return True
        if state.rest_until > self._clock.monotonic():
            self._add_at(loop, key, state.rest_until)
            return True
        return False

    def _outruns_cache(self, loop: _Loop, key: meta.Key, wanted: plan.Plan) -> tuple[str, int] | None:
        """The (kind, revision) that the cache must reach before `wanted` is safe."""
        kinds = {action.kind for action in wanted.actions if isinstance(action, plan.Create)}
        if loop.controller.is_causal and wanted.groups:
            kinds |= loop.controller.follows.keys()
        owner_kind = loop.controller.kind
        if not kinds or not self._cache.has(owner_kind):
            return None
        owner = self._cache.get(owner_kind, *key)
        revision = meta.revision(owner) if owner is not None else 0
        return next((found for found in self._unmet(dict.fromkeys(sorted(kinds), revision)).items()), None)

    # Planning and performing.

    async def _plan_forever(self) -> None:
        while True:
            await self._woken.wait()
            await self._leadership.gained()
            self._woken.clear()
            await self._plan_ready()

    async def _plan_ready(self) -> None:
        """Plan keys of all controllers in turn until none is ready."""
        started, planned = self._clock.monotonic(), 0
        progress = True
        while progress:
            progress = False
            for loop in list(self._loops.values()):
                if loop.in_flight >= loop.controller.concurrency:
                    continue
                key = loop.queue.take()
                if key is None:
                    continue
                progress = True
                self._work(loop, key)
                planned += 1
                if planned >= SLICE_PLANS or self._clock.monotonic() - started > SLICE_SECONDS:
                    await asyncio.sleep(0)
                    started, planned = self._clock.monotonic(), 0

    def _work(self, loop: _Loop, key: meta.Key) -> None:
        state = loop.state(key)
        if self._is_held(loop, key, state):
            loop.queue.done(key)
            return
        loop.queue.cancel(key)
        started = self._clock.monotonic()
        try:
            wanted = loop.controller.plan(self._cache, key, self._clock.now())
        except Exception as error:
            log.exception("planner failed", extra={"facts": {"controller": loop.controller.name, "key": "/".join(key)}})
            self._finish(loop, key, plan.NOTHING, perform.Outcome(failure=error), started)
            return
        self._account(loop, state, wanted, self._clock.monotonic() - started)
        hold = self._outruns_cache(loop, key, wanted)
        if hold is not None:
            self._park(loop, key, *hold)
            loop.queue.done(key)
        elif wanted.groups:
            state.in_flight = True
            loop.in_flight += 1
            self._tasks.start(self._perform(loop, key, _bounded(wanted), started), f"{loop.controller.name} {'/'.join(key)}")
        else:
            self._finish(loop, key, wanted, perform.Outcome(), started)

    def _account(self, loop: _Loop, state: _State, wanted: plan.Plan, took_seconds: float) -> None:
        loop.planning.observe(took_seconds)
        if took_seconds > plan.BUDGET_SECONDS:
            loop.over_budget.inc()
        if took_seconds > CHEAP_SECONDS and (wanted.again_at is None or wanted.again_at > self._clock.now()):
            state.rest_until = self._clock.monotonic() + REST_FACTOR * took_seconds

    async def _perform(self, loop: _Loop, key: meta.Key, wanted: plan.Plan, started: float) -> None:
        state = loop.states[key]
        origin = protocol.Origin(actor=f"{self._actor}/{loop.controller.name}", cause=state.cause)
        outcome = await perform.Performance(self._performers, self._leadership.leads, origin).run(wanted)
        for kind in sorted(outcome.unsure):
            outcome.written[kind] = max(await self._newest_revision(kind), outcome.written.get(kind, 0))
        state.gate = {kind: revision for kind, revision in outcome.written.items() if kind}
        state.in_flight = False
        loop.in_flight -= 1
        self._finish(loop, key, wanted, outcome, started)
        self._woken.set()

    async def _newest_revision(self, kind: str) -> int:
        """The journal's revision now, from a quorum read that sees every write that happened before it."""
        while True:
            try:
                return (await self._client.list(kind, query=protocol.Query(limit=1))).revision
            except (errors.StatusError, protocol.Unknown, OSError):
                await self._clock.sleep(GATE_RETRY_SECONDS)

    def _finish(self, loop: _Loop, key: meta.Key, wanted: plan.Plan, outcome: perform.Outcome, started: float) -> None:
        state = loop.states[key]
        loop.times.observe(self._clock.monotonic() - started)
        state.again_at = None
        if outcome.failure is not None:
            self._failed(loop, key, state, outcome)
        else:
            state.error = ""
            loop.queue.forgive(key)
            self._again(loop, key, state, wanted)
        loop.queue.done(key)
        if state.is_blank(self._clock.monotonic()):
            del loop.states[key]

    def _failed(self, loop: _Loop, key: meta.Key, state: _State, outcome: perform.Outcome) -> None:
        failure = outcome.failure
        state.error = str(failure) or type(failure).__name__
        if outcome.hopeless:
            loop.results["success"].inc()
            return
        loop.results["requeue" if perform.is_outdated(failure) else "error"].inc()
        if not perform.is_outdated(failure):
            loop.errors.inc()
            facts = {"controller": loop.controller.name, "key": "/".join(key), "error": state.error}
            log.info("plan failed", extra={"facts": facts})
        loop.queue.back_off(key)
        deadline = loop.queue.deadline(key)
        if deadline is not None:
            self._set_alarm(deadline)

    def _again(self, loop: _Loop, key: meta.Key, state: _State, wanted: plan.Plan) -> None:
        if wanted.again_at is None:
            loop.results["success"].inc()
            return
        delay_seconds = wanted.again_at - self._clock.now()
        if delay_seconds <= 0:
            loop.results["requeue"].inc()
            loop.queue.add(key)
            self._woken.set()
        else:
            loop.results["requeue_after"].inc()
            state.again_at = wanted.again_at
            self._add_at(loop, key, self._clock.monotonic() + delay_seconds)


def _asks_the_same(old: meta.Obj, new: meta.Obj) -> bool:
    return meta.generation(old) == meta.generation(new) and meta.is_deleting(old) == meta.is_deleting(new)


def _bounded(wanted: plan.Plan) -> plan.Plan:
    """At most MAX_CREATES creates; what is cut off is planned at once afterwards."""
    room = plan.MAX_CREATES
    groups: list[tuple[plan.Action, ...]] = []
    for group in wanted.groups:
        creates = sum(isinstance(action, plan.Create) for action in group)
        if creates > room:
            kept = [action for action in group if not isinstance(action, plan.Create)]
            kept += list(itertools.islice((action for action in group if isinstance(action, plan.Create)), room))
            return plan.plan_of(*groups, kept, again_at=0.0, waiting_on=wanted.waiting_on)
        room -= creates
        groups.append(group)
    return wanted
