"""The composition root: makes every component, in the order in which they need each other, and starts them.

Nothing here decides. What takes long to import is imported where it is needed: the scheduler's numpy once all is ready,
the node only where there is one.
"""

import asyncio
import importlib
import ipaddress
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from reconciler import controllers, kinds
from reconciler.api import apiserver, publishing, server
from reconciler.client import protocol, usage
from reconciler.daemon import exposition, heap, introspection, late_node, narrator, office, prometheus
from reconciler.daemon.config import Config, ConfigError
from reconciler.foresight import measuring, tokens
from reconciler.gitops import fleet as gitops
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop import cache as caches
from reconciler.loop import driver as drivers
from reconciler.loop import events, perform
from reconciler.model import errors, meta, plan
from reconciler.store import autocompact, local

if TYPE_CHECKING:
    from reconciler.daemon import machine

Say = Callable[[str], None]

CHORES_AFTER_SECONDS = 10.0


class Daemon:
    """Everything that `reconciler up` runs in this process."""

    def __init__(self, config: Config, say: Say) -> None:
        self.config = config
        self.say = say
        self.clock = clocks.SystemClock()
        self.address = self.metrics_address = ""
        self.notes: list[str] = []  # limits and fallbacks, said at start and by `reconciler status`
        self.tasks = tasks.Tasks()
        self._is_telling = False
        self.heap = heap.Heap()
        self.drivers: list[drivers.Driver] = []
        self.node = late_node.LateNode()
        self.introspection: introspection.Introspection | None = None
        self.usage: list[usage.Source] = []  # whoever measures what pods of its nodes use
        self.closers: list[Callable[[], Coroutine[Any, Any, None]]] = []

    async def start(self) -> None:
        """Return once the API is ready and the folder's first diff is done. Raises what cannot be helped."""
        config = self.config
        self.journal = await local.LocalJournal.open(config.data_dir, self.clock)
        self.closers.append(self.journal.close)
        self.abilities = await self._explore() if config.runtime == "process" else None
        self.api = apiserver.ApiServer(self.journal, kinds.builtin(), self.clock, self._api_settings())
        await self.api.start()
        self.closers.append(self.api.close)
        await self._listen()
        self.cache = caches.Cache(self.client("reconciler"), self.clock)
        self.tasks.start(self.cache.run(), "cache")
        await self.cache.synced()
        self.cache.subscribe([plan.EVERY_KIND], self._narrate)
        self._is_telling = True
        self._start_controllers()
        node = await self._start_nodes()
        await self._publish(node)
        folder = await self._follow_folder()
        self.introspection = introspection.Introspection(
            self.journal, self.cache, self.clock, self.drivers, node, folder, self.notes, self.usage
        )
        await self._expose()
        self.tasks.start(self.heap.watch(), "heap")
        if folder is not None:
            await folder.synced()
        self.tasks.start(self._schedule(), "scheduler")
        self.tasks.start(self._do_chores(), "chores")

    async def _explore(self) -> "machine.Abilities":
        from reconciler.daemon import machine

        return await machine.explore(self.config)

    async def _start_nodes(self) -> "machine.Machine | None":
        if self.config.runtime == "none":
            return None
        from reconciler.daemon import nodes

        if self.abilities is not None:
            return await nodes.start_machine(self, self.abilities)
        nodes.start_simulation(self)
        return None

    def _api_settings(self) -> apiserver.Settings:
        first, last = self.config.node_ports
        return apiserver.Settings(
            service_range=self.abilities.service_range(self.config) if self.abilities else self.config.service_range,
            node_ports=range(first, last + 1),
            account_key=self.config.data_dir / "pki" / "sa.key",
            secure_port=int(self.config.listen.rpartition(":")[2]),
            usage=self.usage if self.config.runtime != "none" else None,
        )

    async def _listen(self) -> None:
        host, _, port = self.config.listen.rpartition(":")
        listen = server.Listen(
            host=_bare(host),
            port=int(port),
            socket=self.config.data_dir / "api.sock",
            token_file=self.config.tokens,
            anonymous=self.config.anonymous_auth,
        )
        self.server = server.HttpServer(self.api, listen, self.config.data_dir, self.node, own_paths=self._own_paths)
        await self.server.start()
        self.closers.append(self.server.close)
        self.address = f"{host}:{self.server.port}"

    async def _publish(self, node: "machine.Machine | None") -> None:
        """Say where pods reach the API. One that listens on the loopback only gets an address that just they can reach."""
        host = ipaddress.ip_address("127.0.0.1" if self.server.listen.host == "localhost" else self.server.listen.host)
        address = publishing.own_address() if host.is_unspecified else str(host)
        if host.is_loopback and node is not None and node.inner_address:
            address = node.inner_address
            await self.server.also_listen(address)
        if not ipaddress.ip_address(address).is_loopback:
            await publishing.publish(self.client("kube-apiserver"), address, self.server.port)

    async def _own_paths(self, method: str, path: list[str], body: Mapping[str, Any]) -> dict[str, Any]:
        if self.introspection is None:
            raise errors.StatusError(503, "ServiceUnavailable", "still starting", retry_after_seconds=1)
        return await self.introspection.answer(method, path, body)

    def _start_controllers(self) -> None:
        reader = prometheus.Reader(self.config.prometheus) if self.config.prometheus is not None else None
        measured = measuring.Measuring(self.cache, self.clock, self.usage, reader)
        manager = self.client("kube-controller-manager")
        certificates = office.Office(self.server.authority, self.api.rbac.decide, manager, signs=self.config.signs_certificates)
        facts = controllers.Facts(
            began=self.clock.now(),
            pod_range=self.config.pod_range,
            root_ca=self.server.authority_pem.decode(),
            volumes_folder=str(self.config.volumes_folder or ""),
            load_balancer_pool=self.config.load_balancer.addresses if self.config.load_balancer is not None else (),
            autoscaling=measured.memories,
            schemas=self.api.schemas,
            certificates=certificates,
        )
        own = {**measured.performers(), **certificates.performers(), **tokens.Tokens(manager).performers()}
        driver = self.driver("controller", "kube-controller-manager", own)
        measured.wakes(driver.wake)
        if reader is not None:
            self.closers.append(reader.close)
        for controller in controllers.enabled(controllers.builtin(facts), self.config.controllers):
            driver.add(controller)
        self.tasks.start(driver.run(), "controllers")

    async def _schedule(self) -> None:
        """numpy takes long to import, so another thread does it, and nobody waits for it to be ready."""
        agent = await asyncio.to_thread(importlib.import_module, "reconciler.scheduler.agent")
        scheduling = await asyncio.to_thread(importlib.import_module, "reconciler.daemon.scheduling")
        client = self.client("kube-scheduler")
        record = self.performers(client, "the scheduler")[plan.Emit]
        try:
            made = agent.Agent(client, self.cache, self.clock, record, scheduling.load(self.config.scheduler_config))
        except ConfigError as error:
            self.notes.append(f"the scheduler does not run: {error}")
            self.say(self.notes[-1])
            return
        if self.introspection is not None:
            self.introspection.scheduler = made
        await made.run()

    async def _do_chores(self) -> None:
        """Housekeeping, with APScheduler. Neither it nor its import is needed in the first seconds."""
        keep_bytes = self.config.history_mebibytes << 20
        policy = autocompact.Policy(keep_seconds=self.config.history_hours * 3600, keep_bytes=keep_bytes)
        history = autocompact.Autocompact(self.journal, self.clock, policy)
        await self.clock.sleep(CHORES_AFTER_SECONDS)
        timers = await asyncio.to_thread(importlib.import_module, "reconciler.daemon.timers")
        chores = [
            timers.Chore("compaction", policy.check_seconds, history.check),
            timers.Chore("certificates", server.RENEWAL_CHECK_SECONDS, self.server.renew_certificates),
            timers.Chore("garbage", heap.CHECK_SECONDS, self.heap.collect),
        ]
        await timers.run(chores, self.clock)

    async def _follow_folder(self) -> gitops.Fleet | None:
        if self.config.folder is None and not self.config.syncs:
            return None
        performers = self.performers(self.client("reconciler-gitops"), "the folder")
        root = self.config.folder.absolute() if self.config.folder is not None else None
        made = gitops.Fleet(self.cache, self.clock, self.api.schemas, performers, root, self.config.data_dir, tell=self.say)
        self.tasks.start(made.run(), "folder")
        if self.config.hooks_listen is not None:
            host, _, port = self.config.hooks_listen.rpartition(":")
            self.notes.append(f"webhooks are taken on http://{host}:{await made.door.start(_bare(host), int(port))}/hooks/SYNC")
            self.closers.append(made.door.close)
        return made

    async def _expose(self) -> None:
        host, _, port = self.config.metrics_listen.rpartition(":")
        exposition.register_process()
        shown = exposition.Exposition(self.cache, {})
        self.metrics_address = f"{host}:{await shown.start(_bare(host), int(port))}"
        self.closers.append(shown.close)

    def _narrate(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        if not self._is_telling:
            return  # it was there before
        record = self.cache.roster.get(kind)
        line = narrator.line(record, old, new) if record is not None else None
        if line is not None:
            self.say(line)

    async def join(self) -> None:
        """Wait until something that must run for ever fails, and raise that."""
        await self.tasks.join()

    async def close(self) -> None:
        """Stop in the opposite order; the containers stay."""
        await self.tasks.close()
        for driver in self.drivers:
            await driver.close()
        for close in reversed(self.closers):
            await close()

    def client(self, manager: str) -> protocol.Client:
        """The in-process client whose writes carry `manager` as their field manager."""
        return self.api.client(manager)

    def performers(self, client: protocol.Client, whose: str) -> dict[type, perform.Performer]:
        """Who performs the actions that every component may plan; events are written in the background."""
        api = perform.Api(client, self.clock)
        recorder = events.Recorder(client, self.clock)
        self.tasks.start(recorder.run(), f"events of {whose}")
        written: dict[type, perform.Performer] = dict.fromkeys((plan.Create, plan.Update, plan.Patch, plan.Delete), api.perform)
        return {**written, plan.Emit: recorder.perform}

    def driver(self, actor: str, manager: str, own: Mapping[type, perform.Performer] | None = None) -> drivers.Driver:
        """A driver over the shared cache; `own` performs the actions that only this component plans."""
        client = self.client(manager)
        made = drivers.Driver(client, self.cache, self.clock, {**self.performers(client, actor), **(own or {})}, actor=actor)
        self.drivers.append(made)
        return made


def _bare(host: str) -> str:
    """An address as sockets take it: IPv6 without its brackets."""
    return host.removeprefix("[").removesuffix("]")
