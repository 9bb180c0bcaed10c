"""What is remembered on disk, and what may be a name in it."""

import os
import pathlib

import pytest

from reconciler.node.keeper import records


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 254, ".hidden"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        records.checked_name(name)


def test_processes_are_named_by_their_start() -> None:
    assert records.start_ticks(os.getpid()) > 0
    assert records.start_ticks(2**22 + 1) == 0


def test_attempts_and_their_two_records(tmp_path: pathlib.Path) -> None:
    folder = records.PodFolder(str(tmp_path), "u")
    os.makedirs(folder.at("containers/web"))
    records.write(folder.attempt("web", 3) + ".start", {"state": "created", "pid": 1})
    assert list(folder.attempts()) == [("web", 3)]
    records.write(folder.attempt("web", 3) + ".exit", {"state": "exited"})
    assert folder.container("web", 3) == {"state": "exited", "pid": 1}
    assert folder.container("web", 4) is None
    (tmp_path / "torn.json").write_text('{"a"')
    assert records.read(str(tmp_path / "torn.json")) is None


def test_locks_are_exclusive(tmp_path: pathlib.Path) -> None:
    held = records.lock(str(tmp_path / "lock"))
    with pytest.raises(BlockingIOError):
        records.lock(str(tmp_path / "lock"))
    os.close(held)
    os.close(records.lock(str(tmp_path / "lock")))


def test_removing_stays_inside(tmp_path: pathlib.Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").touch()
    (inside / "link").symlink_to(outside)
    (inside / "deep" / "locked").mkdir(mode=0)
    records.remove_tree(str(inside))
    assert not inside.exists()
    assert (outside / "kept").exists()
    records.remove_tree(str(inside))
