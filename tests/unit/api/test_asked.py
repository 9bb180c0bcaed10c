"""Writes of the components are counted as their own binaries would."""

import pytest

from reconciler.metrics import registry
from reconciler.model import errors, plan
from tests.unit.api import world


def count(code: int, method: str) -> float:
    labels = {"code": str(code), "method": method, "host": "localhost"}
    return registry.of("proxy").get_sample_value("rest_client_requests_total", labels) or 0.0


async def test_writes_are_counted_with_what_became_of_them() -> None:
    async with world.world() as here:
        client = here.server.client("kube-proxy")
        create = plan.Create(kind="configmaps", body=world.config_map("one"), why="test")
        created, refused = count(201, "POST"), count(409, "POST")
        await client.perform(create, world.ORIGIN)
        with pytest.raises(errors.StatusError):
            await client.perform(create, world.ORIGIN)
        await here.create("configmaps", world.config_map("another"))
        assert (count(201, "POST"), count(409, "POST")) == (created + 1, refused + 1)
