"""What a node may do and see: its own things, and what its own pods mention."""

from typing import Any

import pytest

from reconciler.api.auth.authorisation import Asked
from reconciler.api.calls import User
from reconciler.model import errors, meta
from tests.unit.api.world import World, pod, world

NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
MENTIONING: dict[str, Any] = {
    "imagePullSecrets": [{"name": "pull"}],
    "volumes": [
        {"name": "a", "secret": {"secretName": "mounted"}},
        {"name": "b", "projected": {"sources": [{"configMap": {"name": "projected"}}]}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
    ],
    "containers": [{"name": "c", "image": "i", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}]}],
}


async def seeded(w: World) -> None:
    for name in ("n1", "n2"):
        await w.create("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    await w.create("pods", pod("mine", nodeName="n1", **MENTIONING))
    await w.create("pods", pod("other", nodeName="n2", imagePullSecrets=[{"name": "foreign"}]))
    await w.server.cache.fresh()


def may(w: World, verb: str, resource: str, name: str = "", **more: str) -> bool:
    asked = Asked(**{"verb": verb, "resource": resource, "namespace": "default", "name": name, **more})
    return w.server.rbac.decide(NODE, asked).allowed


async def test_a_node_sees_what_its_pods_mention() -> None:
    async with world() as w:
        await seeded(w)
        for name in ("pull", "mounted", "env"):
            assert may(w, "get", "secrets", name), name
        assert may(w, "watch", "configmaps", "projected")
        assert may(w, "get", "persistentvolumeclaims", "claim")
        assert may(w, "create", "serviceaccounts", "default", subresource="token")
        assert not may(w, "get", "secrets", "foreign")
        assert not may(w, "list", "secrets")
        assert not may(w, "update", "secrets", "pull")
        refused = w.server.rbac.decide(NODE, Asked(verb="get", resource="secrets", namespace="default", name="foreign"))
        assert refused.reason == "node 'n1' has no relationship found to this object"


async def test_a_node_does_what_nodes_do() -> None:
    async with world() as w:
        assert may(w, "list", "pods")
        assert may(w, "update", "leases", "n1", group="coordination.k8s.io", namespace="kube-node-lease")
        assert not may(w, "update", "leases", "n2", group="coordination.k8s.io", namespace="kube-node-lease")
        assert not may(w, "create", "deployments", group="apps")
        assert not w.server.rbac.decide(User("system:node:n1"), Asked(verb="list", resource="pods")).allowed


async def test_a_node_writes_nothing_but_its_own() -> None:
    async with world() as w:
        await seeded(w)
        w.client._user = NODE
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await w.patch("nodes", "n1", ready, namespace="", subresource="status", type="strategic")
        with pytest.raises(errors.StatusError, match='node "n1" is not allowed to modify node "n2"'):
            await w.patch("nodes", "n2", ready, namespace="", subresource="status", type="strategic")
        with pytest.raises(errors.StatusError, match=r"is not allowed to modify labels: node-restriction\.kubernetes\.io/team"):
            await w.patch("nodes", "n1", {"metadata": {"labels": {"node-restriction.kubernetes.io/team": "a"}}}, namespace="")
        running = {"status": {"phase": "Running"}}
        assert meta.status((await w.patch("pods", "mine", running, subresource="status")).obj)["phase"] == "Running"
        with pytest.raises(errors.StatusError, match='node "n1" can only update status for pods'):
            await w.patch("pods", "other", running, subresource="status")
        with pytest.raises(errors.StatusError, match="can only create mirror pods"):
            await w.create("pods", pod("new", nodeName="n1"))
        with pytest.raises(errors.StatusError, match='node "n1" can only delete pods'):
            await w.delete("pods", "other")
