"""API aggregation: groups and versions that other servers answer for, and the list of all that are served.

An APIService that names a Service hands its group and version over: requests are forwarded, discovery and OpenAPI
include what its server describes, its Available condition says whether it answers. What is served here is never
handed over. One task keeps the conditions and the APIServices of the server's own groups.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import orjson

from reconciler.api import outbound
from reconciler.api.aggregation import described, documents, registrations
from reconciler.api.aggregation.forward import Forwarder, Remote
from reconciler.api.aggregation.registrations import SERVICES
from reconciler.api.apiserver import ApiServer
from reconciler.api.auth import certificates
from reconciler.api.cache import Step
from reconciler.api.calls import User
from reconciler.api.deletion import DEFINITIONS
from reconciler.client import protocol
from reconciler.kit import tasks
from reconciler.model import conditions, errors, meta, plan

log = logging.getLogger(__name__)

ASKER = User("system:kube-aggregator", ("system:masters",))
ORIGIN = protocol.Origin(actor="apiserver/aggregator")
CHECK_SECONDS = 30.0
ANSWER_SECONDS = 5.0
AT_ONCE = 10
CLIENT_NAME = "front-proxy-client"
WATCHED = frozenset({SERVICES, DEFINITIONS, "services", outbound.SLICES})
AUTHENTICATION = "extension-apiserver-authentication"  # where external servers read whom to believe


class Aggregator:
    """`authority` signs the certificate that external servers know this one by; `clients` is the CA of users."""

    def __init__(self, server: ApiServer, authority: certificates.Authority) -> None:
        self._server = server
        self._authority = authority
        self._client = server.client("kube-apiserver")
        self._remotes: dict[tuple[str, str], Remote] = {}
        self._served: dict[str, documents.Served] = {}
        self._forwarder: Forwarder | None = None
        self._wake = asyncio.Event()
        self._tasks = tasks.Tasks()

    async def start(self, clients: bytes) -> None:
        """`clients` is the certificate of the CA that signs users. Raises certificates.Unusable, StatusError."""
        self._authority.load_or_make()
        pair = self._authority.pair_for("client", certificates.Identity(CLIENT_NAME))
        self._forwarder = Forwarder(self._server.outbound.resolver, pair)
        if self._server.roster.get(SERVICES) is None:
            return
        await self._publish_authentication(clients)
        self._server.cache.subscribe(self._see, self._reset)
        self._reset()
        self._tasks.start(self._run(), "aggregation")

    async def close(self) -> None:
        await self._tasks.close()
        if self._forwarder is not None:
            await self._forwarder.close()

    def remote(self, path: str) -> Remote | None:
        """Who answers for a path; None for what is served here."""
        if not self._remotes:
            return None
        parts = unquote(path).split("/")
        if parts[1:3] == ["openapi", "v3"]:
            parts = parts[2:]
        return self._remotes.get((parts[2], parts[3])) if len(parts) > 3 and parts[1] == "apis" else None

    @property
    def served(self) -> Sequence[documents.Served]:
        return tuple(self._served.values())

    @property
    def forwarder(self) -> Forwarder:
        assert self._forwarder is not None
        return self._forwarder

    def _see(self, _: int, steps: Sequence[Step]) -> None:
        if any(step.kind in WATCHED for step in steps):
            if any(step.kind == SERVICES for step in steps):
                self._reset()
            self._wake.set()

    def _reset(self) -> None:
        services = [item.obj for _, item in self._server.cache.shelf(SERVICES).in_order()]
        external = [one for one in services if meta.spec(one).get("service")]
        here = {(kind.group, version.name) for kind in self._server.roster for version in kind.versions if version.served}
        places = {(str(meta.spec(one).get("group", "")), str(meta.spec(one)["version"])): one for one in external}
        self._remotes = {place: Remote.of(one) for place, one in places.items() if place not in here}
        self._served = {name: one for name, one in self._served.items() if name in {meta.name(service) for service in external}}
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._register()
                await self._check_all()
            except errors.StatusError as error:
                log.warning("the list of API services could not be kept", extra={"facts": {"error": error.message}})
            try:
                async with asyncio.timeout(CHECK_SECONDS if self._remotes else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _register(self) -> None:
        """APIServices for what is served here, none for definitions that are gone."""
        shelf = self._server.cache.shelf(SERVICES)
        wanted = registrations.wanted(self._server.roster)
        missing = [body for name, body in wanted.items() if f"/{name}" not in shelf.items]
        creates = [self._client.perform(plan.Create(kind=SERVICES, body=body, why="it is served here"), ORIGIN) for body in missing]
        gone = registrations.obsolete([item.obj for _, item in shelf.in_order()], wanted)
        deletes = [plan.Delete(kind=SERVICES, namespace="", name=name, why="its definition is gone") for name in gone]
        for done in await asyncio.gather(*creates, *(self._client.perform(one, ORIGIN) for one in deletes), return_exceptions=True):
            if isinstance(done, errors.StatusError) and done.reason in ("AlreadyExists", "NotFound"):
                continue
            if isinstance(done, BaseException):
                raise done

    async def _check_all(self) -> None:
        services = [item.obj for _, item in self._server.cache.shelf(SERVICES).in_order() if meta.spec(item.obj).get("service")]
        for first in range(0, len(services), AT_ONCE):
            await asyncio.gather(*(self._check(one) for one in services[first : first + AT_ONCE]))

    async def _check(self, service: meta.Obj) -> None:
        """Ask a server for its discovery, remember it, and write down whether it answers."""
        reason, message, listed = await self._asked(service)
        is_available = reason == "Passed"
        digest, schemas = await self._openapi(service) if is_available else ("", {})
        self._served[meta.name(service)] = documents.Served(service, is_available, listed, digest, schemas)
        made = conditions.made("Available", "True" if is_available else "False", reason, message, self._server.time.now())
        before = meta.status(service).get("conditions") or ()
        after = conditions.updated(before, made)
        if after == before:
            return
        body = {**service, "status": {**meta.status(service), "conditions": list(after)}}
        try:
            await self._client.perform(plan.Update(kind=SERVICES, body=body, why=message, subresource="status"), ORIGIN)
        except errors.StatusError as error:
            if error.code not in (404, 409):  # then a change follows that leads here again
                raise

    async def _asked(self, service: meta.Obj) -> tuple[str, str, Mapping[str, Any]]:
        """(reason, message, APIResourceList) of kube-aggregator's availability check."""
        spec, remote = meta.spec(service), Remote.of(service)
        reference = spec["service"]
        where = f'service/{reference["name"]} in "{reference["namespace"]}"'
        item = self._server.cache.get("services", reference["namespace"], reference["name"])
        if item is None:
            return "ServiceNotFound", f"{where} is not present", {}
        if all(port.get("port") != remote.port for port in meta.spec(item.obj).get("ports") or ()):
            return "ServicePortError", f"{where} is not listening on port {remote.port}", {}
        path = f"/apis/{spec.get('group', '')}/{spec['version']}"
        failing = f"failing or missing response from {remote.url(path)}"
        try:
            status, raw = await self.forwarder.fetch(remote, path, ASKER, ANSWER_SECONDS)
            listed = orjson.loads(raw) if 200 <= status < 300 else None
        except (outbound.Failed, json.JSONDecodeError) as failed:
            return "FailedDiscoveryCheck", f"{failing}: {failed}", {}
        if not isinstance(listed, dict):
            return "FailedDiscoveryCheck", f"{failing}: bad status from {remote.url(path)}: {status}", {}
        return "Passed", "all checks passed", listed

    async def _openapi(self, service: meta.Obj) -> tuple[str, Mapping[str, Any]]:
        """The hash of a server's OpenAPI v3 document and the schemas in it; nothing where it publishes none."""
        spec, before = meta.spec(service), self._served.get(meta.name(service))
        path = f"/openapi/v3/apis/{spec.get('group', '')}/{spec['version']}"
        try:
            status, raw = await self.forwarder.fetch(Remote.of(service), path, ASKER, ANSWER_SECONDS)
        except outbound.Failed:
            return "", {}
        digest = hashlib.sha512(raw).hexdigest()[:128].upper() if status == 200 else ""
        if before is not None and before.openapi_hash == digest:
            return digest, before.schemas
        try:
            return digest, described.schemas(orjson.loads(raw)) if digest else {}
        except json.JSONDecodeError:
            return digest, {}

    async def _publish_authentication(self, clients: bytes) -> None:
        data = {
            "client-ca-file": clients.decode(),
            "requestheader-allowed-names": json.dumps([CLIENT_NAME]),
            "requestheader-client-ca-file": self._authority.pem.decode(),
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }
        metadata = {"name": AUTHENTICATION, "namespace": "kube-system"}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        why = "external servers believe who shows these certificates"
        stored = self._server.cache.get("configmaps", "kube-system", AUTHENTICATION)
        if stored is None:
            await self._client.perform(plan.Create(kind="configmaps", body=body, why=why), ORIGIN)
        elif stored.obj.get("data") != data:
            await self._client.perform(plan.Update(kind="configmaps", body={**stored.obj, "data": data}, why=why), ORIGIN)
