"""Several Syncs: each object has one owner, what moves is handed over, what is deleted clears up, repositories are fetched."""

import os
import pathlib
import subprocess
from typing import Any

import pytest

from reconciler.gitops import marks, remote, semver, sync
from reconciler.model import plan
from tests.unit.gitops.world import USER, FleetWorld, config, following

AUTHOR = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com"}


def a_sync(name: str, spec: str) -> str:
    return f"apiVersion: reconciler.dev/v1\nkind: Sync\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def git(directory: pathlib.Path, *arguments: str) -> str:
    environment = {**os.environ, **AUTHOR, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", "-C", str(directory), *arguments], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def repository(directory: pathlib.Path) -> pathlib.Path:
    directory.mkdir()
    git(directory, "init", "-q", "-b", "main")
    return directory


def commit(directory: pathlib.Path, path: str, text: str) -> str:
    target = directory / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "-m", f"change {path}")
    return git(directory, "rev-parse", "HEAD")


def folders(tmp_path: pathlib.Path, *names: str) -> pathlib.Path:
    """A main folder that describes a Sync for each of the others."""
    root = tmp_path / "root"
    root.mkdir()
    for name in names:
        (tmp_path / name).mkdir()
        (root / f"{name}.yaml").write_text(a_sync(name, f"{{path: {tmp_path / name}}}"))
    return root


def live(world: FleetWorld, name: str) -> Any:
    return world.cache.get("configmaps", "default", name)


def owner(world: FleetWorld, name: str) -> str:
    found = live(world, name)
    return found["metadata"]["labels"][marks.SYNC] if found else ""


async def test_a_sync_in_the_folder_is_followed_and_clears_up_when_it_goes(tmp_path: pathlib.Path) -> None:
    root = folders(tmp_path, "apps")
    (root / "keep.yaml").write_text(config("keep"))
    (tmp_path / "apps" / "a.yaml").write_text(config("a", "1"))
    async with following(root) as world:
        await world.until(lambda: owner(world, "a") == "apps", "the other folder")
        await world.until(lambda: (world.report("apps") or {}).get("state") == "Synced", "its report")
        (root / "apps.yaml").unlink()
        await world.until(lambda: live(world, "a") is None, "what it applied to go with it")
        await world.until(lambda: world.cache.get(sync.KIND.id, "", "apps") is None, "its object to go")
        assert live(world, "keep")


async def test_syncs_without_a_folder_of_one_s_own(tmp_path: pathlib.Path) -> None:
    root = folders(tmp_path, "apps")
    (tmp_path / "apps/a.yaml").write_text(config("a", "1"))
    async with following(root, has_folder=False) as world:
        await world.until(lambda: world.cache.has(sync.KIND.id), "the kind to be served")
        body = {"metadata": {"name": "default"}, "spec": {"path": str(tmp_path / "apps")}}
        await world.client.perform(plan.Create(kind=sync.KIND.id, body=body, why="test"), USER)
        await world.until(lambda: owner(world, "a") == "default", "what it holds")
        assert [one["name"] for one in world.agent.report()] == ["default"]
        await world.delete(sync.KIND.id, "default", "")
        await world.until(lambda: live(world, "a") is None, "its end")


async def test_one_owner_and_an_error_that_names_both(tmp_path: pathlib.Path) -> None:
    root = folders(tmp_path, "one")
    (tmp_path / "one" / "a.yaml").write_text(config("a", "1"))
    async with following(root) as world:
        await world.until(lambda: owner(world, "a") == "one", "the first")
        world.write("sub/b.yaml", config("a", "2"))
        (problem,) = await world.until(lambda: world.report("default")["errors"], "the dispute")
        assert problem == "sub/b.yaml:3:12: metadata.name: ConfigMap default/a belongs to Sync one (a.yaml): remove one of the two"
        assert live(world, "a")["data"] == {"k": "1"}


