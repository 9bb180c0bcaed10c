"""CustomResourceDefinitions: served once accepted, and gone with all that they defined."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.unit.api.world import world

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
THINGS = "things.x.example.com"


def definition() -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": THINGS},
        "spec": {
            "group": "x.example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


async def turns(until: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await until():  # noqa: ASYNC110 - turns of the loop, not time
            await asyncio.sleep(0)


async def test_a_deleted_definition_takes_its_objects_along() -> None:
    async with world() as made:
        await made.create(DEFINITIONS, definition())

        async def is_served() -> bool:
            return made.server.roster.get(THINGS) is not None

        await turns(is_served)
        await made.create(THINGS, {"apiVersion": "x.example.com/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "default"}})
        await made.delete(DEFINITIONS, THINGS, namespace="")

        async def is_gone() -> bool:
            return not await made.exists(DEFINITIONS, THINGS, namespace="")

        await turns(is_gone)
        assert made.server.roster.get(THINGS) is None
