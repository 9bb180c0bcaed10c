import os
from pathlib import Path

from reconciler.node.volumes import writer
from reconciler.node.volumes.contents import File


def test_files_appear_through_one_link(tmp_path: Path) -> None:
    assert writer.write(tmp_path / "v", {"a": File(b"1", 0o644), "deep/b": File(b"2", 0o400)})
    assert (tmp_path / "v/a").read_bytes() == b"1"
    assert (tmp_path / "v/deep/b").stat().st_mode & 0o777 == 0o400
    assert os.readlink(tmp_path / "v/a") == "..data/a"


def test_unchanged_contents_are_left_alone(tmp_path: Path) -> None:
    files = {"a": File(b"1", 0o644)}
    writer.write(tmp_path, files)
    before = os.readlink(tmp_path / "..data")
    assert not writer.write(tmp_path, files)
    assert os.readlink(tmp_path / "..data") == before


def test_a_change_replaces_everything_at_once_and_leaves_nothing_old(tmp_path: Path) -> None:
    writer.write(tmp_path, {"a": File(b"1", 0o644), "gone": File(b"x", 0o644)})
    reader = os.open(tmp_path / "a", os.O_RDONLY)
    assert writer.write(tmp_path, {"a": File(b"2", 0o644), "new": File(b"3", 0o644)})
    assert os.read(reader, 9) == b"1"
    os.close(reader)
    assert sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("..")) == ["a", "new"]
    assert (tmp_path / "a").read_bytes() == b"2"
    assert len([entry for entry in tmp_path.iterdir() if entry.is_dir() and not entry.is_symlink()]) == 1


def test_a_change_of_mode_alone_is_a_change(tmp_path: Path) -> None:
    writer.write(tmp_path, {"a": File(b"1", 0o644)})
    assert writer.write(tmp_path, {"a": File(b"1", 0o600)})
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
