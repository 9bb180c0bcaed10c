"""What every client must do alike: writes with revisions, refusals as StatusError, lists, watches."""

import asyncio
from typing import Any

import pytest

from reconciler.client import protocol
from reconciler.model import errors, meta, plan

ORIGIN = protocol.Origin(actor="test/contract")


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


async def create(client: protocol.Client, name: str, **data: str) -> protocol.Written:
    return await client.perform(plan.Create(kind="configmaps", body=config_map(name, **data), why="test"), ORIGIN)


async def test_create_returns_the_stored_object_and_its_revision(client: protocol.Client) -> None:
    written = await create(client, "a", x="1")
    assert written.revision == meta.revision(written.obj) > 0
    assert meta.uid(written.obj)
    assert await client.get("configmaps", "default", "a") == written.obj


async def test_create_names_its_field_manager(client: protocol.Client) -> None:
    written = await create(client, "a", x="1")
    assert [entry["manager"] for entry in meta.meta(written.obj)["managedFields"]] == ["tester"]


async def test_create_twice_is_already_exists(client: protocol.Client) -> None:
    await create(client, "a")
    with pytest.raises(errors.StatusError) as refused:
        await create(client, "a")
    assert (refused.value.code, refused.value.reason) == (409, "AlreadyExists")


async def test_get_of_nothing_is_not_found(client: protocol.Client) -> None:
    with pytest.raises(errors.StatusError) as refused:
        await client.get("configmaps", "default", "none")
    assert refused.value.status()["message"] == 'configmaps "none" not found'


async def test_refused_fields_are_causes(client: protocol.Client) -> None:
    with pytest.raises(errors.StatusError) as refused:
        await create(client, "Bad_Name")
    assert refused.value.details is not None
    assert refused.value.details["causes"][0]["field"] == "metadata.name"


async def test_update_on_an_old_revision_conflicts(client: protocol.Client) -> None:
    first = await create(client, "a", x="1")
    changed = meta.put(first.obj, ("data", "x"), "2")
    second = await client.perform(plan.Update(kind="configmaps", body=changed, why="test"), ORIGIN)
    assert second.revision > first.revision
    with pytest.raises(errors.StatusError) as refused:
        await client.perform(plan.Update(kind="configmaps", body=meta.put(first.obj, ("data", "x"), "3"), why="test"), ORIGIN)
    assert refused.value.reason == "Conflict"


async def test_an_update_that_changes_nothing_makes_no_revision(client: protocol.Client) -> None:
    first = await create(client, "a", x="1")
    same = await client.perform(plan.Update(kind="configmaps", body=first.obj, why="test"), ORIGIN)
    assert (same.revision, same.obj) == (0, first.obj)


@pytest.mark.parametrize(
    ("type_", "patch"),
    [
        ("merge", {"data": {"x": "2"}}),
        ("strategic", {"data": {"x": "2"}}),
        ("json", [{"op": "replace", "path": "/data/x", "value": "2"}]),
        ("apply", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "2"}}),
    ],
)
async def test_every_patch_type(client: protocol.Client, type_: plan.PatchType, patch: Any) -> None:
    first = await create(client, "a", x="1")
    action = plan.Patch(kind="configmaps", namespace="default", name="a", type=type_, patch=patch, force=type_ == "apply", why="test")
    written = await client.perform(action, ORIGIN)
    assert written.obj["data"] == {"x": "2"}
    assert written.revision > first.revision


async def test_a_patch_of_another_uid_is_refused(client: protocol.Client) -> None:
    await create(client, "a", x="1")
    action = plan.Patch(kind="configmaps", namespace="default", name="a", type="merge", patch={"data": {"x": "2"}}, uid="other", why="test")
    with pytest.raises(errors.StatusError) as refused:
        await client.perform(action, ORIGIN)
    assert refused.value.code in (409, 422)
    assert (await client.get("configmaps", "default", "a"))["data"] == {"x": "1"}


async def test_delete_returns_the_revision_that_removed_it(client: protocol.Client) -> None:
    first = await create(client, "a")
    gone = await client.perform(plan.Delete(kind="configmaps", namespace="default", name="a", why="test"), ORIGIN)
    assert gone.revision > first.revision
    with pytest.raises(errors.StatusError):
        await client.get("configmaps", "default", "a")


async def test_delete_holds_to_its_preconditions(client: protocol.Client) -> None:
    await create(client, "a")
    with pytest.raises(errors.StatusError) as refused:
        await client.perform(plan.Delete(kind="configmaps", namespace="default", name="a", uid="other", why="test"), ORIGIN)
    assert refused.value.reason == "Conflict"


async def test_dry_run_changes_nothing(client: protocol.Client) -> None:
    await client.perform(plan.Create(kind="configmaps", body=config_map("a"), why="test"), ORIGIN, protocol.Options(dry_run=True))
    with pytest.raises(errors.StatusError):
        await client.get("configmaps", "default", "a")


async def test_list_selects_and_pages(client: protocol.Client) -> None:
    for name in "abc":
        await create(client, name)
    first = await client.list("configmaps", "default", protocol.Query(limit=2))
    assert [meta.name(item) for item in first.items] == ["a", "b"]
    assert all(item["kind"] == "ConfigMap" for item in first.items)
    rest = await client.list("configmaps", "default", protocol.Query(limit=2, continue_token=first.continue_token))
    assert [meta.name(item) for item in rest.items] == ["c"]
    only = await client.list("configmaps", None, protocol.Query(field_selector="metadata.name=b"))
    assert [meta.name(item) for item in only.items] == ["b"]


async def test_watch_tells_of_every_change_after_a_revision(client: protocol.Client) -> None:
    first = await create(client, "a", x="1")
    await client.perform(plan.Update(kind="configmaps", body=meta.put(first.obj, ("data", "x"), "2"), why="test"), ORIGIN)
    await client.perform(plan.Delete(kind="configmaps", namespace="default", name="a", why="test"), ORIGIN)
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async for batch in client.watch("configmaps", first.revision, "default"):
            seen.extend((event.type, meta.name(event.obj)) for event in batch if event.type != "BOOKMARK")
            if len(seen) >= 3:
                return

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await create(client, "b")
    await asyncio.wait_for(following, 10)
    assert seen == [("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]


async def test_scale_and_bind(client: protocol.Client) -> None:
    container = {"name": "c", "image": "i"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [container]}}
    made = await client.perform(plan.Create(kind="pods", body=pod, why="test"), ORIGIN)
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "namespace": "default", "uid": meta.uid(made.obj)},
        "target": {"kind": "Node", "name": "n"},
    }
    bound = await client.perform(plan.Create(kind="pods", subresource="binding", body=binding, why="test"), ORIGIN)
    assert bound.revision > made.revision
    assert meta.spec(await client.get("pods", "default", "p"))["nodeName"] == "n"
    with pytest.raises(errors.StatusError) as refused:
        await client.perform(plan.Create(kind="pods", subresource="binding", body=binding, why="test"), ORIGIN)
    assert refused.value.reason == "Conflict"


async def test_roster_names_what_is_served(client: protocol.Client) -> None:
    roster = await client.roster()
    assert {"pods", "deployments.apps", "configmaps"} <= roster.kinds.keys()


async def test_an_unknown_kind_is_not_found(client: protocol.Client) -> None:
    with pytest.raises(errors.StatusError) as refused:
        await client.get("unicorns.example.com", "default", "a")
    assert refused.value.code == 404
