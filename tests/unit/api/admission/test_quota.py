"""ResourceQuota as a client meets it: exact under concurrent writes, and about growth only."""

import asyncio
from typing import Any

import pytest

from reconciler.model import errors
from tests.unit.api.world import pod, service, world


def quota(**hard: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}}


async def test_a_quota_holds_for_writes_at_one_moment() -> None:
    async with world() as w:
        await w.create("resourcequotas", quota(pods="3"))
        outcomes = await asyncio.gather(*(w.create("pods", pod(f"p{number}")) for number in range(10)), return_exceptions=True)
        refused = [one for one in outcomes if isinstance(one, errors.StatusError)]
        assert len(refused) == 7
        assert "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3" in str(refused[-1])
        await w.delete("pods", "p0", grace_seconds=0)
        await w.create("pods", pod("again"))


async def test_a_quota_refuses_growth_and_nothing_else() -> None:
    async with world() as w:
        await w.create("resourcequotas", quota(**{"services.nodeports": "1", "requests.storage": "2Gi"}))
        await w.create("services", service("a", type="NodePort"))
        await w.create("services", service("b"))
        with pytest.raises(errors.StatusError, match="requested: services"):
            await w.patch("services", "b", {"spec": {"type": "NodePort"}})
        await w.patch("services", "a", {"metadata": {"labels": {"still": "allowed"}}})
        await w.patch("resourcequotas", "q", {"spec": {"hard": {"services.nodeports": "0"}}})
        await w.patch("services", "a", {"spec": {"sessionAffinity": "ClientIP"}})
        await w.patch("services", "a", {"spec": {"type": "ClusterIP"}})


async def test_a_pod_that_nobody_ends_in_time_makes_room() -> None:
    async with world() as w:
        await w.create("resourcequotas", quota(pods="1"))
        await w.create("pods", pod("lost", nodeName="n", terminationGracePeriodSeconds=10))
        await w.delete("pods", "lost")
        with pytest.raises(errors.StatusError, match="exceeded quota"):
            await w.create("pods", pod("next"))
        w.time.advance(21)
        await w.create("pods", pod("next"))
