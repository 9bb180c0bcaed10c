"""Sizes of folders and figures of the machine."""

import os
import pathlib

import pytest

from reconciler.node import machine
from reconciler.node.eviction import choice, measure


def fill(path: pathlib.Path, size: int) -> int:
    """Bytes on disk."""
    path.write_bytes(b"x" * size)
    return path.stat().st_blocks * 512


def test_files_count_once_and_links_not_at_all(tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    fill(outside / "large", 1 << 20)
    folder = tmp_path / "folder"
    (folder / "deep" / "deeper").mkdir(parents=True)
    expected = fill(folder / "one", 5000) + fill(folder / "deep" / "deeper" / "two", 70000)
    os.link(folder / "one", folder / "deep" / "again")
    (folder / "link").symlink_to(outside)
    expected += (folder / "link").lstat().st_blocks * 512
    found = measure.size(folder)
    assert found.bytes == expected
    assert found.inodes == 5


def test_holes_take_no_room(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    assert measure.size(tmp_path).bytes < 1 << 20


def test_a_folder_that_is_not_there(tmp_path: pathlib.Path) -> None:
    assert measure.size(tmp_path / "absent") == choice.Space()


def test_a_walk_ends(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MAX_ENTRIES", 7)
    for number in range(20):
        (tmp_path / str(number)).mkdir()
    assert measure.size(tmp_path).inodes == 7


def test_what_the_machine_has_left(tmp_path: pathlib.Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable:  600 kB\n")
    (tmp_path / "loadavg").write_text("0.50 0.40 0.30 2/250 12345\n")
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/pid_max").write_text("32768\n")
    (tmp_path / "sys/kernel/threads-max").write_text("1250\n")
    assert machine.memory(tmp_path) == (1000 * 1024, 600 * 1024)
    assert machine.processes(tmp_path) == (1250, 1000)
    assert machine.processes(tmp_path / "absent") == (0, 0)


def test_every_signal_is_seen_here(tmp_path: pathlib.Path) -> None:
    found = measure.node(tmp_path)
    assert {"memory.available", "nodefs.available", "imagefs.available", "pid.available"} <= found.keys()
    assert found["imagefs.available"].capacity == found["nodefs.available"].capacity
    assert all(0 <= one.available <= one.capacity for one in found.values())
