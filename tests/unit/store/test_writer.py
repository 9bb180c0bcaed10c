"""The writer thread on a file system that fails when told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from reconciler.store import disk, writer
from reconciler.store.reserve import Reserve
from reconciler.store.types import FsyncFailed, Full, Provenance


def row(revision: int, size: int = 1) -> disk.Row:
    return disk.row(revision, disk.Form.PUT, f"k{revision}", revision, 1, revision, 0, 0.0, Provenance(""), bytes(size))


class Desk:
    """A writer and what it reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = disk.open_file(folder)
        self.reserve = Reserve(folder)
        self.reserve.stock(self.connection)
        self.written: list[writer.Commit] = []
        self.refused: list[writer.Commit] = []
        self.full = 0
        self.deaths: list[str] = []
        self.broken: list[FsyncFailed] = []
        callbacks = writer.Callbacks(self.written.extend, self.refused.extend, self._filled, self.broken.append, self.deaths.append)
        self.writer = writer.Writer(folder, self.connection, self.reserve, callbacks)

    def _filled(self) -> None:
        self.full += 1

    def submit(self, *revisions: int, epoch: int = 0, essential: bool = False, reserve: int = 0, size: int = 1) -> writer.Commit:
        rows = tuple(row(revision, size) for revision in revisions)
        outcome = asyncio.get_running_loop().create_future()
        commit = writer.Commit(epoch, outcome, Provenance(""), rows=rows, essential=essential, reserve=reserve)
        self.writer.submit((commit,))
        return commit

    async def done(self) -> list[int]:
        """The revisions on disk, after everything submitted."""
        return await self.writer.call(lambda connection: [made for (made,) in connection.execute("SELECT revision FROM revision")])


@pytest.fixture
async def desk(tmp_path: Path, faults: Any) -> AsyncIterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    await opened.writer.close()
    opened.connection.close()


async def test_what_waits_is_written_together_and_in_order(desk: Desk, faults: Any) -> None:
    await desk.done()
    before = faults.syncs
    commits = [desk.submit(made) for made in range(1, 51)]
    assert await desk.done() == list(range(1, 51))
    assert desk.written == commits
    assert faults.syncs - before < 50


async def test_groups_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    append = disk.append

    def counted(connection: apsw.Connection, rows: list[disk.Row]) -> None:
        groups.append(len(rows))
        append(connection, rows)

    monkeypatch.setattr(disk, "append", counted)
    monkeypatch.setattr(writer, "GROUP_BYTES", 10_000)
    for made in range(0, 1000, 100):
        desk.submit(*range(made, made + 100), size=1 if made < 500 else 5000)
    assert len(await desk.done()) == 1000
    assert max(groups) <= disk.MAX_ROWS
    assert groups[-5:] == [100] * 5


async def test_a_reservation_and_its_group_are_one_transaction(desk: Desk) -> None:
    desk.submit(reserve=777)
    desk.submit(1)
    await desk.done()
    assert disk.load(desk.connection).revision == 777


async def test_a_full_disk_refuses_the_group_and_all_that_follows_in_its_epoch(desk: Desk, faults: Any) -> None:
    desk.submit(1)
    await desk.done()
    faults.on_write = apsw.SQLITE_FULL
    refused = desk.submit(2)
    await desk.done()
    faults.on_write = None
    late = desk.submit(3)
    early = desk.submit(4, epoch=1)
    assert await desk.done() == [1]
    assert not desk.reserve.stocked
    await desk.writer.call(desk.reserve.stock)
    anew = desk.submit(5, epoch=2)
    assert await desk.done() == [1, 5]
    assert desk.refused == [refused, early], "no put takes what is kept for removals"
    assert late not in desk.written
    assert anew in desk.written
    assert desk.full
    assert desk.deaths == []


async def test_removals_get_the_reserve(desk: Desk, faults: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    release = desk.reserve.release

    def make_room(connection: apsw.Connection | None = None) -> bool:
        faults.on_write = None
        return release(connection)

    monkeypatch.setattr(desk.reserve, "release", make_room)
    faults.on_write = apsw.SQLITE_FULL
    removal = desk.submit(2, essential=True)
    assert await desk.done() == [2]
    assert desk.written == [removal]
    assert desk.full


async def test_without_a_reserve_removals_are_refused_too(desk: Desk, faults: Any) -> None:
    faults.on_write = apsw.SQLITE_FULL
    removal = desk.submit(2, essential=True)
    assert await desk.done() == []
    assert desk.refused == [removal]
    with pytest.raises(Full, match="disk is full"):
        await desk.writer.call(lambda connection: disk.mark(connection, "reserved", 9))
    faults.on_write = None
    await desk.writer.call(lambda connection: disk.mark(connection, "reserved", 9))


@pytest.mark.parametrize("fault", ["on_sync", "on_write"])
@pytest.mark.parametrize("code", [apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_CORRUPT])
async def test_any_other_failure_ends_the_process_at_once(desk: Desk, faults: Any, fault: str, code: int) -> None:
    desk.submit(1)
    await desk.done()
    setattr(faults, fault, code)
    lost = desk.submit(2)
    with pytest.raises(FsyncFailed):
        await desk.done()
    setattr(faults, fault, None)
    assert len(desk.deaths) == 1
    assert "the journal cannot write" in desk.deaths[0]
    assert lost not in desk.written
    assert len(desk.broken) == 1
    after = desk.submit(3)
    with pytest.raises(FsyncFailed):
        await desk.done()
    assert after not in desk.written, "nothing is tried again"