async def test_what_moves_to_another_sync_is_handed_over(tmp_path: pathlib.Path) -> None:
    root = folders(tmp_path, "one", "two")
    (tmp_path / "one" / "a.yaml").write_text(config("a", "1"))
    (tmp_path / "one" / "stays.yaml").write_text(config("stays"))
    async with following(root) as world:
        await world.until(lambda: owner(world, "a") == "one", "the first")
        uid = live(world, "a")["metadata"]["uid"]
        await world.until(lambda: (world.report("two") or {}).get("state") == "Synced", "the second")
        (tmp_path / "one" / "a.yaml").rename(tmp_path / "two" / "b.yaml")
        await world.until(lambda: owner(world, "a") == "two", "the handing over")
        assert live(world, "a")["metadata"]["uid"] == uid


async def test_a_sync_waits_for_the_ones_it_depends_on(tmp_path: pathlib.Path) -> None:
    root = folders(tmp_path, "base")
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "l.yaml").write_text(config("late"))
    (tmp_path / "base" / "b.yaml").write_text("kind: [\n")
    (root / "late.yaml").write_text(a_sync("late", f"{{path: {tmp_path / 'late'}, dependsOn: [base]}}"))
    async with following(root) as world:
        await world.until(lambda: "Sync base to be ready" in str((world.report("late") or {}).get("ready")), "the wait")
        assert live(world, "late") is None
        (tmp_path / "base" / "b.yaml").write_text(config("b"))
        await world.until(lambda: live(world, "late"), "its turn")


async def test_a_repository_is_fetched_and_an_unreachable_one_changes_nothing(tmp_path: pathlib.Path) -> None:
    origin = repository(tmp_path / "origin")
    first = commit(origin, "deploy/a.yaml", config("a", "1") + "---\n" + config("b"))
    commit(origin, "other/x.yaml", config("x"))
    root = folders(tmp_path)
    (root / "g.yaml").write_text(a_sync("g", f"{{path: deploy, git: {{url: 'file://{origin}', branch: main, intervalSeconds: 1}}}}"))
    async with following(root) as world:
        await world.until(lambda: owner(world, "a") == "g", "the first commit")
        assert live(world, "x") is None
        second = commit(origin, "deploy/a.yaml", config("a", "2"))
        await world.until(lambda: live(world, "a")["data"] == {"k": "2"} and live(world, "b") is None, "the second commit")
        await world.until(lambda: world.report("g")["commit"] == second, "its name")
        origin.rename(tmp_path / "gone")
        (found,) = await world.until(lambda: unreachable(world, "g"), "the news")
        assert "what was fetched last stays applied" in found
        await world.delete("configmaps", "a")
        await world.until(lambda: live(world, "a"), "drift to be corrected all the same")
        (tmp_path / "gone").rename(origin)
        git(origin, "reset", "-q", "--hard", first)
        await world.until(lambda: live(world, "a")["data"] == {"k": "1"} and live(world, "b"), "a branch that was forced back")


async def fetched(tmp_path: pathlib.Path, origin: pathlib.Path, **wanted: Any) -> str:
    return await remote.Remote(tmp_path / "data").fetch(sync.Git(url=str(origin), **wanted))


async def test_references(tmp_path: pathlib.Path) -> None:
    origin = repository(tmp_path / "origin")
    commits = {}
    for tag in ("v1.0.0", "v1.2.0", "v1.3.0-rc.1", "v2.0.0", "nightly"):
        commits[tag] = commit(origin, "a.yaml", config("a", tag))
        git(origin, "tag", tag)
    git(origin, "switch", "-q", "-c", "topic", "v1.0.0")
    git(origin, "switch", "-q", "main")
    assert await fetched(tmp_path, origin) == commits["nightly"]
    assert await fetched(tmp_path, origin, branch="topic") == commits["v1.0.0"]
    assert await fetched(tmp_path, origin, tag="v1.2.0") == commits["v1.2.0"]
    assert await fetched(tmp_path, origin, semver="1.x") == commits["v1.2.0"]
    assert (tmp_path / "data/checkout/a.yaml").read_text() == config("a", "v1.2.0")
    for wanted, message in (
        ({"branch": "no"}, "no"),
        ({"semver": "3.x"}, "none of the 5 tags"),
        ({"semver": "?"}, "is no range of versions"),
    ):
        with pytest.raises(remote.Unreachable, match=message):
            await fetched(tmp_path, origin, **wanted)
    assert (tmp_path / "data/checkout/a.yaml").read_text() == config("a", "v1.2.0")
    with pytest.raises(remote.Unreachable, match="no address of a repository"):
        await remote.Remote(tmp_path / "data").fetch(sync.Git(url="--upload-pack=touch /tmp/x"))


