"""Room for bad times."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from reconciler.store import disk, reserve
from reconciler.store.types import Provenance


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    opened = disk.open_file(tmp_path)
    yield opened
    opened.close()


def row(revision: int, size: int) -> disk.Row:
    return disk.row(revision, disk.Form.PUT, f"k{revision}", revision, 1, revision, 0, 0.0, Provenance(""), bytes(size))


def test_it_occupies_the_disk_and_gives_it_back(tmp_path: Path, connection: apsw.Connection) -> None:
    kept = reserve.Reserve(tmp_path)
    assert kept.stock(connection)
    assert kept.stocked
    path = tmp_path / reserve.FILE
    assert path.stat().st_blocks * 512 >= reserve.BYTES
    assert kept.release(connection)
    assert not path.exists()
    assert not kept.stocked
    assert not kept.release(connection), "there is only one"


def test_one_from_an_earlier_run_can_be_released(tmp_path: Path, connection: apsw.Connection) -> None:
    reserve.Reserve(tmp_path).stock(connection)
    assert reserve.Reserve(tmp_path).release()


def test_it_is_not_stocked_where_it_does_not_fit(tmp_path: Path, connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[int] = []

    def allocate(file: int, offset: int, length: int) -> None:
        wanted.append(length)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    kept = reserve.Reserve(tmp_path)
    assert not kept.stock(connection)
    assert wanted == [reserve.BYTES + reserve.SPARE_BYTES], "with a margin, or the next write would be refused again"
    assert (tmp_path / reserve.FILE).stat().st_size == 0
    monkeypatch.undo()
    assert kept.stock(connection)


def test_the_quota_bounds_the_file_and_leaves_a_margin_for_removals(tmp_path: Path, connection: apsw.Connection) -> None:
    kept = reserve.Reserve(tmp_path, quota_bytes=64 * disk.PAGE_BYTES)
    assert kept.stock(connection, spare_bytes=0)
    with pytest.raises(apsw.FullError):
        disk.append(connection, [row(1, 80 * disk.PAGE_BYTES)])
    disk.append(connection, [row(2, 56 * disk.PAGE_BYTES)])
    with pytest.raises(apsw.FullError):
        disk.append(connection, [row(3, 6 * disk.PAGE_BYTES)])
    kept.release(connection)
    disk.append(connection, [row(3, 6 * disk.PAGE_BYTES)])
    assert not kept.stock(connection)
    disk.prune(connection, 2, disk.Pruning((2,), (), (), 0))
    assert kept.stock(connection)
