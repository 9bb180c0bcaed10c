"""The write path: what is stored, what is refused, what becomes provenance."""

import asyncio
import copy
import random

import pytest

from reconciler.client import protocol
from reconciler.kit import ids
from reconciler.model import errors, meta, plan
from tests.unit.api.world import ORIGIN, config_map, pod, service, world


async def test_the_server_writes_its_own_metadata() -> None:
    async with world() as w:
        sent = config_map("a", uid="mine", creationTimestamp="2001-01-01T00:00:00Z", deletionTimestamp="2001-01-01T00:00:00Z")
        made = meta.meta(await w.create("configmaps", sent))
        assert made["uid"] not in ("", "mine")
        assert made["creationTimestamp"] == "2023-11-14T22:13:20Z"
        assert "deletionTimestamp" not in made


async def test_provenance_reaches_the_journal() -> None:
    async with world() as w:
        await w.create("configmaps", config_map("a"))
        assert w.journal.provenances[-1].actor == "test/unit"
        assert (w.journal.provenances[-1].why, w.journal.provenances[-1].cause) == ("test", 7)
        assert w.journal.provenances[-1].source == "apps/web.yaml:3"


class Scripted(ids.Source):
    def __init__(self, *suffixes: str) -> None:
        super().__init__(random.Random(1))
        self._suffixes = iter(suffixes)

    def suffix(self, length: int = 5) -> str:
        return next(self._suffixes)


async def test_a_generated_name_is_tried_again_when_taken() -> None:
    async with world(source=Scripted("aaaaa", "aaaaa", "bbbbb")) as w:
        body = config_map("")
        body["metadata"] = {"generateName": "x-", "namespace": "default"}
        assert meta.name(await w.create("configmaps", body)) == "x-aaaaa"
        assert meta.name(await w.create("configmaps", body)) == "x-bbbbb"


async def test_an_object_being_deleted_goes_with_its_last_finalizer() -> None:
    async with world() as w:
        await w.create("configmaps", config_map("a", finalizers=["example.com/hold"]))
        held = await w.delete("configmaps", "a")
        assert meta.is_deleting(held.obj)
        assert await w.exists("configmaps", "a")
        gone = await w.patch("configmaps", "a", {"metadata": {"finalizers": None}})
        assert gone.revision > held.revision
        assert not await w.exists("configmaps", "a")


async def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    async with world() as w:
        await w.create("configmaps", config_map("a", finalizers=["example.com/hold"]))
        await w.delete("configmaps", "a")
        with pytest.raises(errors.StatusError, match="no new finalizers can be added"):
            await w.patch("configmaps", "a", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})


async def test_generation_follows_the_spec_alone() -> None:
    async with world() as w:
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "x"}},
                "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            },
        }
        assert meta.generation(await w.create("deployments.apps", body)) == 1
        labelled = await w.patch("deployments.apps", "d", {"metadata": {"labels": {"a": "b"}}})
        assert meta.generation(labelled.obj) == 1
        scaled = await w.patch("deployments.apps", "d", {"spec": {"replicas": 3}})
        assert meta.generation(scaled.obj) == 2
        reported = await w.patch("deployments.apps", "d", {"status": {"replicas": 1}}, subresource="status")
        assert meta.generation(reported.obj) == 2


async def test_writers_that_race_all_win_without_losing_a_change() -> None:
    async with world() as w:
        await w.create("configmaps", config_map("a"))
        await asyncio.gather(*(w.patch("configmaps", "a", {"data": {f"k{number}": "v"}}) for number in range(6)))
        data = (await w.client.get("configmaps", "default", "a"))["data"]
        assert sorted(data) == [f"k{number}" for number in range(6)]


async def test_a_full_disk_refuses_writes_and_lets_deletions_pass() -> None:
    async with world() as w:
        await w.create("configmaps", config_map("a"))
        w.journal.full = True
        with pytest.raises(errors.StatusError) as refused:
            await w.create("configmaps", config_map("b"))
        assert refused.value.code == 507
        await w.delete("configmaps", "a")
        assert not await w.exists("configmaps", "a")


async def test_owner_references_in_a_circle_do_no_harm() -> None:
    async with world() as w:
        first = await w.create("configmaps", config_map("a"))
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": meta.uid(first)}
        second = await w.create("configmaps", config_map("b", ownerReferences=[reference]))
        back = {**reference, "name": "b", "uid": meta.uid(second)}
        await w.patch("configmaps", "a", {"metadata": {"ownerReferences": [back]}})
        await w.delete("configmaps", "a")
        assert not await w.exists("configmaps", "a")


@pytest.mark.parametrize("name", ["a/b", "..", "../x", "A", "a%2fb", ""])
async def test_names_that_would_leave_their_place_are_refused(name: str) -> None:
    async with world() as w:
        with pytest.raises(errors.StatusError) as refused:
            await w.create("configmaps", config_map(name))
        assert refused.value.code == 422


async def test_an_unknown_field_is_refused_by_its_path() -> None:
    async with world() as w:
        body = pod("p")
        body["spec"]["containers"][0]["imagee"] = "x"
        with pytest.raises(errors.StatusError, match=r'unknown field "spec.containers\[0\].imagee"'):
            await w.create("pods", body)


