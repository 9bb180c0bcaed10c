"""What each admission plugin adds or refuses, seen from a client."""

import pytest

from reconciler.model import errors, meta
from tests.unit.api.world import config_map, pod, world

VOLUME = "/var/run/secrets/kubernetes.io/serviceaccount"


async def test_nothing_is_made_in_a_namespace_that_is_absent_or_going() -> None:
    async with world() as w:
        absent = config_map("a")
        absent["metadata"]["namespace"] = "none"
        with pytest.raises(errors.StatusError, match='namespaces "none" not found'):
            await w.create("configmaps", absent)
        await w.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}})
        await w.delete("namespaces", "going", namespace="")
        absent["metadata"]["namespace"] = "going"
        with pytest.raises(errors.StatusError) as refused:
            await w.create("configmaps", absent)
        assert refused.value.details is not None
        assert refused.value.details["causes"][0]["reason"] == "NamespaceTerminating"


async def test_the_systems_own_namespaces_stay() -> None:
    async with world() as w:
        with pytest.raises(errors.StatusError, match="this namespace may not be deleted"):
            await w.delete("namespaces", "default", namespace="")


async def test_pods_run_as_the_default_account_with_its_token() -> None:
    async with world() as w:
        spec = meta.spec(await w.create("pods", pod("p")))
        assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
        assert spec["containers"][0]["volumeMounts"][0]["mountPath"] == VOLUME
        assert spec["volumes"][0]["name"] == spec["containers"][0]["volumeMounts"][0]["name"]
        off = meta.spec(await w.create("pods", pod("q", automountServiceAccountToken=False)))
        assert "volumes" not in off


async def test_tokens_can_be_left_out_altogether() -> None:
    async with world(mount_tokens=False) as w:
        assert "volumes" not in meta.spec(await w.create("pods", pod("p")))


async def test_an_account_that_is_named_must_exist() -> None:
    async with world() as w:
        with pytest.raises(errors.StatusError, match='error looking up service account default/x: serviceaccount "x" not found'):
            await w.create("pods", pod("p", serviceAccountName="x"))


async def test_priority_comes_from_the_class() -> None:
    async with world() as w:
        high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}
        await w.create("priorityclasses.scheduling.k8s.io", high)
        assert meta.spec(await w.create("pods", pod("p", priorityClassName="high")))["priority"] == 1000
        assert meta.spec(await w.create("pods", pod("q")))["priority"] == 0
        with pytest.raises(errors.StatusError, match="no PriorityClass with name none was found"):
            await w.create("pods", pod("r", priorityClassName="none"))
        with pytest.raises(errors.StatusError, match="must not be provided in pod spec"):
            await w.create("pods", pod("s", priority=5))


async def test_only_one_class_is_everybodys_default() -> None:
    async with world() as w:
        for name in ("one", "two"):
            body = {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": 1,
                "globalDefault": True,
            }
            if name == "one":
                await w.create("priorityclasses.scheduling.k8s.io", body)
                continue
            with pytest.raises(errors.StatusError, match="already marked as default"):
                await w.create("priorityclasses.scheduling.k8s.io", body)
        assert meta.spec(await w.create("pods", pod("p")))["priorityClassName"] == "one"


async def test_pods_stay_five_minutes_on_a_lost_node() -> None:
    async with world() as w:
        tolerations = meta.spec(await w.create("pods", pod("p")))["tolerations"]
        assert {(one["key"], one["tolerationSeconds"]) for one in tolerations} == {
            ("node.kubernetes.io/not-ready", 300),
            ("node.kubernetes.io/unreachable", 300),
        }
        everything = [{"operator": "Exists"}]
        assert meta.spec(await w.create("pods", pod("q", tolerations=everything)))["tolerations"] == everything


async def test_volumes_are_protected_while_in_use() -> None:
    async with world() as w:
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "c", "namespace": "default"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        assert meta.finalizers(await w.create("persistentvolumeclaims", claim)) == ("kubernetes.io/pvc-protection",)
