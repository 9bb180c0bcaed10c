"""An API server on a journal in memory, and short words for what tests do with it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from reconciler import kinds
from reconciler.api import apiserver
from reconciler.client import protocol
from reconciler.kit import clock
from reconciler.model import meta, plan
from tests.unit.api.memory import MemoryJournal

ORIGIN = protocol.Origin(actor="test/unit", cause=7, source="apps/web.yaml:3")


class World:
    def __init__(self, server: apiserver.ApiServer, journal: MemoryJournal, time: clock.VirtualClock) -> None:
        self.server = server
        self.journal = journal
        self.time = time
        self.client = server.client("tester")

    async def create(self, kind: str, body: dict[str, Any], **options: Any) -> meta.Obj:
        return (await self.client.perform(plan.Create(kind=kind, body=body, why="test"), ORIGIN, protocol.Options(**options))).obj

    async def delete(self, kind: str, name: str, namespace: str = "default", **options: Any) -> protocol.Written:
        action = plan.Delete(kind=kind, namespace=namespace, name=name, why="test", **options)
        return await self.client.perform(action, ORIGIN)

    async def patch(self, kind: str, name: str, patch: Any, namespace: str = "default", **options: Any) -> protocol.Written:
        action = plan.Patch(
            kind=kind, namespace=namespace, name=name, type=options.pop("type", "merge"), patch=patch, why="test", **options
        )
        return await self.client.perform(action, ORIGIN)

    async def exists(self, kind: str, name: str, namespace: str = "default") -> bool:
        await self.server.cache.fresh()
        return self.server.cache.get(kind, namespace, name) is not None


@contextlib.asynccontextmanager
async def world(**settings: Any) -> AsyncIterator[World]:
    journal, time = MemoryJournal(), clock.VirtualClock()
    server = apiserver.ApiServer(journal, kinds.builtin(), time, apiserver.Settings(**{"default_roles": False, **settings}))
    await server.start()
    try:
        yield World(server, journal, time)
    finally:
        await server.close()


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default", **metadata}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": containers, **spec},
    }


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}], **spec},
    }
