"""What was applied before, and the way back."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.cli import history as verb
from reconciler.gitops import history, load
from reconciler.gitops.identity import Identity
from tests.unit.gitops.test_fleet import commit, git, repository
from tests.unit.gitops.test_settings import READY, WEB, spec, status
from tests.unit.gitops.world import World, config, running


@pytest.fixture
def kept(tmp_path: pathlib.Path) -> Iterator[history.History]:
    made = history.History(tmp_path / "history.db")
    yield made
    made.close()


def document(name: str, value: str) -> dict[Identity, load.Document]:
    (found,) = load.parse(f"{name}.yaml", config(name, value).encode()).documents
    return {Identity("configmaps", "default", name): found}


def data(world: World, name: str) -> Any:
    return (world.cache.get("configmaps", "default", name) or {}).get("data")


def test_a_document_is_kept_once_for_as_long_as_it_stays_the_same(kept: history.History) -> None:
    entry = history.Entry(0, "2026-01-01T00:00:00Z")
    kept.record("s", entry, {**document("a", "1"), **document("b", "1")}, [])
    kept.record("s", entry, document("a", "2"), [])
    kept.record("s", entry, {}, [Identity("configmaps", "default", "b")])
    kept.record("other", entry, document("z", "1"), [])
    found = [{path: file.documents[0].body["data"]["k"] for path, file in kept.files("s", number).items()} for number in (1, 2, 3)]
    assert found == [{"a.yaml": "1", "b.yaml": "1"}, {"a.yaml": "2", "b.yaml": "1"}, {"a.yaml": "2"}]
    assert list(kept.current("s")) == [Identity("configmaps", "default", "a")]
    assert [entry.number for entry in kept.entries("s")] == [3, 2, 1]
    with pytest.raises(KeyError):
        kept.files("s", 4)


def test_old_revisions_are_forgotten(kept: history.History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_REVISIONS", 2)
    for value in "1234":
        kept.record("s", history.Entry(0, ""), document("a", value), [])
    assert [entry.number for entry in kept.entries("s")] == [4, 3]
    assert kept.files("s", 3)["a.yaml"].documents[0].body["data"] == {"k": "3"}
    with pytest.raises(KeyError):
        kept.files("s", 2)


async def test_every_sync_is_recorded_with_its_commit(tmp_path: pathlib.Path, kept: history.History) -> None:
    root = repository(tmp_path / "root")
    first = commit(root, "a.yaml", config("a", "1"))
    async with running(root, kept) as world:
        second = commit(root, "a.yaml", config("a", "2") + "---\n" + config("b"))

        async def recorded() -> Any:
            found = await world.agent.revisions()  # type: ignore[union-attr]
            return found if len(found) == 2 and found[0]["outcome"] == "Healthy" else None

        newest, oldest = await world.until(recorded, "both revisions")
        assert (oldest["commit"], newest["commit"]) == (first, second)
        assert (newest["author"], newest["subject"]) == ("a <a@example.com>", "change a.yaml")
        assert newest["changes"] == ["~ ConfigMap default/a data.k 1 -> 2", "+ ConfigMap default/b"]
        shown = verb.render([newest, oldest], with_changes=True)
        assert f"{second[:12]} a <a@example.com> Healthy change a.yaml" in " ".join(shown.split())
        assert "    + ConfigMap default/b\n" in shown
        await world.stop()
        await world.start()
        assert len(await world.agent.revisions()) == 2  # type: ignore[union-attr]


async def test_rollback_holds_until_the_folder_changes(tmp_path: pathlib.Path, kept: history.History) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.yaml").write_text(config("a", "1") + "---\n" + config("b", "1"))
    async with running(root, kept) as world:
        await world.until(lambda: len(kept.entries("default")) == 1, "the first revision")
        world.write("a.yaml", config("a", "2"))
        await world.until(lambda: data(world, "a") == {"k": "2"} and data(world, "b") is None, "the second")
        await world.until(lambda: len(kept.entries("default")) == 2, "its record")
        assert await world.agent.rollback(1) == 1  # type: ignore[union-attr, call-arg]
        await world.until(lambda: data(world, "a") == {"k": "1"} and data(world, "b") == {"k": "1"}, "the first again")
        await world.until(lambda: (world.condition("FollowsSource") or ("",) * 3)[1] == "RolledBack", "the condition")
        await world.stop()
        await world.start()
        assert data(world, "a") == {"k": "1"}, "a restart forgets nothing"
        world.write("a.yaml", config("a", "3"))
        await world.until(lambda: data(world, "a") == {"k": "3"} and data(world, "b") is None, "the folder again")
        with pytest.raises(KeyError):
            await world.agent.rollback(99)  # type: ignore[union-attr, call-arg]


async def test_a_failed_revision_goes_back_by_itself_and_is_not_tried_again(tmp_path: pathlib.Path, kept: history.History) -> None:
    root = repository(tmp_path / "root")
    commit(root, "web.yaml", WEB)
    async with running(root, kept) as world:
        await status(world, "deployments.apps", "web", READY)
        await world.until(lambda: [one.outcome for one in kept.entries("default")] == ["Healthy"], "a healthy revision")
        await world.settings(rollback=True, healthTimeoutSeconds=1)
        bad = commit(root, "web.yaml", WEB.replace("image: host", "image: broken"))
        await world.until(lambda: spec(world)["template"]["spec"]["containers"][0]["image"] == "broken", "the bad commit")
        await status(world, "deployments.apps", "web", {"observedGeneration": 1})
        await world.until(lambda: spec(world)["template"]["spec"]["containers"][0]["image"] == "host", "the way back")
        assert any("revision 1 is applied again, for the last one failed" in line for line in world.told)
        await world.stop()
        await world.start()
        assert git(root, "rev-parse", "HEAD") == bad
        assert spec(world)["template"]["spec"]["containers"][0]["image"] == "host", "not tried again"
        commit(root, "web.yaml", WEB.replace("image: host", "image: better"))
        await world.until(lambda: spec(world)["template"]["spec"]["containers"][0]["image"] == "better", "the next commit")
