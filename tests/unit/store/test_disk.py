"""Rows in a file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from reconciler.store import disk
from reconciler.store.types import Corrupt, Entry, JournalError, Provenance


def row(revision: int, key: str, value: bytes | None = b"v", cause: int = 0, form: int | None = None) -> disk.Row:
    form = form if form is not None else (disk.Form.DELETE if value is None else disk.Form.PUT)
    return disk.row(revision, form, key, revision, 1, revision, 0, 0.0, Provenance("actor", "why", cause, "file:1"), value)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, disk.MAX_ROWS])
def test_what_is_written_is_read_back(tmp_path: Path, count: int) -> None:
    connection = disk.open_file(tmp_path)
    disk.append(connection, [row(revision, f"key-{revision:04}", bytes([revision % 256]) * revision) for revision in range(1, count + 1)])
    loaded = disk.load(connection)
    assert [live.entry.value for live in loaded.lives] == [bytes([revision % 256]) * revision for revision in range(1, count + 1)]
    assert loaded.revision == count
    connection.close()


def test_opaque_bytes_and_any_key_survive(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    keys = ["a'b", "ü/\U0001f600", "c\td"]
    disk.append(connection, [row(revision, key, bytes(range(256))) for revision, key in enumerate(keys, start=1)])
    assert [(live.entry.key, live.entry.value) for live in disk.load(connection).lives] == [(key, bytes(range(256))) for key in keys]
    connection.close()


def test_a_commit_is_one_fsync(tmp_path: Path, faults: Any) -> None:
    connection = disk.open_file(tmp_path)
    disk.append(connection, [row(1, "a")])
    before = faults.syncs
    disk.append(connection, [row(revision, "b") for revision in range(2, 200)])
    assert faults.syncs == before + 1
    connection.close()


def test_the_last_row_of_a_key_counts(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    disk.append(connection, [row(1, "a", b"12345"), row(2, "b"), row(3, "a", b"new"), row(4, "b", None), row(5, "c", form=disk.Form.HUSK)])
    loaded = disk.load(connection)
    assert [live.entry for live in loaded.lives] == [Entry("a", b"new", 3, 3, 1)]
    assert loaded.history_bytes == 6
    assert disk.read(tmp_path, "a", 2) == Entry("a", b"12345", 1, 1, 1)
    assert disk.read(tmp_path, "b", 4) is None
    assert [entry.key for entry in disk.read_range(tmp_path, "", "", 3)] == ["a", "b"]
    assert [entry.key for entry in disk.read_range(tmp_path, "", "b", 3)] == ["b"]
    assert [entry.key for entry in disk.read_range(tmp_path, "a", "", 3)] == ["a"]
    connection.close()


def test_a_revision_is_never_written_twice(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    disk.append(connection, [row(1, "a")])
    with pytest.raises(apsw.ConstraintError):
        disk.append(connection, [row(2, "b"), row(1, "c")])
    assert [live.entry.key for live in disk.load(connection).lives] == ["a"], "all or none"
    connection.close()


def test_chains_follow_causes(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    disk.append(connection, [row(1, "a"), row(2, "b", cause=1), row(3, "c"), row(4, "d", cause=2), row(9, "e", cause=7)])
    assert [made for made, _, _ in disk.read_chain(tmp_path, 4, 10)] == [4, 2, 1]
    assert disk.read_chain(tmp_path, 4, 2)[1] == (2, "b", Provenance("actor", "why", 1, "file:1"))
    assert [made for made, _, _ in disk.read_chain(tmp_path, 9, 10)] == [9]
    assert disk.read_chain(tmp_path, 8, 10) == []
    connection.close()


def test_files_are_private(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    disk.append(connection, [row(1, "a")])
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    connection.close()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    connection.execute(f"PRAGMA user_version={disk.FORMAT + 1}")
    connection.close()
    with pytest.raises(JournalError, match="install the newer program"):
        disk.open_file(tmp_path)


def test_an_unsafe_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.46.1")
    with pytest.raises(JournalError, match=r"install apsw 3\.51\.3 or newer"):
        disk.open_file(tmp_path)


def zero_a_page(data: bytearray) -> None:
    data[4 * disk.PAGE_BYTES : 5 * disk.PAGE_BYTES] = bytes(disk.PAGE_BYTES)


def flip_bits_of_values(data: bytearray) -> None:
    data[:] = data.replace(b"needleneedle", b"needleNeedle")  # every copy: pages hold dead ones too


def flip_a_bit_of_a_key(data: bytearray) -> None:
    data[data.index(b"key-0007") + 4] ^= 1


def lose_the_schema(data: bytearray) -> None:
    data[100 : disk.PAGE_BYTES] = bytes(disk.PAGE_BYTES - 100)


def lose_the_header(data: bytearray) -> None:
    data[:16] = b"#!/bin/sh\nexit 1"


def lose_the_end(data: bytearray) -> None:
    del data[len(data) // 2 // disk.PAGE_BYTES * disk.PAGE_BYTES :]


@pytest.mark.parametrize("damage", [zero_a_page, flip_bits_of_values, flip_a_bit_of_a_key, lose_the_schema, lose_the_header, lose_the_end])
def test_damage_is_found_at_boot(tmp_path: Path, damage: Callable[[bytearray], None]) -> None:
    connection = disk.open_file(tmp_path)
    disk.append(connection, [row(revision, f"key-{revision:04}", b"needle" * 200) for revision in range(1, 100)])
    connection.close()
    path = tmp_path / disk.FILE
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="restore a good snapshot") as caught:
        disk.load(disk.open_file(tmp_path))
    assert os.fspath(path) in str(caught.value)


def test_sizes_tell_free_pages_apart(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    disk.append(connection, [row(revision, "a", bytes(4000)) for revision in range(1, 100)])
    total, used = disk.sizes(connection)
    assert total == used
    disk.prune(connection, 99, disk.Pruning(tuple(range(1, 90)), (), (), 0))
    now, used = disk.sizes(connection)
    assert now == total
    assert used < total / 2
    connection.close()
