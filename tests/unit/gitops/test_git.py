"""Commits, references and indexes as the real git writes them."""

import pathlib
import shutil
import subprocess

import pytest

from reconciler.gitops import git

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path / "top"
    top.mkdir()
    run(top, "init", "-q", "-b", "main")
    (top / "apps").mkdir()
    (top / "apps/a.yaml").write_text("a\n")
    (top / "a-name-that-is-rather-long-äöü.yaml").write_text("b\n")
    run(top, "add", ".")
    run(top, "commit", "-qm", "first")
    return top


def run(directory: pathlib.Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


def found(directory: pathlib.Path) -> tuple[pathlib.Path, str]:
    repository = git.repository(directory)
    assert repository
    return repository[0], git.head(repository[1])


def test_head_loose_packed_and_detached(checkout: pathlib.Path) -> None:
    commit = run(checkout, "rev-parse", "HEAD")
    assert found(checkout / "apps") == (checkout, commit)
    run(checkout, "pack-refs", "--all")
    assert found(checkout) == (checkout, commit)
    run(checkout, "checkout", "-q", "--detach")
    assert found(checkout) == (checkout, commit)


def test_a_worktree_has_its_own_head(checkout: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run(checkout, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    run(tmp_path / "side", "commit", "-q", "--allow-empty", "-m", "second")
    assert found(tmp_path / "side") == (tmp_path / "side", run(tmp_path / "side", "rev-parse", "HEAD"))
    assert found(tmp_path / "side")[1] != found(checkout)[1]


def test_no_checkout_and_no_commit_yet(tmp_path: pathlib.Path) -> None:
    (tmp_path / "new").mkdir()
    run(tmp_path / "new", "init", "-q")
    assert found(tmp_path / "new")[1] == ""
    assert git.index(tmp_path / "new/.git") == {}
    assert git.head(tmp_path) == ""


def test_the_index_tells_what_was_changed(checkout: pathlib.Path) -> None:
    index = git.index(checkout / ".git")
    assert sorted(index) == ["a-name-that-is-rather-long-äöü.yaml", "apps/a.yaml"]
    assert index["apps/a.yaml"] == git.blob(b"a\n") != git.blob(b"b\n")
    (checkout / ".git/index").write_bytes(b"DIRC\0\0\0\x02\0\0\0\x05")
    assert git.index(checkout / ".git") == {}


def test_busy_while_the_index_is_locked(checkout: pathlib.Path) -> None:
    assert not git.is_busy(checkout / ".git")
    (checkout / ".git/index.lock").touch()
    assert git.is_busy(checkout / ".git")
