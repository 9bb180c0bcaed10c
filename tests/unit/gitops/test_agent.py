"""The agent on a real folder over a real API: applies, corrects, prunes, refuses, halts, tells."""

import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest

from reconciler.gitops import marks, plan
from reconciler.gitops.identity import Identity
from tests.unit.gitops.world import config, running

WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: host, resources: {requests: {cpu: "0.5"}}}]
"""


async def test_first_sync_in_order_and_then_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n---\n" + config("a", "1", "prod"))
    async with running(tmp_path) as world:
        assert await world.data("a", "prod") == {"k": "1"}
        found = await world.get("configmaps", "a", "prod")
        assert found is not None
        assert found["metadata"]["labels"][marks.SYNC] == "default"
        assert found["metadata"]["annotations"][marks.SOURCE] == "web.yaml"
        assert world.state() == "Synced"
        assert [(action.kind, action.why) for action in world.writes] == [  # type: ignore[attr-defined]
            ("namespaces", "web.yaml:1 defines it"),
            ("configmaps", "web.yaml:5 defines it"),
        ]
        provenance = next(one for one in world.journal.provenances if one.actor == "gitops/default" and "web.yaml:5" in one.why)
        assert provenance.source == "web.yaml:5"
        world.writes.clear()
        await world.stop()
        await world.start()
        assert world.writes == []


async def test_a_save_is_applied_and_its_difference_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    async with running(tmp_path) as world:
        world.write("web.yaml", WEB.replace("replicas: 2", "replicas: 3"))
        await world.until(lambda: world.agent.report()[0]["changes"] == ["~ Deployment default/web spec.replicas 2 -> 3"], "the change")
        assert len(world.writes) == 2


async def test_atomic_saves_new_directories_and_links(tmp_path: pathlib.Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    async with running(root) as world:
        world.write(".a.yaml.swp", config("a", "1"))
        os.replace(root / ".a.yaml.swp", root / "a.yaml")
        await world.until(lambda: world.cache.get("configmaps", "default", "a"), "a file moved into place")
        world.write("deep/er/b.yml", config("b", "1"))
        await world.until(lambda: world.cache.get("configmaps", "default", "b"), "a file in new directories")
        (outside / "c.json").write_text('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}')
        (root / "link").symlink_to(outside)
        await world.until(lambda: world.cache.get("configmaps", "default", "c"), "what a link leads to")
        (outside / "d.yaml").write_text(config("d"))
        await world.until(lambda: world.cache.get("configmaps", "default", "d"), "a change behind a link")


async def test_a_mounted_config_map_is_swapped_as_a_whole(tmp_path: pathlib.Path) -> None:
    for version in ("1", "2"):
        (tmp_path / f"..v{version}").mkdir()
        (tmp_path / f"..v{version}/a.yaml").write_text(config("a", version))
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    async with running(tmp_path) as world:
        assert await world.data("a") == {"k": "1"}
        (tmp_path / "..tmp").symlink_to("..v2")
        os.replace(tmp_path / "..tmp", tmp_path / "..data")
        await world.until(lambda: _data(world, "a") == {"k": "2"}, "the swapped content")


async def test_the_root_itself_may_be_a_link_that_is_swapped(tmp_path: pathlib.Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(config("a", version))
    (tmp_path / "current").symlink_to("1")
    async with running(tmp_path / "current") as world:
        (tmp_path / "next").symlink_to("2")
        os.replace(tmp_path / "next", tmp_path / "current")
        await world.until(lambda: _data(world, "a") == {"k": "2"}, "the other release")


async def test_what_disappears_is_pruned_and_what_moves_is_adopted(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text(config("a", "1") + "---\n" + config("b", "1"))
    (tmp_path / "keep.yaml").write_text(config("keep"))
    async with running(tmp_path) as world:
        before = world.cache.get("configmaps", "default", "a")
        assert before is not None
        world.write("other/z.yaml", config("a", "1"))
        (tmp_path / "a.yaml").unlink()
        await world.until(lambda: world.cache.get("configmaps", "default", "b") is None, "b pruned")
        after = await world.get("configmaps", "a")
        assert after is not None
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["metadata"]["annotations"][marks.SOURCE] == "other/z.yaml"


async def test_drift_is_corrected_and_other_writers_are_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    async with running(tmp_path) as world:
        await world.patch("deployments.apps", "web", {"spec": {"minReadySeconds": 7}})
        await world.patch("deployments.apps", "web", {"spec": {"replicas": 9}})
        await world.until(lambda: len(world.writes) == 2 and _spec(world, "web")["replicas"] == 2, "two replicas again")
        assert _spec(world, "web")["minReadySeconds"] == 7
        assert [action.why for action in world.writes][1:] == ["drift: kubectl-edit changed spec.replicas"]
        await world.delete("deployments.apps", "web")
        await world.until(lambda: world.cache.get("deployments.apps", "default", "web"), "made again")


async def test_a_bad_document_blocks_only_itself(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text(config("a", "1") + "---\n" + WEB)
    (tmp_path / "b.yaml").write_text(config("b", "1"))
    async with running(tmp_path) as world:
        broken = WEB.replace("replicas: 2", 'replicas: "2"').replace("image: host", "imagee: host")
        world.write("a.yaml", config("a", "2") + "---\n" + broken)
        world.write("b.yaml", config("b", "2"))
        await world.until(lambda: _data(world, "b") == {"k": "2"} and _data(world, "a") == {"k": "2"}, "the good ones")
        await world.until(lambda: len(world.errors()) == 2, "both errors")
        assert world.errors() == [
            'a.yaml:10:3: spec.replicas: must be an integer, not a string "2": remove the quotes',
            "a.yaml:15:32: spec.template.spec.containers[0].imagee: there is no such field: did you mean image?",
        ]
        assert world.state() == "Blocked"
        assert _spec(world, "web")["replicas"] == 2

        async def told() -> bool:
            events = await world.client.list("events", "default")
            return {event["reason"] for event in events.items} == {"DocumentRefused"}

        await world.until(told, "the event")
        world.write("a.yaml", config("a", "2") + "---\n" + WEB)
        await world.until(lambda: world.state() == "Synced", "no error any more")


async def test_what_waits_for_a_namespace_is_applied_when_it_comes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text(config("a", "1", "later"))
    async with running(tmp_path) as world:
        assert world.errors() == [
            "a.yaml:3:21: metadata.namespace: namespace later does not exist: add a Namespace document or correct the name"
        ]
        world.write("z.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: later}\n")
        await world.until(lambda: world.cache.get("configmaps", "later", "a"), "applied")
        await world.until(lambda: world.state() == "Synced", "well")


@pytest.mark.parametrize("how", ["emptied", "vanished", "replaced by a file"])
async def test_a_folder_that_is_empty_or_gone_deletes_nothing(tmp_path: pathlib.Path, how: str) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    root.mkdir()
    (root / "a.yaml").write_text(config("a", "1"))
    async with running(root) as world:
        if how == "emptied":
            (root / "a.yaml").unlink()
        else:
            root.rename(away)
            if how == "replaced by a file":
                root.write_text("")
        expected = {"emptied": "SourceEmpty", "vanished": "SourceMissing", "replaced by a file": "SourceUnreadable"}[how]
        await world.until(lambda: expected in world.reasons(), expected)
        assert world.state() == "Stopped"
        await world.patch("configmaps", "a", {"data": {"k": "theirs"}})
        await world.until(lambda: len(world.writes) == 2 and _data(world, "a") == {"k": "1"}, "drift is corrected even so")
        await world.stop()
        await world.start()
        await world.until(lambda: expected in world.reasons(), "the same after a restart")
        assert await world.data("a") == {"k": "1"}
        if root.is_file():
            root.unlink()
        shutil.copytree(away, root) if how != "emptied" else world.write("a.yaml", config("b", "1"))
        await world.until(lambda: world.state() == "Synced", "well again")
        if how == "emptied":
            await world.until(lambda: world.cache.get("configmaps", "default", "a") is None, "pruned, as another document came")


async def test_a_file_broken_across_a_restart_keeps_its_objects(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text(config("a", "1"))
    (tmp_path / "b.yaml").write_text(config("b", "1"))
    async with running(tmp_path) as world:
        await world.stop()
        (tmp_path / "a.yaml").write_text("kind: [")
        (tmp_path / "b.yaml").write_text(config("c", "1"))
        await world.start()
        await world.until(lambda: world.cache.get("configmaps", "default", "b") is None, "b pruned")
        assert await world.data("a") == {"k": "1"}
        await world.until(lambda: "PruneHeld" in world.reasons(), "it says so")


async def test_the_sync_object_says_how_it_stands(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text(config("a", "1") + "---\nkind: [\n")
    async with running(tmp_path) as world:
        found: Any = await world.until(lambda: world.sync().get("status"), "the status")
        assert found["state"] == "Blocked"
        assert found["problems"] == [{"place": "a.yaml:7:1", "message": "while parsing a flow node did not find expected node content"}]
        assert {(one["type"], one["status"], one["reason"]) for one in found["conditions"]} == {
            ("Ready", "False", "ProblemsFound"),
            ("Stalled", "True", "ProblemsFound"),
            ("SourceAvailable", "True", "Found"),
            ("Pruned", "True", "NothingHeld"),
        }
        revision = world.journal.revision
        world.write("a.yaml", (tmp_path / "a.yaml").read_text() + "\n")
        await world.until(lambda: not world.agent._alarm._woken.is_set(), "idle")
        assert world.journal.revision == revision


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
async def test_a_checkout_names_its_commit(tmp_path: pathlib.Path) -> None:
    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q", "-b", "main")
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/a.yaml").write_text(config("a", "1"))
    (tmp_path / "apps/b.yaml").write_text(config("b", "1"))
    git("add", ".")
    git("commit", "-qm", "first")
    first = git("rev-parse", "HEAD")
    (tmp_path / "apps/b.yaml").write_text(config("b", "2"))
    async with running(tmp_path / "apps") as world:
        assert world.agent.report()[0]["commit"] == first
        sources = {action.source for action in world.writes}  # type: ignore[attr-defined]
        assert sources == {f"a.yaml:1 (commit {first[:12]})", f"b.yaml:1 (uncommitted, after {first[:12]})"}
        git("checkout", "-q", "-b", "other")
        (tmp_path / "apps/a.yaml").write_text(config("a", "3"))
        git("commit", "-qam", "second")
        git("checkout", "-q", "main")
        await world.until(lambda: _data(world, "a") == {"k": "1"} and world.agent.report()[0]["commit"] == first, "back")
        git("checkout", "-q", "other")
        await world.until(lambda: _data(world, "a") == {"k": "3"} and world.agent.report()[0]["commit"] != first, "the other branch")


def _data(world: Any, name: str) -> Any:
    return (world.cache.get("configmaps", "default", name) or {}).get("data")


def _spec(world: Any, name: str) -> Any:
    return (world.cache.get("deployments.apps", "default", name) or {}).get("spec") or {}


async def test_a_change_of_one_file_evaluates_what_it_holds(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        (tmp_path / f"{number}.yaml").write_text(config(f"c-{number}", "1"))
    evaluated: list[str] = []
    applies = plan.applies

    def noted(context: plan.Context, identities: Iterable[Identity]) -> plan.Decision:
        found = list(identities)
        evaluated.extend(identity.name for identity in found)
        return applies(context, found)

    async with running(tmp_path) as world:
        await world.until(lambda: world.condition("Ready") and world.condition("Ready")[0] == "True", "the first sync")
        monkeypatch.setattr(plan, "applies", noted)
        world.write("7.yaml", config("c-7", "2"))
        await world.until(lambda: (world.cache.get("configmaps", "default", "c-7") or {}).get("data") == {"k": "2"}, "the change")
    assert set(evaluated) == {"c-7"}
