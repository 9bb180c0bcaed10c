"""The API as one object: everything between the journal and its two doors, wired together.

`start()` reads the journal, repairs allocations, and makes the objects that every cluster has; then `client()` opens
the door for the same process and server.py the one for everybody else. Nothing here listens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.api import allocators, converting, decoding, local, measured, objects, outbound, ownership, subresources, watch
from reconciler.api import definitions as custom
from reconciler.api.admission import order, webhooks
from reconciler.api.auth import accounts, bootstrap, rbac
from reconciler.api.cache import Cache
from reconciler.client import protocol
from reconciler.client import usage as uses
from reconciler.kinds import measured as kinds
from reconciler.kit import clock, definitions, ids, tasks
from reconciler.model import errors, meta, plan
from reconciler.model.roster import Roster
from reconciler.model.schema import Schemas
from reconciler.store import types

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
ORIGIN = protocol.Origin(actor="apiserver")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    service_range: str = allocators.SERVICE_RANGE
    node_ports: range = allocators.NODE_PORTS
    mount_tokens: bool = True  # whether pods get their service account's token as a volume
    account_key: Path | None = None  # the file that keeps the key of service accounts' tokens
    default_roles: bool = True  # whether the roles and bindings that every cluster has are kept there
    secure_port: int = 6443  # what the `kubernetes` Service leads to
    usage: Sequence[uses.Source] | None = None  # who measures nodes and pods; None: nobody, and metrics.k8s.io is not served
    source: ids.Source = ids.RANDOM  # of uids and of generateName's suffixes


class ApiServer:
    """The objects of one journal, served by one process."""

    def __init__(self, journal: types.Journal, roster: Roster, time: clock.Clock, settings: Settings = Settings()) -> None:
        self.settings = settings
        self.time = time
        self.schemas = Schemas(definitions.load(), definitions.shapes())
        self.cache = Cache(journal)
        self.watches = watch.Watches(self.cache)
        self.measured = measured.Measured(self.cache, () if settings.usage is None else settings.usage)
        served = roster if settings.usage is None else roster.with_kinds(kinds.MEASURED)
        self.decoder = decoding.Decoder(self.schemas, served)
        self.rbac = rbac.Rbac(self.cache)
        self.outbound = outbound.Outbound(self.cache)
        self.services = allocators.Services(settings.service_range, settings.node_ports)
        asked = webhooks.Webhooks(self.outbound, self.decoder, settings.source)
        self.objects = objects.Objects(
            journal,
            self.cache,
            order.chain(mount_tokens=settings.mount_tokens, decoder=self.decoder, asked=asked, authoriser=self.rbac),
            self.decoder,
            ownership.Owners(self.schemas),
            self.services,
            time,
            settings.source,
            self.rbac.decide,
            converting.Converter(self.outbound, settings.source),
        )
        self.definitions = custom.Definitions(self.objects, time)
        self.accounts = accounts.Accounts(settings.account_key, time, self._stored)
        self.subresources = subresources.Subresources(self.objects, self.accounts)
        self.is_ready = False
        self._tasks = tasks.Tasks()

    @property
    def roster(self) -> Roster:
        return self.decoder.roster

    async def start(self) -> None:
        """Return once reads and writes work and the system's own objects exist."""
        await self.cache.load()
        self._tasks.start(self.cache.run(), "watch cache")
        self.rbac.load()
        self.definitions.load()
        self._tasks.start(self.definitions.run(), "definitions")
        self.services.repair(item.obj for _, item in self.cache.shelf("services").in_order())
        for name in SYSTEM_NAMESPACES:
            await self._ensure("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await self._ensure("services", self._kubernetes_service())
        if self.settings.default_roles and all(self.roster.get(kind) is not None for kind in rbac.KINDS):
            await bootstrap.reconcile(self.client("kube-apiserver"), self.cache, ORIGIN)
        self.is_ready = True

    async def join(self) -> None:
        """Wait until something that must run for ever fails, and raise that."""
        await self._tasks.join()

    async def close(self) -> None:
        self.is_ready = False
        await self.outbound.close()
        await self._tasks.close()

    def client(self, name: str = "reconciler") -> local.LocalClient:
        """The door for the same process; `name` is the field manager of writes that name none."""
        return local.LocalClient(self.objects, self.watches, self.subresources, name)

    def _stored(self, kind: str, namespace: str, name: str) -> meta.Obj | None:
        item = self.cache.get(kind, namespace, name)
        return item.obj if item is not None else None

    async def _ensure(self, kind: str, body: Mapping[str, Any]) -> None:
        """Make an object unless there is one, or its kind is not served."""
        if self.roster.get(kind) is None or self._stored(kind, meta.namespace(body), meta.name(body)) is not None:
            return  # a Service that is there would be refused for its address, before its name is looked at
        try:
            await self.client("kube-apiserver").perform(plan.Create(kind=kind, body=body, why="every cluster has it"), ORIGIN)
        except errors.StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    def _kubernetes_service(self) -> dict[str, Any]:
        ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": self.settings.secure_port}]
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {"clusterIP": self.services.first_address, "ports": ports, "type": "ClusterIP", "sessionAffinity": "None"},
        }
