"""Scans: what counts as a file, what an unchanged one costs, what the disk may do to us."""

import os
import pathlib

import pytest

from reconciler.gitops import folder, load
from tests.unit.gitops.world import config


def aged(path: pathlib.Path, text: str) -> None:
    """A file as if it had been written long ago; its stamp is believed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_which_files_count(tmp_path: pathlib.Path) -> None:
    for name in ("a.yaml", "b.yml", "c.json", "d.txt", ".e.yaml", "f.yaml~", "deep/g.yaml", ".git/h.yaml", "deep/.hidden/i.yaml"):
        aged(tmp_path / name, "{}")
    (tmp_path / "gone.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "deep/up").symlink_to("..")
    scan = folder.Folder(tmp_path).scan()
    assert sorted(scan.files) == ["a.yaml", "b.yml", "c.json", "deep/g.yaml", "gone.yaml"]
    assert [problem.message for problem in scan.files["gone.yaml"].problems] == ["is a symbolic link to nothing"]
    assert sorted(scan.directories) == [str(tmp_path), str(tmp_path / "deep")]


def test_an_unchanged_file_is_not_read_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "YOUNG_SECONDS", -1.0)
    (tmp_path / "a.yaml").write_text(config("a"))
    (tmp_path / "b.yaml").write_text(config("b"))
    subject = folder.Folder(tmp_path)
    first = subject.scan()
    (tmp_path / "b.yaml").write_text(config("c"))
    os.utime(tmp_path / "b.yaml", ns=(0, 0))
    second = subject.scan()
    assert second.files["a.yaml"] is first.files["a.yaml"]
    assert second.files["b.yaml"].documents[0].body["metadata"]["name"] == "c"


def test_a_young_file_is_looked_at_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "YOUNG_SECONDS", 1e9)
    (tmp_path / "a.yaml").write_text(config("a"))
    subject = folder.Folder(tmp_path)
    first, second = subject.scan(), subject.scan()
    assert first.young
    assert second.files["a.yaml"] is not first.files["a.yaml"]


def test_what_cannot_be_read_is_a_problem_of_its_own(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(config("a"))
    (tmp_path / "b.yaml").write_text(config("b"))
    (tmp_path / "closed").mkdir()
    (tmp_path / "large.yaml").write_bytes(b"#" * (load.MAX_FILE_BYTES + 1))
    os.mkfifo(tmp_path / "pipe.yaml")
    scandir = os.scandir

    def refusing(path: pathlib.Path) -> object:
        if pathlib.Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    opened = open

    def unreadable(path: pathlib.Path, mode: str = "r") -> object:
        if pathlib.Path(path).name == "b.yaml":
            raise PermissionError(13, "Permission denied")
        return opened(path, mode)

    monkeypatch.setattr(os, "scandir", refusing)
    monkeypatch.setattr(folder, "open", unreadable, raising=False)
    scan = folder.Folder(tmp_path).scan()
    assert [str(problem) for file in scan.files.values() for problem in file.problems] == [
        "b.yaml: cannot be read: Permission denied",
        "large.yaml: the file has 5242881 bytes, at most 5242880 are read: split it",
        "closed: the directory cannot be listed: Permission denied",
    ]
    assert scan.closed == ("closed",)
    assert scan.files["a.yaml"].documents


def test_a_root_that_is_not_there(tmp_path: pathlib.Path) -> None:
    assert folder.Folder(tmp_path / "none").scan().missing
    (tmp_path / "file").write_text("")
    assert folder.Folder(tmp_path / "file").scan().unreadable == f"{tmp_path / 'file'} is not a directory"


def test_too_many_files_say_nothing_of_the_rest(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_FILES", 2)
    for name in ("a.yaml", "b.yaml", "c.yaml"):
        aged(tmp_path / name, "{}")
    assert folder.Folder(tmp_path).scan() == folder.Scan(unreadable=f"{tmp_path} has more than 2 files")


def test_names_and_depths_that_are_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_DEPTH", 2)
    aged(tmp_path / "x/y/z/w.yaml", "{}")
    (pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.yaml"))).write_text("{}")
    scan = folder.Folder(tmp_path).scan()
    assert [str(problem) for file in scan.files.values() for problem in file.problems] == [
        "bad\ufffd.yaml: has a name that is not UTF-8: rename it",
        "x/y/z: is nested deeper than 2 directories and not read",
    ]
    assert scan.closed == ("bad\ufffd.yaml", "x/y/z")