async def test_twins_differ_in_name_and_identity_alone() -> None:
    async with world() as w:
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}
        bodies = []
        for name in ("p1", "p2"):
            body = pod(name)
            body["metadata"]["ownerReferences"] = [owner]
            bodies.append(body)
        first, second = [await w.create("pods", body) for body in bodies]
        assert first["spec"] is second["spec"]
        assert meta.uid(first) != meta.uid(second)
        assert meta.name(second) == "p2"
        with pytest.raises(errors.StatusError, match="already exists"):
            await w.create("pods", bodies[1])


async def test_a_twin_is_made_anew_when_admission_would_see_another_world() -> None:
    async with world() as w:
        body = pod("p1")
        body["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}]
        first = await w.create("pods", body)
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
        await w.create("serviceaccounts", {**account, "imagePullSecrets": [{"name": "pull"}]})
        second = await w.create("pods", {**body, "metadata": {**body["metadata"], "name": "p2"}})
        assert "imagePullSecrets" not in meta.spec(first)
        assert meta.spec(second)["imagePullSecrets"] == [{"name": "pull"}]


async def test_a_quota_counts_pods_alike() -> None:
    async with world() as w:
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}
        body = pod("p1")
        body["metadata"]["ownerReferences"] = [owner]
        await w.create("pods", body)
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}}
        await w.create("resourcequotas", {**quota, "spec": {"hard": {"pods": "1"}}})
        with pytest.raises(errors.StatusError, match="quota: q"):
            await w.create("pods", {**body, "metadata": {**body["metadata"], "name": "p2"}})


async def test_dry_run_of_an_update_shows_the_outcome_and_keeps_the_object() -> None:
    async with world() as w:
        made = await w.create("configmaps", config_map("a"))
        changed = meta.put(made, ("data",), {"x": "y"})
        tried = await w.client.perform(plan.Update(kind="configmaps", body=changed, why="test"), ORIGIN, protocol.Options(dry_run=True))
        assert tried.obj["data"] == {"x": "y"}
        assert tried.revision == 0
        assert "data" not in await w.client.get("configmaps", "default", "a")


async def test_a_service_gives_back_what_it_does_not_come_to_hold() -> None:
    async with world(service_range="10.0.0.0/29", node_ports=range(30000, 30001)) as w:
        w.journal.full = True
        for _ in range(8):
            with pytest.raises(errors.StatusError) as refused:
                await w.create("services", service("s", type="NodePort"))
            assert refused.value.code == 507
        w.journal.full = False
        await w.create("services", service("s", type="NodePort"), dry_run=True)
        await w.create("services", service("s", type="NodePort"))
        plain = {"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": None}], "externalTrafficPolicy": None}}
        await w.patch("services", "s", plain)
        await w.create("services", service("t", type="NodePort"))
        await w.delete("services", "t")
        await w.create("services", service("u", type="NodePort"))


async def test_applying_what_is_stored_in_other_words_is_no_write() -> None:
    async with world() as w:
        containers = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1000m", "memory": "1024Ki"}}}]
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": containers}}
        first = await w.patch("pods", "p", body, type="apply")
        w.time.advance(5)
        again = await w.patch("pods", "p", body, type="apply")
        assert meta.resource_version(again.obj) == meta.resource_version(first.obj)
        assert meta.meta(again.obj)["managedFields"] == meta.meta(first.obj)["managedFields"]


async def test_an_update_that_shares_with_what_is_stored_is_judged_by_what_it_changes() -> None:
    """The same change, made on a copy that shares the rest and on one that shares nothing, comes to the same."""
    outcomes = []
    for copied in (lambda obj: obj, copy.deepcopy):
        async with world(source=ids.Source(random.Random(1))) as w:
            await w.create("pods", {**pod("a"), "metadata": {"name": "a", "namespace": "default", "finalizers": ["example.com/hold"]}})
            stored = copied(await w.client.get("pods", "default", "a"))
            released = await w.client.perform(
                plan.Update(kind="pods", body=meta.put(stored, ("metadata", "finalizers"), []), why=""), ORIGIN
            )
            stored = copied(released.obj)
            told = []
            for path, value in (
                (("spec", "restartPolicy"), "Never"),
                (("spec", "dnsPolicy"), 7),
                (("metadata", "labels"), {"a": "-"}),
                (("metadata", "finalizers"), "x"),
            ):
                with pytest.raises(errors.StatusError) as refusal:
                    await w.client.perform(plan.Update(kind="pods", body=meta.put(stored, path, value), why=""), ORIGIN)
                told.append(refusal.value.message)
            outcomes.append((released.obj, told))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][1]) == 4


async def test_what_is_invalid_is_told_so_before_that_it_exists() -> None:
    async with world() as w:
        await w.create("services", service("s"))
        with pytest.raises(errors.StatusError) as refused:
            await w.create("services", service("s", type="Nope"))
        assert (refused.value.code, "Nope" in refused.value.message) == (422, True)
        with pytest.raises(errors.StatusError) as refused:
            await w.create("services", service("s"))
        assert (refused.value.code, refused.value.reason) == (409, "AlreadyExists")
        await w.delete("services", "s")
        await w.create("services", service("s"))
