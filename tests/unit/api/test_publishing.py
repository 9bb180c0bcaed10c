"""The `kubernetes` Service leads to where the server says it is, and follows it."""

import pytest

from reconciler.api import publishing
from reconciler.model import errors, meta
from tests.unit.api import world

SLICES = "endpointslices.discovery.k8s.io"


async def test_the_address_is_published_once_and_follows() -> None:
    async with world.world() as running:
        await publishing.publish(running.client, "192.0.2.7", 6443)
        first = await running.client.get("endpoints", "default", "kubernetes")
        assert first["subsets"] == [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}]
        await publishing.publish(running.client, "192.0.2.7", 6443)
        again = await running.client.get("endpoints", "default", "kubernetes")
        assert meta.resource_version(again) == meta.resource_version(first)
        await publishing.publish(running.client, "192.0.2.8", 7443)
        slices = await running.client.get(SLICES, "default", "kubernetes")
        assert slices["endpoints"][0]["addresses"] == ["192.0.2.8"]
        assert slices["ports"][0]["port"] == 7443


async def test_a_loopback_address_is_refused() -> None:
    async with world.world() as running:
        with pytest.raises(errors.StatusError, match="loopback"):
            await publishing.publish(running.client, "127.0.0.1", 6443)
