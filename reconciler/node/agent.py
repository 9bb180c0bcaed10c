"""The node: makes the pods bound to this machine run, and says how they are. The kubelet's place.

plan.py decides, perform.py acts, the runtime holds the containers. This module connects them: it hears of changes
of pods (through the driver), of containers (from the runtime, pushed) and of probes, and wakes the pod's key.
A restarted daemon finds everything running and goes on: containers never depend on this process.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reconciler.client import protocol, usage
from reconciler.kinds import pod as pods
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop import cache as caches
from reconciler.loop import driver as drivers
from reconciler.loop import perform as performing
from reconciler.model import meta, plan, quantity
from reconciler.model.view import NODE, View
from reconciler.node import admission, lifecycle, memory, metrics, observed, perform, probes, registration, specs, tokens, versions
from reconciler.node import plan as decisions
from reconciler.node import usage as meters
from reconciler.node.eviction import agent as eviction
from reconciler.node.eviction import measure, thresholds
from reconciler.node.runtimes import types
from reconciler.node.volumes import claims
from reconciler.placement import admission as rules

log = logging.getLogger(__name__)

CONTROLLER = "kubelet"
CONCURRENCY = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    name: str
    address: str
    data_dir: Path  # volumes go to data_dir/pods
    log_root: Path  # logs to log_root/NAMESPACE_NAME_UID/CONTAINER/N.log
    cluster_dns: str = ""
    cluster_domain: str = "cluster.local"
    pod_range: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    max_pods: int = registration.MAX_PODS
    direct: bool = True  # pod addresses can be reached from this process
    host_images: bool = False
    eviction: thresholds.Settings = thresholds.NEVER


class NodeAgent:
    """`performers` are those of API actions and Emit. `runtime` and `network` are opened and closed by others."""

    def __init__(
        self,
        client: protocol.Client,
        cache: caches.Cache,
        clock: clocks.Clock,
        runtime: types.Runtime,
        network: types.Network,
        config: Config,
        performers: Mapping[type, performing.Performer],
    ) -> None:
        capacity = registration.read_capacity(config.data_dir, config.max_pods)
        allocatable = registration.allocatable(capacity, config.eviction)
        self._facts = observed.Node(
            name=config.name,
            address=config.address,
            runtime=runtime.name,
            allocatable=allocatable,
            cluster_domain=config.cluster_domain,
            cluster_dns=config.cluster_dns,
        )
        self._cache, self._clock, self._runtime, self._network = cache, clock, runtime, network
        self._record = performers[plan.Emit]
        self._origin = protocol.Origin(actor=f"node/{CONTROLLER}")
        self._tasks = tasks.Tasks()
        self._keys: dict[str, meta.Key] = {}  # pod uid -> key, of every pod that has something here
        self._referring: dict[tuple[str, str, str], set[meta.Key]] = {}  # (kind, namespace, name) -> keys of pods that name it
        self.memory = memory.Memory(runtime.sandboxes, self._wake)
        asker = lifecycle.Asker(runtime, direct=config.direct)
        self._prober = probes.Prober(asker, clock, self._probed, self._unhealthy)
        self._tokens = tokens.Tokens(client, clock)
        settings = perform.Settings(
            node=self._facts,
            pods_dir=config.data_dir / "pods",
            log_root=config.log_root,
            memory_capacity_bytes=quantity.parse(capacity["memory"]).value,
        )
        self.performer = perform.Performer(settings, runtime, network, self.memory, self._tokens, asker, self._emit, clock, cache)
        self.driver = drivers.Driver(client, cache, clock, {**performers, **self.performer.performers()}, actor="node")
        facts = registration.Facts(
            name=config.name,
            address=config.address,
            runtime_version=f"{runtime.name}://{runtime.version}",
            capacity=capacity,
            allocatable=allocatable,
            info=registration.read_info(),
            pod_range=config.pod_range,
            labels=config.labels,
        )
        self._registration = registration.Registration(client, clock, facts)
        self._metrics = metrics.NodeMetrics(config.name, runtime, self._claims)
        self._meter = meters.Meter(config.name, runtime, clock)
        self._reported_at = clock.monotonic()
        meter = measure.Meter(runtime, settings.pods_dir)
        self._evictor = eviction.Evictor(config.eviction, config.data_dir, meter, runtime, self.memory, self, self._emit, clock)
        self._admission = admission.Admission(lambda uid: uid in runtime.sandboxes())

    async def run(self) -> None:
        """Register, adopt what runs, then follow the pods of this node until cancelled."""
        try:
            await self._cache.synced()
            await self._registration.register()
            self._tasks.start(self._registration.run(), "node heartbeat")
            await self._runtime.open(self._changed)
            await self._adopt()
            self._metrics.register(self._tasks)
            self.driver.add(self._controller())
            for uid in list(self._keys):
                self._wake(uid)
            self._tasks.start(self.driver.run(), "node driver")
            self._tasks.start(self._evictor.run(), "eviction")
            await self._tasks.join()
        finally:
            await self.close()

    async def close(self) -> None:
        """Containers go on."""
        self._metrics.close()
        await self._tasks.close()
        await self.driver.close()
        await self.performer.close()
        await self._prober.close()
        await self._runtime.close()

    def _claims(self) -> dict[meta.Key, str]:
        return {(meta.namespace(pod), claim): folder for pod in self.pods() for claim, folder in claims.folders(pod, self._cache)}

    # What eviction needs: implements eviction.agent.Surroundings.

    def pods(self) -> Sequence[meta.Obj]:
        return self._cache.by("pods", NODE, self._facts.name)

    async def press(self, conditions: Mapping[str, str]) -> None:
        await self._registration.press(conditions)

    def warn(self, reason: str, message: str) -> None:
        node = self._cache.get("nodes", "", self._facts.name)
        if node is not None:
            emit = plan.Emit(regarding=node, reason=reason, message=message, type="Warning", component=CONTROLLER)
            self._tasks.start(self._record_event(emit), "node event")

    async def remove(self, uid: str, why: str) -> bool:
        try:
            await self.performer.remove_pod(decisions.RemovePod(uid=uid, why=why))
        except (types.RuntimeFailure, OSError) as error:
            log.warning("a pod that has ended is not removed", extra={"facts": {"pod": uid, "error": error}})
            return False
        return True

    async def usage(self) -> tuple[usage.Node, ...]:
        """Implements client/usage.Source."""
        return await self._meter.usage()

    # Deciding

    def _controller(self) -> plan.Controller:
        return plan.Controller(
            name=CONTROLLER,
            kind="pods",
            plan=self._plan,
            follows={kind: self._follow(kind) for kind in ("configmaps", "secrets", claims.CLAIMS)},
            reads=frozenset({"services", "nodes", claims.VOLUMES}),
            concurrency=CONCURRENCY,
        )

    def _plan(self, view: View, key: meta.Key, now: float) -> plan.Plan:
        pod = view.get("pods", *key)
        if pod is not None and pods.node_name(pod) != self._facts.name:
            pod = None
        gone = decisions.plan_absent([uid for uid, owner in self._keys.items() if owner == key], pod)
        if pod is None:
            self._refer(key, set())
            return plan.plan_of(gone)
        uid = meta.uid(pod)
        if pods.is_terminal(pod) and not meta.is_deleting(pod) and uid not in self._keys:
            return plan.plan_of(gone)
        if not meta.is_deleting(pod):
            refusal = self._judge(view, pod)
            if refusal is not None:
                return plan.plan_of(gone, *decisions.plan_refused(pod, refusal, now).groups)
        self._keys[uid] = key
        self._refer(key, {(kind, key[0], name) for kind, name in versions.references(pod)})
        renewal = self._tokens.renewal(pod)
        version = versions.current(pod, view) + (",renew" if renewal is not None and renewal <= now else "")
        wanted = decisions.plan_pod(pod, self.memory.of(uid), self._facts, version, now)
        again = min((at for at in (wanted.again_at, renewal) if at is not None and at > now), default=wanted.again_at)
        return plan.plan_of(gone, *wanted.groups, again_at=again, waiting_on=wanted.waiting_on)

    def _judge(self, view: View, pod: meta.Obj) -> rules.Refusal | None:
        """A node that has just been deleted is made again by its heartbeat, and takes what it is given meanwhile."""
        node = view.get("nodes", "", self._facts.name)
        return self._admission.judge(pod, node, view.by("pods", NODE, self._facts.name)) if node is not None else None

    def _refer(self, key: meta.Key, names: set[tuple[str, str, str]]) -> None:
        """Remember which objects wake the pod."""
        for name in [name for name, keys in self._referring.items() if key in keys and name not in names]:
            self._referring[name].discard(key)
            if not self._referring[name]:
                del self._referring[name]
        for name in names:
            self._referring.setdefault(name, set()).add(key)

    def _follow(self, kind: str) -> plan.Follow:
        def keys(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
            obj = new if new is not None else old
            return tuple(self._referring.get((kind, *meta.key(obj)), ())) if obj is not None else ()

        return keys

    # Hearing

    async def _adopt(self) -> None:
        """Learn the addresses of pods that run already; what has no pod is removed by the first plan."""
        for uid, sandbox in list(self._runtime.sandboxes().items()):
            self._keys[uid] = sandbox.namespace, sandbox.name
            pod = self._pod(uid)
            if pod is None or not sandbox.ready:
                continue
            address = self._facts.address
            if not meta.spec(pod).get("hostNetwork"):
                try:
                    address = await self._network.attach(sandbox.pid, uid, specs.host_ports(pod))
                except types.RuntimeFailure as failure:
                    log.warning("pod without network", extra={"facts": {"pod": uid, "error": failure}})
                    continue
            self.memory.change(uid, ip=address)
            self._changed(uid)

    def _changed(self, uid: str) -> None:
        """The runtime: a sandbox or one of its containers is not what it was."""
        began = self._clock.monotonic()
        metrics.RELIST_INTERVAL_SECONDS.observe(began - self._reported_at)
        self._reported_at = began
        sandbox = self._runtime.sandboxes().get(uid)
        if sandbox is not None:
            self._keys[uid] = sandbox.namespace, sandbox.name
        pod = self._pod(uid)
        if pod is not None:
            self._follow_containers(pod, sandbox)
        self._wake(uid)
        if sandbox is None:
            self._keys.pop(uid, None)
        metrics.RELIST_SECONDS.observe(self._clock.monotonic() - began)

    def _follow_containers(self, pod: meta.Obj, sandbox: types.Sandbox | None) -> None:
        uid = meta.uid(pod)
        wanted = {one["name"]: one for one in (*pods.containers(pod), *pods.init_containers(pod))}
        alive = {c.name: c for c in sandbox.containers if c.state == "running"} if sandbox is not None and sandbox.ready else {}
        running = {(c.name, c.attempt) for c in alive.values()}
        for attempt in self._prober.attempts(uid):
            if attempt not in running:
                self._prober.end(uid, attempt)
        known = self.memory.of(uid)
        for container in sandbox.containers if sandbox is not None else ():
            attempt = container.name, container.attempt
            spec = wanted.get(container.name)
            if spec is None:
                continue
            if attempt in running and known.ip:
                target = lifecycle.Target(pod, spec, known.ip)
                self._prober.begin(target, attempt, container.started_at, self._known_probes(pod, container))
            elif not observed.runs(container) and attempt not in known.messages:
                self.performer.ended(uid, attempt)
                message = self.performer.termination_message(pod, spec, container)
                known = self.memory.of(uid)
                self.memory.change(uid, messages={**known.messages, attempt: message})
        self.memory.prune(uid, {(c.name, c.attempt) for c in sandbox.containers} if sandbox is not None else set())

    def _known_probes(self, pod: meta.Obj, container: types.Container) -> observed.Probed | None:
        """What the pod's status says of this very container: a daemon before this one has probed it."""
        status = observed.status_of(pod, container.name)
        if status.get("containerID") != f"{self._facts.runtime}://{container.id}":
            return None
        return observed.Probed(started=bool(status.get("started")), ready=bool(status.get("ready")))

    def _probed(self, uid: str, attempt: observed.Attempt, state: observed.Probed) -> None:
        self.memory.change(uid, probes={**self.memory.of(uid).probes, attempt: state})

    def _unhealthy(self, pod: meta.Obj, container: str, message: str) -> None:
        self._emit(pod, container, "Warning", "Unhealthy", message)

    def _wake(self, uid: str) -> None:
        key = self._keys.get(uid)
        if key is not None and any(one.name == CONTROLLER for one in self.driver.controllers):
            self.driver.wake(CONTROLLER, key)

    def _pod(self, uid: str) -> meta.Obj | None:
        key = self._keys.get(uid)
        pod = self._cache.get("pods", *key) if key is not None else None
        return pod if pod is not None and meta.uid(pod) == uid else None

    def _emit(self, pod: meta.Obj, container: str, type: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        path = ""
        if container:
            is_init = any(one["name"] == container for one in pods.init_containers(pod))
            path = f"spec.{'initContainers' if is_init else 'containers'}{{{container}}}"
        regarding = {"apiVersion": "v1", "kind": "Pod", "metadata": meta.meta(pod), "fieldPath": path}
        emit = plan.Emit(regarding=regarding, reason=reason, message=message, type=type, component=CONTROLLER)
        self._tasks.start(self._record_event(emit), "node event")

    async def _record_event(self, emit: plan.Emit) -> None:
        await self._record(emit, self._origin)