async def test_links_of_a_repository_lead_nowhere(tmp_path: pathlib.Path) -> None:
    origin = repository(tmp_path / "origin")
    (tmp_path / "secret.yaml").write_text(config("secret"))
    (origin / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    commit(origin, "a.yaml", config("a"))
    await fetched(tmp_path, origin)
    assert not (tmp_path / "data/checkout/link.yaml").is_symlink()


def ssh_key(path: pathlib.Path) -> bytes:
    """Make a key; its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_bytes()


def unreachable(world: FleetWorld, name: str) -> list[str]:
    conditions = (world.report(name) or {}).get("conditions", ())
    return [one["message"] for one in conditions if one["reason"] == "SourceUnreachable"]


async def test_only_signed_commits_where_signers_are_named(tmp_path: pathlib.Path) -> None:
    origin = repository(tmp_path / "origin")
    key = tmp_path / "key"
    public = ssh_key(key)
    commit(origin, "a.yaml", config("a"))
    signers = remote.Credentials({"allowed_signers": b"a@example.com " + public})
    follower, wanted = remote.Remote(tmp_path / "data"), sync.Git(url=str(origin))
    with pytest.raises(remote.Unreachable, match="is not signed by anyone who may"):
        await follower.fetch(wanted, signers=signers)
    assert not (tmp_path / "data/checkout/a.yaml").exists()
    git(origin, "-c", "gpg.format=ssh", "-c", f"user.signingKey={key}", "commit", "-q", "--amend", "--no-edit", "-S")
    await follower.fetch(wanted, signers=signers)
    assert (tmp_path / "data/checkout/a.yaml").exists()
    assert not (tmp_path / "data/private").exists()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("1.x", "v1.4.2"),
        ("~1.2", "1.2.9"),
        ("~1", "v1.4.2"),
        ("^1.2.3", "v1.4.2"),
        ("^0.3.1", "0.3.4"),
        (">=1.0.0 <1.4.0", "1.2.9"),
        (">= 1.0.0, < 1.4.0", "1.2.9"),
        ("1.0 - 1.2", "1.2.0"),
        ("0.3.x || 2.x", "2.0.0"),
        ("*", "2.0.0"),
        (">=2.1.0-0", "2.1.0-rc.2"),
        ("1.2.0", "1.2.0"),
        (">3", None),
    ],
)
def test_ranges_of_versions(wanted: str, expected: str | None) -> None:
    tags = ["0.3.1", "0.3.4", "0.4.0", "1.2.0", "1.2.9", "v1.4.2", "2.0.0", "2.1.0-rc.1", "2.1.0-rc.2", "latest", "v1", "0.0.1"]
    assert semver.highest(tags, wanted) == expected


async def test_credentials_come_from_a_secret(tmp_path: pathlib.Path) -> None:
    root = folders(tmp_path)
    (root / "g.yaml").write_text(a_sync("g", "{git: {url: 'http://127.0.0.1:1/x.git', secret: {name: access}}}"))
    async with following(root) as world:
        (found,) = await world.until(lambda: unreachable(world, "g"), "the missing Secret")
        assert "Secret default/access does not exist" in found
        metadata = {"name": "access", "namespace": "default"}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": "hush"}}
        await world.client.perform(plan.Create(kind="secrets", body=body, why="test"), USER)
        await world.until(lambda: world.agent.poke("g") and "Secret" not in str(unreachable(world, "g")), "another try")
        assert "hush" not in str(world.report("g"))
