"""Simulates nodes: registers its own, adopts every other Node object, and plays kubelet for the pods on them.

One agent serves all nodes, so that thousands of pods cost no more than their writes. A pod is looked at again only
once the cache shows what was last written for it. At most WRITERS requests are under way at once.
"""

import asyncio
import heapq
import ipaddress
import logging
from collections import deque

from reconciler.client import protocol, usage
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop.cache import Cache
from reconciler.model import errors, meta, plan, view
from reconciler.node.sim import nodes
from reconciler.node.sim import plan as lives
from reconciler.node.sim import usage as uses
from reconciler.placement import admission
from reconciler.placement import pods as pod_facts

log = logging.getLogger(__name__)

KINDS = ("nodes", "pods")  # what the cache must follow
WRITERS = 8  # few: all nodes share a process with the control plane, which places pods while others start
HEARTBEAT_SECONDS = 10.0
RETRY_SECONDS = 1.0
STEP_SECONDS = 0.002  # how long the agent decides before it lets others run
STARTS_A_STEP = 4  # requests begun before it does
FIRST_ADDRESS = int(ipaddress.IPv4Address("10.128.0.1"))


class Agent:
    """`count` nodes of its own, sim-1 and so on, beside those that others made."""

    def __init__(self, client: protocol.Client, cache: Cache, clock: clocks.Clock, count: int = 0, sure_seconds: float = 0.0) -> None:
        """`sure_seconds`: how long nodes are known to live unless switched off; they say so once, instead of by heartbeats."""
        self._client = client
        self._cache = cache
        self._clock = clock
        self._count = count
        self._sure_seconds = sure_seconds
        self._tasks = tasks.Tasks()
        self._dirty: deque[meta.Key] = deque()
        self._queued: set[meta.Key] = set()
        self._work: deque[meta.Key] = deque()
        self._later: list[tuple[float, meta.Key]] = []  # wall-clock seconds
        self._written: dict[meta.Key, int] = {}  # revision that the cache must reach before the pod is looked at again
        self._writing: set[meta.Key] = set()
        self._nodes: dict[str, meta.Obj] = {}
        self._stale_nodes: set[str] = set()
        self._silent: set[str] = set()  # nodes that were switched off
        self._promised: dict[str, float] = {}  # what their leases say, of `sure_seconds`
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(WRITERS)
        self._addresses = 0

    async def run(self) -> None:
        """Simulate until cancelled."""
        await self._cache.synced()
        await self._register()
        self._cache.subscribe(("nodes",), self._on_node)
        self._cache.subscribe(("pods",), self._on_pod)
        self._tasks.start(self._loop(), "simulated pods")
        if not self._sure_seconds:
            self._tasks.start(self._beat(), "simulated heartbeats")
        self._tasks.start(self._watch_time(), "simulated time")
        try:
            await self._tasks.join()
        finally:
            await self.close()

    async def close(self) -> None:
        await self._tasks.close()

    def switch_off(self, name: str) -> None:
        """From now on the node says nothing and does nothing, as one without power."""
        self._silent.add(name)
        self._stale_nodes.add(name)
        self._wake.set()

    def switch_on(self, name: str) -> None:
        """The node is back; its pods are what they were."""
        self._silent.discard(name)
        self._stale_nodes.add(name)
        for pod in self._cache.by("pods", view.NODE, name):
            self._mark(meta.key(pod))
        self._wake.set()

    async def usage(self) -> tuple[usage.Node, ...]:
        """Implements client/usage.Source for all simulated nodes."""
        now = self._clock.now()
        return tuple(uses.of_node(node, self._cache.by("pods", view.NODE, name), now) for name, node in self._nodes.items())

    async def _register(self) -> None:
        missing = [name for name in map(nodes.name_of, range(1, self._count + 1)) if self._cache.get("nodes", "", name) is None]
        await asyncio.gather(*(self._perform(nodes.creation(name)) for name in missing))

    # What the cache tells.

    def _on_node(self, _: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        node = old if new is None else new
        if node is None:
            return
        name = meta.name(node)
        if new is None:
            del self._nodes[name]
            return
        known = name in self._nodes
        self._nodes[name] = new
        self._stale_nodes.add(name)
        if not known:
            for pod in self._cache.by("pods", view.NODE, name):
                self._mark(meta.key(pod))
        self._wake.set()

    def _on_pod(self, _: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        if new is None:
            if old is not None:
                self._written.pop(meta.key(old), None)
        elif pod_facts.node_name(new) in self._nodes:
            self._mark(meta.key(new))

    def _mark(self, key: meta.Key) -> None:
        if key not in self._queued:
            self._queued.add(key)
            self._dirty.append(key)
            self._wake.set()

    # Deciding.

    async def _loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            for name in list(self._stale_nodes):
                self._stale_nodes.discard(name)
                await self._tend(name)
            while self._dirty:
                await self._step()

    async def _tend(self, name: str) -> None:
        """See that a node says it is ready, and for how long it is sure to live where that is known."""
        node = self._nodes.get(name)
        if node is not None and self._sure_seconds:
            await self._promise(node)
        if name in self._silent:
            return
        action = nodes.status_write(node, self._clock.now()) if node is not None else None
        if action is not None:
            await self._perform(action)

    async def _promise(self, node: meta.Obj) -> None:
        sure_seconds = 0.0 if meta.name(node) in self._silent else self._sure_seconds
        if self._promised.get(meta.name(node)) != sure_seconds:
            self._promised[meta.name(node)] = sure_seconds
            now = self._clock.now()
            await self._perform(nodes.renewal(node, now + sure_seconds))
            if not sure_seconds:
                await self._perform(nodes.last_report(node, now))

    async def _step(self) -> None:
        start = self._clock.monotonic()
        started = 0
        while self._dirty and started < STARTS_A_STEP and self._clock.monotonic() - start < STEP_SECONDS:
            key = self._dirty.popleft()
            self._queued.discard(key)
            action = self._decide(key)
            if action is not None:
                started += 1
                await self._slots.acquire()
                self._writing.add(key)
                self._tasks.start(self._write(key, action), f"simulate {key}")
        await asyncio.sleep(0)

    def _decide(self, key: meta.Key) -> plan.Patch | plan.Delete | None:
        pod = self._cache.get("pods", *key)
        if pod is None or key in self._writing or meta.revision(pod) < self._written.get(key, 0):
            return None
        node = self._nodes.get(pod_facts.node_name(pod))
        if node is None or meta.name(node) in self._silent:
            return None
        now = self._clock.now()
        starting = not meta.status(pod).get("startTime")
        refusal = admission.refusal(pod, node, self._others(pod)) if starting else None
        step = lives.next_step(pod, refusal, self._address() if starting else "", now)
        if step.action is None and step.again_at is not None:
            heapq.heappush(self._later, (step.again_at, key))
        return step.action

    def _others(self, pod: meta.Obj) -> list[admission.Share]:
        """Of the pods that the node has admitted before."""
        here = self._cache.facts("pods", view.NODE, pod_facts.node_name(pod), _share)
        return [other for other in here if other is not None]

    def _address(self) -> str:
        self._addresses += 1
        return str(ipaddress.IPv4Address(FIRST_ADDRESS + self._addresses % (1 << 22)))

    # Acting.

    async def _write(self, key: meta.Key, action: plan.Patch | plan.Delete) -> None:
        try:
            revision = await self._perform(action)
        finally:
            self._writing.discard(key)
            self._slots.release()
        if revision is None:
            heapq.heappush(self._later, (self._clock.now() + RETRY_SECONDS, key))
        else:
            self._written[key] = revision
            self._mark(key)

    async def _perform(self, action: plan.ApiAction) -> int | None:
        """The revision made, None if the server refused."""
        try:
            return (await self._client.perform(action, protocol.Origin(actor="node/sim"))).revision
        except (errors.StatusError, protocol.Unknown, OSError) as error:
            log.info("request refused", extra={"facts": {"why": action.why, "error": error}})
            return None

    async def _beat(self) -> None:
        """Renew every node's Lease once in HEARTBEAT_SECONDS, spread evenly; what came late is made up for."""
        due = self._clock.monotonic()
        while True:
            names = list(self._nodes)
            for name in names:
                node = self._nodes.get(name) if name not in self._silent else None
                if node is not None:
                    await self._perform(nodes.renewal(node, self._clock.now()))
                due = max(due + HEARTBEAT_SECONDS / len(names), self._clock.monotonic() - HEARTBEAT_SECONDS)
                await self._clock.sleep(due - self._clock.monotonic())
            if not names:
                await self._clock.sleep(1.0)

    async def _watch_time(self) -> None:
        """Look at pods again when their time has come."""
        while True:
            now = self._clock.now()
            while self._later and self._later[0][0] <= now:
                self._mark(heapq.heappop(self._later)[1])
            delay_seconds = self._later[0][0] - now if self._later else 1.0
            await self._clock.sleep(min(max(delay_seconds, 0.01), 0.25))


def _share(pod: meta.Obj) -> admission.Share | None:
    """Of a pod that was admitted and has not ended."""
    return admission.share(pod) if meta.status(pod).get("startTime") and not pod_facts.is_over(pod) else None
